"""6.4 measured: the Game of 24 by one chain, by the best of n, and by two searches, with the same two small networks behind all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.figures.reasoning_search import Share, Thought, search_tree, solved_curves
from aieng.lesson.environment import quick
from aieng.lesson.experiments.retrieval import wilson
from aieng.lesson.finding import Finding, experiment
from aieng.reasoning.game24 import RECORD, Intuition, Numbers, held_out, is_goal, load_intuition, shown, solvable, start, step_text
from aieng.reasoning.tree_search import propose as every_thought

THOUGHTS = 8  # of a state that are looked at: the policy's first
THRESHOLD = 0.1
PUZZLES = 100
DEPTHS = ("4 numbers", "3", "2", "1")


@experiment
def how_good_is_the_model() -> Finding:
    """The stored test of the two networks on states that no training puzzle leads to. The numbers: `auc`, `first_move`."""
    about = json.loads(RECORD.read_text(encoding="utf-8"))
    below = len({child for puzzle in held_out() for child in every_thought(puzzle)})
    return Finding(
        f"Trained in {about['seconds']} seconds on {about['training_puzzles']:,} puzzles ({about['date']}). The {len(about['held_out'])} "
        f"held-out puzzles "
        f"lead to {below:,} states of three numbers. Most of those lie below training puzzles too, and the networks have met them; "
        f"{about['unseen_states']:,} do "
        f"not. Of these {about['unseen_solvable_share']:.0%} can still become 24, and the value network puts one that can above one that "
        f"cannot "
        f"{about['value_auc']:.0%} of the time (guessing: 50 %). The policy's favourite first move keeps "
        f"{about['policy_first_move_right']:.0%} of the held-out "
        "puzzles solvable.",
        data={"auc": about["value_auc"], "first_move": about["policy_first_move_right"]},
    )


def thoughts_of(intuition: Intuition, propose: Any, width: int = THOUGHTS) -> Callable[[Numbers], list[Numbers]]:
    """Next thoughts as a model gives them: the learner's proposals, of which the policy (one call) keeps its favourites."""
    return lambda numbers: intuition.rank(numbers, list(propose(numbers)))[:width]


def first_right(intuition: Intuition, numbers: Numbers, most: int, rng: np.random.Generator) -> int:
    """The number of the first of `most` chains that reaches 24, or most + 1."""
    return next((n for n in range(1, most + 1) if is_goal(intuition.chain(numbers, rng)[-1])), most + 1)


def _share(solved: Sequence[bool] | NDArray[np.bool_]) -> Share:
    return float(np.mean(solved)), *wilson(int(np.sum(solved)), len(solved))


@experiment
def solved_against_calls(propose: Any, tot_bfs: Any, tot_dfs: Any, *, puzzles: int = PUZZLES, seed: int = 0) -> Finding:
    """Solved share and mean model calls of every way to search, on puzzles that no training saw.

    The numbers: `chain_share`, `chain_calls`, the same for `best`, `bfs`, `dfs`; `n` and `breadth` of those; `puzzles`; `series`.
    """
    asked = held_out()[: 20 if quick() else puzzles]
    intuition, rng = load_intuition(), np.random.default_rng(seed)
    sizes = (1, 2, 4, 8, 16) if quick() else (1, 2, 4, 8, 16, 32, 64)
    firsts = np.array([first_right(intuition, p, sizes[-1], rng) for p in asked])
    series: dict[str, list[tuple[str, float, Share]]] = {
        "best of n chains": [(f"n = {n}", float(np.mean(3 * np.minimum(firsts, n))), _share(firsts <= n)) for n in sizes]
    }

    def searched(search: Callable[[Intuition, Numbers], Any]) -> tuple[float, Share]:
        found, calls = [], []
        for p in asked:
            mind = Intuition(intuition.layers)
            found.append(search(mind, p) is not None)
            calls.append(mind.calls)
        return float(np.mean(calls)), _share(found)

    def bfs_with(breadth: int) -> Callable[[Intuition, Numbers], Any]:
        return lambda mind, p: tot_bfs(p, thoughts_of(mind, propose), mind.value, is_goal, breadth)

    def dfs_with(width: int, most: int) -> Callable[[Intuition, Numbers], Any]:
        return lambda mind, p: tot_dfs(p, thoughts_of(mind, propose, width), mind.value, is_goal, THRESHOLD, most)

    settings = (("3 states", THOUGHTS, 3), ("5 states", THOUGHTS, 5), ("to the end", THOUGHTS, 500), ("all thoughts", 36, 500))
    series["ToT, breadth first"] = [(f"beam {b}", *searched(bfs_with(b))) for b in (1, 2, 3, 5, 8)]
    series["ToT, depth first"] = [(label, *searched(dfs_with(width, most))) for label, width, most in settings]
    table = "\n".join(
        f"| {name} | {label} | {calls:.1f} | {s:.0%} ({lo:.0%} to {hi:.0%}) |"
        for name, points in series.items()
        for label, calls, (s, lo, hi) in points
    )
    chains, bfs, dfs = series.values()
    by_name = {"chain": chains[0], "best": chains[-1], "bfs": bfs[3], "dfs": dfs[2]}
    data: dict[str, Any] = {"n": sizes[-1], "breadth": 5, "puzzles": len(asked), "series": series}
    for name, (_, calls, (share, _, _)) in by_name.items():
        data |= {f"{name}_share": share, f"{name}_calls": calls}
    enough = next(
        (f"{label} needs {calls:.0f} calls" for label, calls, (s, _, _) in chains if s >= data["bfs_share"]),
        f"even n = {sizes[-1]} does not reach it",
    )
    sentence = (
        f"| search | setting | model calls a puzzle | solved (95 % interval) |\n|---|---|---|---|\n{table}\n\n"
        f"One chain solves {data['chain_share']:.0%} of {len(asked)} held-out puzzles with 3 calls. A beam of 5 solves "
        f"{data['bfs_share']:.0%} with "
        f"{data['bfs_calls']:.0f} calls; for the same share by independent chains, {enough}. Going back instead of widening: "
        f"{data['dfs_share']:.0%} with "
        f"{data['dfs_calls']:.0f}. Of each state's moves the policy's {THOUGHTS} favourites are looked at (“all thoughts”: every one); DFS "
        f"prunes values below {THRESHOLD}."
    )
    return Finding(sentence, solved_curves(series, len(asked)), data)


