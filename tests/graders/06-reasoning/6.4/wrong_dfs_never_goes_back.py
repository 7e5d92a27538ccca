from fractions import Fraction
from itertools import combinations


def propose(numbers):
    """What may remain after one operation on two of the numbers.

    Parameters
    ----------
    numbers : tuple of Fraction (or int)

    Returns
    -------
    list of tuple of Fraction, each sorted ascending, none twice, in any order
        One number fewer: two are replaced by their sum, a difference (either way round), their product, or a quotient (either way
        round, never by zero). Exact. Empty for fewer than two numbers.
    """
    ### BEGIN SOLUTION
    found = set()
    for i, j in combinations(range(len(numbers)), 2):
        a, b = Fraction(numbers[i]), Fraction(numbers[j])
        rest = [Fraction(x) for k, x in enumerate(numbers) if k not in (i, j)]
        results = [a + b, a - b, b - a, a * b]
        results += [a / b] if b else []
        results += [b / a] if a else []
        found.update(tuple(sorted([*rest, result])) for result in results)
    return list(found)
    ### END SOLUTION


def tot_bfs(root, propose, evaluate, is_goal, breadth):
    """Breadth first: make the next level, keep its `breadth` best states, go on.

    Parameters
    ----------
    root : hashable, as all states
    propose : callable, state to an iterable of next states; called at most once for each state that goes on, for no other
    evaluate : callable, state to a number, larger is better; called once for each different state of a level, never for the root
    is_goal : callable, state to bool
    breadth : int, at least 1; among equal values the states that were proposed first go on

    Returns
    -------
    list of states from the root to a goal, or None
        Ends at the first level that holds a goal, before any value of that level is asked for, or when nothing is left to propose.

    Raises
    ------
    ValueError: breadth below 1.
    """
    ### BEGIN SOLUTION
    if breadth < 1:
        raise ValueError(f"breadth is {breadth}; keep at least 1 state a level")
    if is_goal(root):
        return [root]
    frontier = [[root]]  # paths
    while frontier:
        level = {}  # state -> path: a state that is reached in two ways is one thought
        for path in frontier:
            for child in propose(path[-1]):
                level.setdefault(child, [*path, child])
        for state, path in level.items():
            if is_goal(state):
                return path
        value = {state: evaluate(state) for state in level}
        best = sorted(level, key=lambda state: -value[state])[:breadth]  # stable: the first among equals stay first
        frontier = [level[state] for state in best]
    return None
    ### END SOLUTION


def tot_dfs(root, propose, evaluate, is_goal, threshold, max_expansions=500):
    """Depth first: follow the best next thought; from a dead end go back and try the next best.

    Parameters
    ----------
    root, propose, evaluate, is_goal : as for tot_bfs
        In the whole search each state is proposed from and valued at most once, also when several ways lead to it.
    threshold : float; a state valued below it is never followed
    max_expansions : int, at least 1; calls of `propose` after which the search gives up

    Returns
    -------
    list of states from the root to a goal, or None
        The children of a state are looked at for a goal before any of them is valued; a goal needs no value. Then all children
        that are new are valued. Equally valued ones are followed in the order in which they were proposed.

    Raises
    ------
    ValueError: max_expansions below 1.
    """
    ### BEGIN SOLUTION
    if max_expansions < 1:
        raise ValueError(f"max_expansions is {max_expansions}; allow at least 1")
    seen, expansions = {root}, 0

    def follow(path):
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
        for child in sorted(children, key=lambda child: -value[child]):
            if value[child] >= threshold:
                return follow([*path, child])
        return None  # a dead end: back to the caller, which tries its next child

    return [root] if is_goal(root) else follow([root])
    ### END SOLUTION
