"""Small faults planted in a reference answer, one at a time: would the tests notice?

Source: DeMillo, Lipton and Sayward 1978, "Hints on Test Data Selection: Help for the Practicing Programmer" (mutation testing).
"""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
           ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
              ast.Pow: ast.Mult}
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not",
         ast.In: "in", ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
         ast.Pow: "**"}


CHANGED = (ast.Compare, ast.BinOp, ast.AugAssign, ast.BoolOp, ast.UnaryOp, ast.Constant, ast.If, ast.While, ast.IfExp, ast.Call, ast.Raise,
           ast.Continue, ast.Break, ast.Expr)


@dataclass(frozen=True)
class Mutant:
    """A reference answer with one fault. `about` names it and stays the same as long as its line of code does."""

    about: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of an answer: comparisons, signs, constants, conditions, named arguments and whole statements, each changed once.

    What stays as it is: signatures, which the learner is given, and the words of error messages, which nobody tests.

    Parameters
    ----------
    source : the text of a solution cell
    """
    tree = ast.parse(source)
    whole = pickle.dumps(tree)  # several times as fast as copying it
    seen = {ast.unparse(tree)}
    spared = {id(n) for outer in ast.walk(tree) for part in _spared(outer) for n in ast.walk(part)}
    lines = {id(n): line for s in ast.walk(tree) if isinstance(s, ast.stmt)
             for line in ast.unparse(s).splitlines()[:1] for n in ast.walk(s)}
    for number, node in enumerate(ast.walk(tree)):
        for variant in range(_variants(node) if isinstance(node, CHANGED) and id(node) not in spared else 0):
            changed = pickle.loads(whole)
            target = next(n for i, n in enumerate(ast.walk(changed)) if i == number)
            before = lines.get(id(node), "")
            how = _change(changed, target, variant)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if how and text not in seen:
                seen.add(text)
                yield Mutant(f"{how} in `{before}`", text)


def _spared(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef):
        return [node.args]
    return list(node.exc.args) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) else []


def _variants(node: ast.AST) -> int:
    if isinstance(node, ast.Call):
        return len(node.keywords)
    return 1


def _change(tree: ast.AST, node: ast.AST, variant: int) -> str:
    """Change the node in place and say how; "" where there is nothing to change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        old = type(node.ops[0])
        node.ops[0] = COMPARE[old]()
        return f"{SIGNS[old]} became {SIGNS[COMPARE[old]]}"
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        operator = type(node.op)
        node.op = ARITHMETIC[operator]()
        return f"{SIGNS[operator]} became {SIGNS[ARITHMETIC[operator]]}"
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"{'or' if isinstance(node.op, ast.And) else 'and'} became the other"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not) and not isinstance(node.operand, ast.Constant):
        sign = "-" if isinstance(node.op, ast.USub) else "not"
        _replace(tree, node, node.operand)
        return f"{sign} was left out"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
        return f"{not node.value} became {node.value}"
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        old_value, node.value = node.value, node.value + 1
        return f"{old_value} became {node.value}"
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.BoolOp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return "the condition was turned round"
    if isinstance(node, ast.Call) and node.keywords:
        gone = node.keywords.pop(variant)
        return f"{gone.arg}= was left out"
    if isinstance(node, ast.Raise | ast.AugAssign | ast.Continue | ast.Break) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        _replace(tree, node, ast.Pass())
        return "the statement was left out"
    return ""


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list) and any(v is old for v in value):
                value[[v is old for v in value].index(True)] = new
                return
