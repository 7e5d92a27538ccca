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
    n = len(numbers)
    if n < 2:
        return []
    out = []
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            a, b = Fraction(numbers[i]), Fraction(numbers[j])
            rest = tuple(Fraction(numbers[k]) for k in range(n) if k not in (i, j))
            out.append(rest + (a - b,))
            if i < j:
                out.append(rest + (a + b,))
                out.append(rest + (a * b,))
            if b:
                out.append(rest + (a / b,))
    unique = []
    for state in (tuple(sorted(s)) for s in out):
        if state not in unique:
            unique.append(state)
    return unique


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
    import heapq

    if breadth < 1:
        raise ValueError(breadth)
    if is_goal(root):
        return [root]
    paths = {root: (root,)}
    while paths:
        nxt = {}
        for state, path in paths.items():
            for child in list(propose(state)):
                if child not in nxt:
                    nxt[child] = path + (child,)
        done = [p for s, p in nxt.items() if is_goal(s)]
        if done:
            return list(done[0])
        values = [(evaluate(s), -i, s) for i, s in enumerate(nxt)]
        paths = {s: nxt[s] for _, _, s in heapq.nlargest(breadth, values, key=lambda v: v[:2])}
    return None


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
    if max_expansions < 1:
        raise ValueError(max_expansions)
    known, left = {root}, [max_expansions]

    class Enough(Exception):
        pass

    def promising(state):
        if not left[0]:
            raise Enough
        left[0] -= 1
        new = []
        for child in propose(state):
            if child not in known and child not in new:
                new.append(child)
        known.update(new)
        for child in new:
            if is_goal(child):
                return child, ()
        values = [evaluate(child) for child in new]
        order = sorted(range(len(new)), key=lambda i: (-values[i], i))
        return None, [new[i] for i in order if values[i] >= threshold]

    path = [root]

    def walk():
        goal, children = promising(path[-1])
        if goal is not None:
            path.append(goal)
            return True
        for child in children:
            path.append(child)
            if walk():
                return True
            path.pop()
        return False

    if is_goal(root):
        return path
    try:
        return path if walk() else None
    except Enough:
        return None
