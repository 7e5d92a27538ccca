"""Tree of thoughts: propose next steps, value them, keep the promising ones, go back from dead ends.

Source: Yao et al. 2023, "Tree of Thoughts" (arXiv:2305.10601), algorithms 1 (BFS) and 2 (DFS), and its Game of 24: make 24 from four
numbers with + − × ÷, each used once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from typing import TypeVar

State = TypeVar("State", bound=Hashable)
Numbers = tuple[Fraction, ...]

GOAL = Fraction(24)


def propose(numbers: Sequence[Fraction | int]) -> list[tuple[Fraction, ...]]:
    """What may remain after one operation on two of the numbers.

    Parameters
    ----------
    numbers : sequence of Fraction or int

    Returns
    -------
    list of tuple of Fraction, each sorted ascending, none twice
        One number fewer: two of them are replaced by their sum, a difference (either way round), their product or a quotient (either way
        round, never by zero). Exact, in any order. Empty for fewer than two numbers.
    """
    found: dict[tuple[Fraction, ...], None] = {}
    for i, j in combinations(range(len(numbers)), 2):
        a, b = Fraction(numbers[i]), Fraction(numbers[j])
        rest = [Fraction(x) for k, x in enumerate(numbers) if k not in (i, j)]
        results = [a + b, a - b, b - a, a * b]
        results += [a / b] if b else []
        results += [b / a] if a else []
        for result in results:
            found[tuple(sorted([*rest, result]))] = None
    return list(found)


def tot_bfs(
    root: State,
    propose: Callable[[State], Iterable[State]],
    evaluate: Callable[[State], float],
    is_goal: Callable[[State], bool],
    breadth: int,
) -> list[State] | None:
    """Breadth-first: all next thoughts of a level, of which the `breadth` best go on.

    Parameters
    ----------
    root : State
        Hashable, as all states.
    propose : callable
        State to its next states; called at most once for each state that goes on, never for another.
    evaluate : callable
        State to its value, larger is better; called once for each different state of a level, never for the root.
    is_goal : callable
    breadth : int, at least 1
        Equally valued states: those proposed first go on.

    Returns
    -------
    list of State, from the root to a goal, or None
        The search ends at the first level that holds a goal (before any value of that level is asked for), or where nothing is left to
        propose.

    Raises
    ------
    ValueError
        breadth below 1.
    """
    if breadth < 1:
        raise ValueError(f"breadth is {breadth}; keep at least 1 state a level")
    if is_goal(root):
        return [root]
    frontier: list[list[State]] = [[root]]  # paths
    while frontier:
        level: dict[State, list[State]] = {}  # a state reached in two ways is one thought
        for path in frontier:
            for child in propose(path[-1]):
                level.setdefault(child, [*path, child])
        for state, path in level.items():
            if is_goal(state):
                return path
        value = {state: evaluate(state) for state in level}
        best = sorted(level, key=lambda state: -value[state])[:breadth]  # sorted is stable: the first among equals stay first
        frontier = [level[state] for state in best]
    return None


def tot_dfs(
    root: State,
    propose: Callable[[State], Iterable[State]],
    evaluate: Callable[[State], float],
    is_goal: Callable[[State], bool],
    threshold: float,
    max_expansions: int = 500,
) -> list[State] | None:
    """Depth-first: follow the best next thought; where none is promising, go back and try the next best.

    Parameters
    ----------
    root, propose, evaluate, is_goal : as for `tot_bfs`
        Each state is proposed from and valued at most once in the whole search, also when several ways lead to it.
    threshold : float
        A state valued below it is pruned: never followed.
    max_expansions : int, at least 1
        Calls of `propose` after which the search gives up. (The search recurses: keep it below Python's limit where paths may be as long.)

    Returns
    -------
    list of State, from the root to a goal, or None
        The children of a state are looked at for a goal before any of them is valued. Equally valued ones are followed in the order in
        which they were proposed.

    Raises
    ------
    ValueError
        max_expansions below 1.
    """
    if max_expansions < 1:
        raise ValueError(f"max_expansions is {max_expansions}; allow at least 1")
    seen: set[State] = {root}
    expansions = 0

    def follow(path: list[State]) -> list[State] | None:
        nonlocal expansions
        if expansions == max_expansions:
            return None
        expansions += 1
        children = [child for child in dict.fromkeys(propose(path[-1])) if child not in seen]
        for child in children:
            if is_goal(child):
                return [*path, child]
        seen.update(children)
        value = {child: evaluate(child) for child in children}
        for child in sorted(children, key=lambda c: -value[c]):
            if value[child] >= threshold and (found := follow([*path, child])) is not None:
                return found
        return None  # a dead end: back to the caller, which tries its next child

    return [root] if is_goal(root) else follow([root])