# --- a search written down ------------------------------------------------------------------------------------------------


def record_search(
    search: Callable[..., Any], root: Numbers, propose: Callable[[Numbers], Sequence[Numbers]], evaluate: Callable[[Numbers], float]
) -> list[Thought]:
    """Run ``search(root, propose, evaluate, is_goal)`` and write down which states it made, valued and followed, in order."""
    order: dict[Numbers, dict[str, Any]] = {root: {"label": shown(root), "how": "", "parent": -1, "depth": 0, "made_at": 0}}
    place = {root: 0}
    steps = 0

    def proposing(numbers: Numbers) -> list[Numbers]:
        nonlocal steps
        steps += 1
        children = list(propose(numbers))
        order[numbers].setdefault("followed_at", steps)
        for child in children:
            if child not in order:
                place[child] = len(order)
                order[child] = {
                    "label": shown(child),
                    "how": step_text(numbers, child),
                    "parent": place[numbers],
                    "depth": 4 - len(child),
                    "made_at": steps,
                    "goal": is_goal(child),
                }
        return children

    def valuing(numbers: Numbers) -> float:
        value = evaluate(numbers)
        order[numbers]["value"] = float(value)
        return value

    for state in search(root, proposing, valuing, is_goal) or ():
        order[state]["on_path"] = True
    return [Thought(**about) for about in order.values()]


def parse_puzzle(text: str) -> Numbers:
    """Four whole numbers from 1 to 13.

    Raises
    ------
    ValueError
        Anything else.
    """
    parts = text.replace(",", " ").split()
    if len(parts) != 4 or not all(p.isdigit() and 1 <= int(p) <= 13 for p in parts):
        raise ValueError(f"{text!r}: type four whole numbers from 1 to 13, such as 4 9 10 13")
    return start(*map(int, parts))


def walk(puzzle: Numbers, way: str, breadth: int, propose: Any, tot_bfs: Any, tot_dfs: Any) -> tuple[list[Thought], str]:
    """One search of the explorer, and in words what came of it."""
    mind = load_intuition()
    if way == "BFS":

        def search(*problem: Any) -> Any:
            return tot_bfs(*problem, breadth)
    else:

        def search(*problem: Any) -> Any:
            return tot_dfs(*problem, THRESHOLD, 50)

    thoughts = record_search(search, puzzle, thoughts_of(mind, propose), mind.value)
    outcome = (
        "solved"
        if any(t.on_path for t in thoughts)
        else "not found, though it can be done"
        if solvable(puzzle)
        else "not found: it has no solution"
    )
    return thoughts, f"{shown(puzzle)}: {outcome}, {mind.calls} model calls"


def tree_at(thoughts: Sequence[Thought], step: int, title: str) -> Any:
    """The picture after `step` followed states."""
    return search_tree(thoughts, step, title, DEPTHS)
