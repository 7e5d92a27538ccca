"""6.4 Tree of thoughts: visible properties and hints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import permutations
from typing import Any

from aieng.lesson.checking import expect, expect_raises, hints, prop

hints(
    "6.4",
    "A search needs to know only three things about a problem: what may come next (`propose`), how promising a state looks (`evaluate`), "
    "and "
    "whether it is done (`is_goal`). Carry whole paths along, not single states: the path is the answer.",
    "BFS: from all paths that are kept, make the next level (a dict from state to its path removes doubles); look for a goal in it; only "
    "then value each state once, sort, keep `breadth`. DFS: a function that follows one path; for each child, best first, it calls itself "
    "and returns what that found; when no child is left, it returns None, and *that* is the backtracking.",
    "propose: for each pair i < j, the rest and one of a + b, a − b, b − a, a·b, a/b, b/a (Fractions; skip ÷ 0); sorted tuples in a set.\n"
    "tot_bfs: refuse breadth < 1; root a goal?; loop: level = {child: path + [child]}; goal in level → its path; keep the best; empty → "
    "None.\n"
    "tot_dfs: refuse max_expansions < 1; root a goal?; follow(path): count one expansion; children not seen before; a goal among them → "
    "path + [it]; value them all; for each in falling value, if value >= threshold, found = follow(path + [child]); return it unless None.",
)

Tree = Mapping[Any, Sequence[Any]]


class Asked:
    """A made-up problem that writes down what it is asked: a tree (or graph) of children, values, goals."""

    def __init__(self, children: Tree, values: Mapping[Any, float], goals: Sequence[Hashable]) -> None:
        self.children, self.values, self.goals = children, values, set(goals)
        self.proposed: list[Hashable] = []
        self.valued: list[Hashable] = []

    def propose(self, state: Hashable) -> list[Hashable]:
        self.proposed.append(state)
        return list(self.children.get(state, ()))

    def evaluate(self, state: Hashable) -> float:
        self.valued.append(state)
        return self.values.get(state, 0.0)

    def is_goal(self, state: Hashable) -> bool:
        return state in self.goals


def _bfs(tot_bfs: Any, problem: Asked, breadth: int, root: Hashable = "r") -> Any:
    return tot_bfs(root, problem.propose, problem.evaluate, problem.is_goal, breadth)


def _dfs(tot_dfs: Any, problem: Asked, threshold: float, max_expansions: int = 100, root: Hashable = "r") -> Any:
    return tot_dfs(root, problem.propose, problem.evaluate, problem.is_goal, threshold, max_expansions)


def _shown(numbers: Sequence[Any]) -> str:
    return "(" + ", ".join(map(str, numbers)) + ")"


def _expected(numbers: Sequence[int | Fraction]) -> set[tuple[Fraction, ...]]:
    found = set()
    for a, b, *rest in permutations([Fraction(n) for n in numbers]):
        for value in (a + b, a - b, a * b, *([a / b] if b else [])):
            found.add(tuple(sorted([*rest, value])))
    return found


def _proposals(propose: Any, numbers: tuple[int | Fraction, ...]) -> list[tuple[Any, ...]]:
    got = list(propose(tuple(Fraction(n) for n in numbers)))
    for state in got:
        expect(isinstance(state, tuple), f"propose should give tuples (states must be hashable); yours gave a {type(state).__name__}.")
        expect(
            len(state) == len(numbers) - 1,
            f"From {len(numbers)} numbers one operation leaves {len(numbers) - 1}; yours left "
            f"{_shown(state)}: the numbers that were not used stay.",
        )
        expect(
            not any(isinstance(x, float) for x in state), f"{_shown(state)} holds a float: 1/3 · 3 is not exactly 1 then. Use Fractions."
        )
        expect(
            list(state) == sorted(state), f"{_shown(state)} is not sorted: the same numbers in another order would count as another state."
        )
    return got


@prop("6.4", "propose: two numbers by hand")
def propose_by_hand(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    got = _proposals(propose, (2, 6))
    want = {(Fraction(x),) for x in (8, -4, 4, 12, 3)} | {(Fraction(1, 3),)}
    missing = {s[0] for s in want} - {s[0] for s in got}
    expect(Fraction(-4) not in missing, "From 2 and 6: 2 − 6 = −4 is missing. A difference can be taken either way round.")
    expect(Fraction(1, 3) not in missing, "From 2 and 6: 2 ÷ 6 = 1/3 is missing. Quotients need not be whole, and go either way round.")
    expect(not missing, f"From 2 and 6 one operation can make {', '.join(map(str, sorted(missing)))}; yours does not.")
    extra = set(got) - want
    expect(not extra, f"From 2 and 6 yours makes {_shown(sorted(s[0] for s in extra))} too; no single + − × ÷ does.")


@prop("6.4", "propose: every pair, nothing twice, never by zero")
def propose_all(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    for numbers in ((4, 6, 10, 13), (3, 3, 8, 8), (5, 5, 5)):
        got = _proposals(propose, numbers)
        want = _expected(numbers)
        twice = [s for s, n in Counter(got).items() if n > 1]
        expect(
            not twice,
            f"{_shown(twice[0] if twice else ())} was proposed more than once from {_shown(numbers)}: a model would be asked about it "
            "twice.",
        )
        missing, extra = want - set(got), set(got) - want
        expect(
            not missing,
            f"From {_shown(numbers)}, {len(missing)} of {len(want)} next states are missing, such as {_shown(min(missing, default=()))}.",
        )
        expect(not extra, f"From {_shown(numbers)} yours proposes {_shown(min(extra, default=()))}, which no single operation leaves.")
    zero = _proposals(propose, (0, 7))
    expect(
        set(zero) == {(Fraction(x),) for x in (7, -7, 0)},
        f"From 0 and 7: 7, −7 and 0 (0 ÷ 7 counts, 7 ÷ 0 does not); yours: {sorted(map(_shown, zero))}.",
    )
    for few in ((), (Fraction(24),)):
        expect(list(propose(few)) == [], f"With {len(few)} numbers there is nothing to compute: an empty list.")


@prop("6.4", "BFS keeps the best of each level")
def bfs_levels(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    children = {"r": "abc", "a": ["a1", "a2"], "b": ["b1", "b2"], "c": ["c1"], "b2": ["goal"], "a1": ["x"], "c1": ["goal"]}
    values = {"a": 0.9, "b": 0.5, "c": 0.1, "a1": 0.2, "a2": 0.3, "b1": 0.1, "b2": 0.8, "c1": 0.99}
    problem = Asked(children, values, ["goal"])
    got = _bfs(tot_bfs, problem, 2)
    expect(got is not None, "With breadth 2, the tree r → (a 0.9, b 0.5, c 0.1), b → b2 0.8 → goal was not solved.")
    expect(isinstance(got, list) and got[:1] == ["r"], f"The answer is the path from the root to the goal, a list; yours is {got!r}.")
    expect(got != ["r", "c", "c1", "goal"], "Your search went through c, the worst of its level: larger values are better.")
    expect(got == ["r", "b", "b2", "goal"], f"Expected the path r, b, b2, goal; yours is {got!r}.")
    expect("c" not in problem.proposed, "With breadth 2, c (the third of its level) was followed although a and b are better.")
    narrow = Asked(children, values, ["goal"])
    expect(
        _bfs(tot_bfs, narrow, 1) is None, "With breadth 1 only a goes on, which leads nowhere: the answer is None (BFS never goes back)."
    )
    expect(_bfs(tot_bfs, Asked(children, values, ["r"]), 1) == ["r"], "Where the root is the goal already, the path is [root].")


@prop("6.4", "BFS pays only for what it needs")
def bfs_calls(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    children = {"r": ["a", "b", "c"], "a": ["s", "t"], "b": ["s", "u"], "c": ["v"], "s": ["goal", "w"], "u": ["w"], "t": ["w"]}
    values = {"a": 3.0, "b": 2.0, "c": 1.0, "s": 3.0, "u": 2.0, "t": 1.0, "w": 5.0}
    problem = Asked(children, values, ["goal"])
    got = _bfs(tot_bfs, problem, 2)
    expect(got in (["r", "a", "s", "goal"], ["r", "b", "s", "goal"]), f"Expected r, a, s, goal (or by b); yours: {got!r}.")
    asked, valued = Counter(problem.proposed), Counter(problem.valued)
    expect("r" not in valued, "The root was valued: there is nothing to choose it from.")
    expect(valued["s"] == 1, f"s is reached from a and from b; it is one thought, yet it was valued {valued['s']} times.")
    expect(
        "w" not in valued and "goal" not in valued, "The last level holds the goal: look for it before you pay for values of that level."
    )
    expect(asked["s"] == 1, f"s was asked for its next thoughts {asked['s']} times; once is enough.")
    expect(
        {"r", "a", "b", "s"} <= set(asked) <= {"r", "a", "b", "s", "u"},  # u may be left: s has found the goal
        f"With breadth 2 the states to propose from are r, a, b, s, u; yours: {sorted(map(str, asked))}.",
    )
    expect(max(valued.values()) == 1, "A state of a level was valued more than once (sorting by `evaluate` itself can do that).")


@prop("6.4", "BFS ends, ties and errors")
def bfs_ends(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    tied = Asked({"r": ["c", "a", "b"], "c": ["goal"]}, {}, ["goal"])
    expect(_bfs(tot_bfs, tied, 1) == ["r", "c", "goal"], "c, a and b have equal values: the one proposed first (c) goes on.")
    expect(_bfs(tot_bfs, Asked({"r": ["a"]}, {"a": 1.0}, []), 3) is None, "When nothing is left to propose, the answer is None.")
    for breadth in (0, -1):
        expect_raises(ValueError, partial(_bfs, tot_bfs, Asked({}, {}, []), breadth), f"breadth = {breadth} should raise ValueError.")


@prop("6.4", "DFS follows the best, and goes back")
def dfs_order(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    children = {"r": ["a", "b", "c"], "a": ["a1", "a2"], "a1": ["a3"], "b": ["b1"], "b1": ["goal"], "c": ["goal"]}
    values = {"a": 0.9, "b": 0.6, "c": 0.3, "a1": 0.2, "a2": 0.7, "a3": 0.9, "b1": 0.5}
    problem = Asked(children, values, ["goal"])
    got = _dfs(tot_dfs, problem, 0.1)
    expect(got is not None, "a leads into a dead end: go back to r and try its next best child, b. Yours gave up (None).")
    expect(isinstance(got, list), f"The answer is the path as a list, or None; yours is a {type(got).__name__}.")
    expect(got != ["r", "c", "goal"], "c was followed before b although b is valued higher: best first.")
    expect(
        "a2" not in got and "a" not in got,
        f"States of the dead end are still in the path {got!r}: a path that is shared by all calls has to be shortened on the way back.",
    )
    expect(got == ["r", "b", "b1", "goal"], f"Expected r, b, b1, goal; yours {got!r}.")
    expect(
        problem.proposed == ["r", "a", "a2", "a1", "a3", "b", "b1"],
        f"Best first, deep first: r, a, a2, a1, a3, b, b1 are asked for their next thoughts; yours asked {problem.proposed}.",
    )
    expect(_dfs(tot_dfs, Asked(children, values, ["r"]), 0.1) == ["r"], "Where the root is the goal already, the path is [root].")


@prop("6.4", "DFS prunes below the threshold")
def dfs_prunes(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    children = {"r": ["a", "b", "c"], "a": ["a1"], "b": ["b1"], "c": ["goal"], "b1": ["goal"]}
    values = {"a": 0.4, "b": 0.5, "c": 0.49, "b1": 0.5}
    problem = Asked(children, values, ["goal"])
    got = _dfs(tot_dfs, problem, 0.5)
    expect(got is not None, "b and b1 have exactly the threshold's value: they are followed, only what lies *below* is pruned.")
    expect("a" not in problem.proposed and "c" not in problem.proposed, "States valued below the threshold were followed: prune them.")
    expect(got == ["r", "b", "b1", "goal"], f"Expected r, b, b1, goal; yours {got!r}.")
    expect(_dfs(tot_dfs, Asked(children, values, ["goal"]), 0.6) is None, "With threshold 0.6 all of r's children are pruned: None.")
    low = Asked({"r": ["a", "goal"]}, {"a": 1.0, "goal": -5.0}, ["goal"])
    expect(_dfs(tot_dfs, low, 0.5) == ["r", "goal"], "A goal needs no value: look for it among the children before you value any of them.")
    expect(not low.valued, f"A goal was among the children, yet {low.valued} were valued first.")


@prop("6.4", "DFS asks about each state once, within its budget")
def dfs_budget(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    graph = {"r": ["a", "b"], "a": ["s"], "b": ["s", "t"], "s": ["r", "a"], "t": ["goal"]}
    values = {"a": 3.0, "b": 2.0, "s": 1.0, "t": 1.0}
    problem = Asked(graph, values, ["goal"])
    got = _dfs(tot_dfs, problem, 0.0)
    expect(got == ["r", "b", "t", "goal"], f"In a graph where s leads back to r, expected r, b, t, goal; yours {got!r}.")
    for name, calls in (("proposed from", problem.proposed), ("valued", problem.valued)):
        again = [s for s, n in Counter(calls).items() if n > 1]
        expect(not again, f"{', '.join(map(str, again))} was {name} more than once: remember which states you have seen (the root too).")
    for limit in (1, 2, 3):
        problem = Asked(graph, values, ["goal"])
        got = _dfs(tot_dfs, problem, 0.0, limit)
        expect(
            len(problem.proposed) == limit,
            f"max_expansions = {limit}: `propose` may be called {limit} times; yours called it {len(problem.proposed)} times.",
        )
        expect(got is None, f"With max_expansions = {limit} the goal is out of reach: None; yours {got!r}.")
    for limit in (0, -3):
        expect_raises(
            ValueError, partial(_dfs, tot_dfs, Asked({}, {}, []), 0.0, limit), f"max_expansions = {limit} should raise ValueError."
        )


def _possible(propose: Callable[[Any], Any]) -> Callable[[Any], float]:
    """The exhaustive solver over the learner's own moves."""
    known: dict[Any, bool] = {}

    def solvable(numbers: Any) -> bool:
        if numbers not in known:
            known[numbers] = numbers == (24,) if len(numbers) == 1 else any(solvable(n) for n in propose(numbers))
        return known[numbers]

    return lambda numbers: float(solvable(numbers))


@prop("6.4", "together they play the Game of 24")
def plays(propose: Any, tot_bfs: Any, tot_dfs: Any) -> None:
    def is_goal(numbers: Any) -> bool:
        return numbers == (Fraction(24),)

    root = tuple(map(Fraction, (3, 3, 8, 8)))  # 8 / (3 − 8/3), which many people do not find
    for name, search in (
        ("tot_bfs", lambda v: tot_bfs(root, propose, v, is_goal, 1)),
        ("tot_dfs", lambda v: tot_dfs(root, propose, v, is_goal, 0.5)),
    ):
        path = search(_possible(propose))
        expect(path is not None, f"{name} with a judge that is never wrong did not solve 3 3 8 8.")
        expect(
            list(path[-1]) == [24] and [len(s) for s in path] == [4, 3, 2, 1],
            f"{name} should lead from four numbers to (24,); yours: {[_shown(s) for s in path]}.",
        )
