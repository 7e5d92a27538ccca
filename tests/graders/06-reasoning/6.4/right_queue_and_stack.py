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
    import itertools

    states = {}
    for a, b, *rest in itertools.permutations([Fraction(n) for n in numbers]) if len(numbers) > 1 else ():
        made = [a + b, a - b, a * b]
        if b != 0:
            made.append(a / b)
        for value in made:
            states[tuple(sorted(rest + [value]))] = True
    return list(states)


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
    if breadth < 1:
        raise ValueError("breadth must be positive")
    parent = {0: (root, None)}  # a number for each thought: its state and where it came from

    def back(i):
        path = []
        while i is not None:
            state, i = parent[i]
            path.append(state)
        return path[::-1]

    if is_goal(root):
        return back(0)
    beam = [0]
    while beam:
        following = {}
        for i in beam:
            for child in propose(parent[i][0]):
                if child in following:
                    continue
                following[child] = len(parent)
                parent[len(parent)] = (child, i)
                if is_goal(child):
                    return back(len(parent) - 1)
        scored = [(-evaluate(state), i) for state, i in following.items()]  # the thought's number breaks ties
        scored.sort()
        beam = [i for _, i in scored[:breadth]]
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
        raise ValueError("max_expansions must be positive")
    if is_goal(root):
        return [root]
    seen, spent = {root}, 0
    stack = [[root]]
    while stack and spent < max_expansions:
        path = stack.pop()
        spent += 1
        fresh = []
        for child in propose(path[-1]):
            if child not in seen and child not in fresh:
                fresh.append(child)
        goals = [child for child in fresh if is_goal(child)]
        if goals:
            return path + [goals[0]]
        seen |= set(fresh)
        scored = [(evaluate(child), child) for child in fresh]
        scored = [pair for pair in scored if pair[0] >= threshold]
        scored = sorted(reversed(scored), key=lambda pair: pair[0])  # the last pushed is popped first
        stack += [path + [child] for _, child in scored]
    return None
