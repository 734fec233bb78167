"""Source of a module -> its mutants: the same source with one small change each."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
# Words for people: tests that hold every one of them would only repeat them.
_WORDS_OF = {"add_note", "_add_note", "over", "debug", "info", "warning", "append"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        line: of the source, from 1.
        change: what was changed, as "`a == b` -> `a != b`".
        tree: the changed module.
        lines: a test can notice the change only if it runs one of these lines; None if the import runs the change.
    """

    line: int
    change: str
    tree: ast.Module
    lines: frozenset[int] | None

    def __str__(self) -> str:
        return f"{self.line}: {self.change}"


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines.

    Docstrings, annotations and the words of errors and notes stay as they are.
    """
    count = sum(len(_changes(node)) for node in _code(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        left = number
        for node in _code(tree):
            changes = _changes(node)
            if left < len(changes):
                before = ast.unparse(node)
                lines = _lines(tree, node)
                changes[left]()
                ast.fix_missing_locations(tree)  # without a line, a new node does not compile
                yield Mutant(node.lineno, f"`{_short(before)}` -> `{_short(ast.unparse(node))}`", tree, lines)
                break
            left -= len(changes)


def _lines(tree: ast.Module, node: ast.expr | ast.stmt) -> frozenset[int] | None:
    """The lines of a node and of the head of its statement; None outside of functions."""
    above = {below: each for each in ast.walk(tree) for below in ast.iter_child_nodes(each)}
    lines = set(_head(node))
    inside = False
    each: ast.AST = node
    while each in above:
        if isinstance(each, ast.stmt) and not inside:
            lines.update(_head(each))
        parent = above[each]
        match parent:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if each in parent.body:
                return frozenset(lines)
            case ast.Lambda(body=body) if each is body:
                return frozenset(lines)
        inside = inside or isinstance(each, ast.stmt)
        each = parent
    return None


def _head(node: ast.expr | ast.stmt) -> range:
    """The lines of an expression, or of a statement up to the first statement inside it."""
    inner = [each.lineno for each in ast.walk(node) if isinstance(each, ast.stmt) and each is not node]
    last = node.end_lineno or node.lineno
    return range(node.lineno, max(min([last + 1, *inner]), node.lineno + 1))


def _short(code: str) -> str:
    code = " ".join(code.split())
    return code if len(code) <= 70 else f"{code[:67]}..."


def _code(node: ast.AST, *, words: bool = False) -> Iterator[ast.expr | ast.stmt]:
    """The nodes of a module that may be changed: all but annotations, docstrings and words for people."""
    if isinstance(node, ast.expr | ast.stmt) and not (words and isinstance(node, ast.Constant)):
        yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "type_comment", "decorator_list", "bases"}:
            continue
        below = words or isinstance(node, ast.Raise | ast.JoinedStr) or _takes_words_for_people(node)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.Import | ast.ImportFrom | ast.Global):
                continue
            if isinstance(item, ast.If) and ast.unparse(item.test) == "TYPE_CHECKING":
                continue
            if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                continue  # a docstring
            if isinstance(item, ast.AST):
                yield from _code(item, words=below)


def _takes_words_for_people(node: ast.AST) -> bool:
    """Whether a node is a call whose arguments are words for people: an error, a note or a log message."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _WORDS_OF or name.endswith(("Error", "Exceeded", "Content", "Response", "Failure", "Cause"))
        case _:
            return False


def _changes(node: ast.expr | ast.stmt) -> list[Callable[[], None]]:
    """What can be changed in one node, each a function that does it."""
    match node:
        case ast.Compare(ops=ops):
            return [_replaced(ops, at, _COMPARISONS[type(op)]()) for at, op in enumerate(ops)]
        case ast.BoolOp(op=op):
            return [_set(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())]
        case ast.UnaryOp(op=ast.Not()):
            return [_doubled(node)]
        case ast.BinOp(op=op) if type(op) in _OPERATORS and not _is_text(node):
            return [_set(node, "op", _OPERATORS[type(op)]())]
        case ast.Constant(value=bool() as value):
            return [_set(node, "value", not value)]
        case ast.Constant(value=int() | float() as value):
            return [_set(node, "value", value + 1)]
        case ast.Constant(value=str() | bytes() as value) if value:
            return [_set(node, "value", value + (b"XX" if isinstance(value, bytes) else "XX"))]
        case ast.If() | ast.While() | ast.IfExp():
            return [_set(node, "test", ast.Constant(value=False)), *_true(node)]
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            return [_set(node, "value", ast.Constant(value=None))]
        case ast.Expr(value=ast.Call() | ast.YieldFrom() | ast.Yield() as value):
            return [_set(node, "value", ast.Constant(value=None))]
        case ast.Break() | ast.Continue():
            return [lambda: setattr(node, "__class__", ast.Continue if isinstance(node, ast.Break) else ast.Break)]
        case _:
            return []


def _is_text(node: ast.BinOp) -> bool:
    """Whether an operation joins texts: another operator would raise at once."""
    return any(isinstance(side, ast.JoinedStr) or _is_string(side) for side in (node.left, node.right))


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _true(node: ast.If | ast.While | ast.IfExp) -> list[Callable[[], None]]:
    return [] if isinstance(node, ast.While) else [_set(node, "test", ast.Constant(value=True))]


def _set(node: ast.AST, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, name, value)


def _doubled(node: ast.UnaryOp) -> Callable[[], None]:
    """`not x` -> `not not x`, which is the truth of x."""
    return lambda: setattr(node, "operand", ast.UnaryOp(op=ast.Not(), operand=node.operand))


def _replaced(items: list[ast.cmpop], at: int, item: ast.cmpop) -> Callable[[], None]:
    return lambda: items.__setitem__(at, item)
