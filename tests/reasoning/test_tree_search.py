"""Tree search against exhaustive search, and the Game of 24: its solver, its puzzles and the two small networks."""

import json
import operator
import random
from fractions import Fraction
from itertools import pairwise, permutations, product

import networkx
import numpy as np
import pytest

from aieng.reasoning import game24
from aieng.reasoning.game24 import Intuition, features, held_out, is_goal, load_intuition, result, solvable, start, step_text
from aieng.reasoning.tree_search import propose, tot_bfs, tot_dfs

FORMS = (  # the five ways to set brackets
    lambda f, g, h, a, b, c, d: h(g(f(a, b), c), d), lambda f, g, h, a, b, c, d: h(f(a, b), g(c, d)),
    lambda f, g, h, a, b, c, d: h(g(a, f(b, c)), d), lambda f, g, h, a, b, c, d: h(a, g(f(b, c), d)),
    lambda f, g, h, a, b, c, d: h(a, g(b, f(c, d))),
)


def brute_force(numbers):
    """All formulas over all orders, in floats: another way to solve the game."""
    for ordered in permutations(map(float, numbers)):
        for signs in product((operator.add, operator.sub, operator.mul, operator.truediv), repeat=3):
            for form in FORMS:
                try:
                    if abs(form(*signs, *ordered) - 24) < 1e-9:
                        return True
                except ZeroDivisionError:
                    continue
    return False


@pytest.mark.parametrize(
    "numbers", [(3, 3, 8, 8), (1, 5, 5, 5), (1, 1, 1, 1), (4, 9, 10, 13), (3, 4, 6, 7), (1, 6, 7, 8), (1, 2, 7, 7), (13, 13, 13, 13)]
)
def test_solver_agrees_with_trying_all_formulas(numbers):
    assert solvable(start(*numbers)) == brute_force(numbers)


def test_propose_by_hand():
    assert set(propose((2, 6))) == {(Fraction(x),) for x in (8, -4, 4, 12, 3)} | {(Fraction(1, 3),)}
    assert set(propose((0, 7))) == {(Fraction(7),), (Fraction(-7),), (Fraction(0),)}
    assert propose((5,)) == [] and propose(()) == []
    assert len(propose((4, 9, 10, 13))) == len(set(propose((4, 9, 10, 13)))) == 36


def dag(seed):
    rng = random.Random(seed)
    children = {n: rng.sample(range(n + 1, min(n + 8, 40)), rng.randint(0, min(3, 39 - n))) if n < 39 else [] for n in range(40)}
    return children, [rng.random() for _ in range(40)], set(rng.sample(range(15, 40), 2))


@pytest.mark.parametrize("seed", range(25))
def test_wide_bfs_finds_a_nearest_goal_and_dfs_whatever_can_be_reached(seed):
    children, values, goals = dag(seed)
    graph = networkx.DiGraph((a, b) for a, row in children.items() for b in row)
    graph.add_nodes_from(children)
    distances = networkx.single_source_shortest_path_length(graph, 0)
    nearest = min((distances[g] for g in goals if g in distances), default=None)
    path = tot_bfs(0, children.__getitem__, values.__getitem__, goals.__contains__, 100)
    assert (path is None) == (nearest is None)
    assert path is None or (len(path) - 1 == nearest and all(b in children[a] for a, b in pairwise(path)))
    path = tot_dfs(0, children.__getitem__, values.__getitem__, goals.__contains__, -1.0)
    assert (path is None) == (nearest is None)
    assert path is None or (path[-1] in goals and all(b in children[a] for a, b in pairwise(path)))


def test_refusals():
    for search in (tot_bfs, tot_dfs):
        with pytest.raises(ValueError, match="at least 1"):
            search(0, list, float, bool, *((0,) if search is tot_bfs else (0.0, 0)))


# --- the game ---------------------------------------------------------------------------------------------------------------


def test_actions_cover_the_proposals():
    for numbers in (start(4, 6, 10, 13), start(3, 8, 8), start(2, 6), start(1, 1)):
        assert {result(numbers, a) for a in range(36)} - {None} == set(propose(numbers))
        for child in propose(numbers):
            text = step_text(numbers, child)
            left, right = text.split(" = ")
            a, sign, b = left.split(" ")
            a, b = Fraction(a), Fraction(b)
            assert {"+": a + b, "−": a - b, "×": a * b, "÷": a / b if b else None}[sign] == Fraction(right) and Fraction(right) in child
    with pytest.raises(ValueError, match="no operation"):
        step_text(start(2, 6), start(99))


def test_held_out_puzzles_can_be_solved_and_are_all_different():
    listed = held_out()
    assert len(listed) == len(set(listed)) == 200 and all(len(p) == 4 and solvable(p) for p in listed)


def test_the_record_says_how_the_puzzles_were_parted():
    about = json.loads(game24.RECORD.read_text(encoding="utf-8"))
    assert about["training_puzzles"] + len(about["held_out"]) == 1362  # of the 1,820 puzzles from 1 to 13, as lists of the game say


def test_features_tell_states_apart():
    states = [
        start(1, 2, 3),
        start(1, 2),
        start(2, 2),
        (Fraction(1, 3), Fraction(8)),
        (Fraction(-1, 3), Fraction(8)),
        (Fraction(24),),
        (Fraction(500),),
    ]
    made = np.array([features(s) for s in states])
    assert made.shape == (7, 344) and np.isfinite(made).all() and len(np.unique(made, axis=0)) == 7


def test_networks_know_something_and_count_their_calls():
    mind = load_intuition()
    assert mind.calls == 0
    asked = held_out()[:60]
    first = [mind.rank(p, propose(p))[0] for p in asked]
    assert mind.calls == 60
    chance = np.mean([np.mean([solvable(c) for c in propose(p)]) for p in asked])
    assert np.mean([solvable(c) for c in first]) > chance + 0.2
    states = [c for p in asked[:10] for c in propose(p)]
    values = np.array([mind.value(s) for s in states])
    truth = np.array([solvable(s) for s in states])
    assert values[truth].mean() > values[~truth].mean() + 0.1 and ((values >= 0) & (values <= 1)).all()
    assert mind.calls == 60 + len(states)
    assert mind.value((Fraction(24),)) == 1.0 and mind.value((Fraction(23),)) == 0.0 and mind.calls == 60 + len(states)


def test_chains_take_three_calls_and_follow_the_rules():
    mind = load_intuition()
    rng = np.random.default_rng(0)
    for i, puzzle in enumerate(held_out()[:20], 1):
        path = mind.chain(puzzle, rng)
        assert [len(s) for s in path] == [4, 3, 2, 1] and all(b in propose(a) for a, b in pairwise(path)) and mind.calls == 3 * i
    same = [Intuition(mind.layers).chain(start(4, 9, 10, 13), np.random.default_rng(5)) for _ in range(2)]
    assert same[0] == same[1]


def test_ranking_keeps_every_thought():
    mind = load_intuition()
    thoughts = propose(start(4, 9, 10, 13))
    assert sorted(mind.rank(start(4, 9, 10, 13), thoughts)) == sorted(thoughts)


def test_is_goal():
    assert is_goal((Fraction(24),)) and not is_goal((Fraction(24), Fraction(0))) and not is_goal((Fraction(25),))


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="git checkout assets"):
        load_intuition(tmp_path / "none.safetensors")
