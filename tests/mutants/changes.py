"""The small changes that can be made to a source file."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_COMPUTED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_EMPTY = {"list": "[]", "tuple": "()", "dict": "{}", "set": "set()", "str": '""', "int": "0", "float": "0.0"}
_LARGE = 1000  # from here on one more is hardly a change
# what is called with these is for people: progress, logs, messages
_TELLING = re.compile(r"(Error|Warning)$|^(warn|warning|info|debug|print|echo|secho|log|_log|fail|note|option|help)$")
_FOR_PEOPLE = {"help", "hint", "metavar", "description", "title", "doc"}
_LARGEST = 8  # entries; a larger collection of constants is a table of words, whose entries are left alone
_GUARDS = {"strict"}  # of zip, over what is equally long
_TYPES = {"cast", "TypeVar", "NewType", "Literal", "Annotated", "TypeAdapter"}


@dataclass(frozen=True)
class Signature:
    """What a call of a function of this name may leave out, and which of its neighbours have the same type."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    optional: frozenset[str]


@dataclass(frozen=True, order=True)
class Change:
    """One change: the text from `start` to `end` (bytes of the file) becomes `after`."""

    file: str
    line: int
    start: int
    end: int
    kind: str
    before: str
    after: str
    lines: tuple[int, int] = field(compare=False)  # of the statement
    function: tuple[int, int] | None = field(compare=False)  # lines of the function it runs in; None: on import
    cached: bool = field(compare=False, default=False)  # the function remembers what it returned

    def __str__(self) -> str:
        return f"{_short(self.before)} -> {_short(self.after) or 'nothing'}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 90 else text[:87] + "..."


def signatures(paths: Iterable[Path]) -> dict[str, Signature]:
    """The functions and dataclasses that have a name of their own in the project."""
    found: dict[str, list[Signature]] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(_of_function(node))
            elif isinstance(node, ast.ClassDef):
                fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
                names = tuple(ast.unparse(one.target) for one in fields)
                optional = frozenset(ast.unparse(one.target) for one in fields if one.value is not None)
                types = tuple(ast.unparse(one.annotation) for one in fields)
                found.setdefault(node.name, []).append(Signature(names, types, optional))
    return {name: each[0] for name, each in found.items() if len(each) == 1}


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
    plain = [*node.args.posonlyargs, *node.args.args]
    optional = {a.arg for a in plain[len(plain) - len(node.args.defaults) :]} if node.args.defaults else set()
    optional |= {
        a.arg for a, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value is not None
    }
    plain = [a for a in plain if a.arg not in ("self", "cls")]
    types = tuple(ast.unparse(a.annotation) if a.annotation else "" for a in plain)
    return Signature(tuple(a.arg for a in plain), types, frozenset(optional))


def changes(file: str, source: bytes, known: dict[str, Signature]) -> list[Change]:
    """Every change of a file, in order. `known`: `signatures` of the project."""
    return sorted({change for change in _Changes(file, source, known).all() if change.before != change.after})


class _Changes:
    def __init__(self, file: str, source: bytes, known: dict[str, Signature]) -> None:
        self.file, self.source, self.known = file, source, known
        self.starts = [0]
        for text in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(text))

    def all(self) -> Iterator[Change]:
        yield from self._block(ast.parse(self.source).body, None, False)

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, start: int, end: int) -> str:
        return self.source[start:end].decode()

    # Statements

    def _block(self, body: list[ast.stmt], function: tuple[int, int] | None, cached: bool) -> Iterator[Change]:
        for index, node in enumerate(body):
            if index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            yield from self._statement(node, function, cached)

    def _statement(self, node: ast.stmt, function: tuple[int, int] | None, cached: bool) -> Iterator[Change]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name not in ("__repr__", "__str__"):
                for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
                    yield from self._placed(self._expression(default), default, function, cached)
                body = (node.lineno, node.end_lineno or node.lineno)
                remembers = any("cache" in ast.unparse(d) for d in node.decorator_list)
                yield from self._block(node.body, body, cached or remembers)
            return
        if isinstance(node, ast.ClassDef):
            yield from self._block(node.body, function, cached)
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Global | ast.Nonlocal | ast.Pass):
            return
        if _tells(node) or _is_typing(node):
            return
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        header = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr | ast.withitem)]
        inner = header if any(blocks) else [node]
        for child in inner:
            found = self._of_statement(node) if child is node else self._expression(child)
            yield from self._placed(found, child, function, cached)
        for block in blocks:
            yield from self._block(block, function, cached)
        for handler in getattr(node, "handlers", []):
            yield from self._block(handler.body, function, cached)
        for case in getattr(node, "cases", []):
            yield from self._block(case.body, function, cached)

    def _placed(
        self, found: Iterable[Change], node: ast.AST, function: tuple[int, int] | None, cached: bool
    ) -> Iterator[Change]:
        first = getattr(node, "lineno", None)
        for one in found:
            lines = (first, node.end_lineno) if first is not None else (one.line, one.line)  # type: ignore[attr-defined]
            yield Change(
                self.file, one.line, one.start, one.end, one.kind, one.before, one.after, lines, function, cached
            )

    def _of_statement(self, node: ast.stmt) -> Iterator[Change]:
        targets = node.targets if isinstance(node, ast.Assign) else []
        stored = any(isinstance(target, ast.Attribute | ast.Subscript) for target in targets)
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
        if stored or called or isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break | ast.Delete):
            yield self._replaced(node, "statement removed", "pass")
        if isinstance(node, ast.Return) and node.value is not None:
            yield from self._of_return(node)
        if isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
            yield from self._between(node.target, node.value, _COMPUTED[type(node.op)], "arithmetic", "=")
        if isinstance(node, ast.Raise):
            return  # its words are for people
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.AnnAssign) and child is node.annotation:
                continue
            yield from self._expression(child)

    def _of_return(self, node: ast.Return) -> Iterator[Change]:
        value = node.value
        assert value is not None
        if isinstance(value, ast.Constant):
            return
        returned = "None"
        if isinstance(value, ast.List | ast.ListComp):
            returned = "[]"
        elif isinstance(value, ast.Dict | ast.DictComp):
            returned = "{}"
        elif isinstance(value, ast.JoinedStr):
            returned = '""'
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _EMPTY:
            returned = _EMPTY[value.func.id]
        elif isinstance(value, ast.Compare | ast.BoolOp):
            returned = "not (" + self._text(*self._span(value)) + ")"
        yield self._replaced(value, "return value", returned)

    # Expressions

    def _expression(self, node: ast.AST) -> Iterator[Change]:
        if isinstance(node, ast.JoinedStr | ast.Lambda) or _tells(node):
            if isinstance(node, ast.Lambda):
                yield from self._expression(node.body)
            return
        if (isinstance(node, ast.Subscript | ast.Call) and _called(node) in _TYPES) or _is_table(node):
            return
        yield from self._of_expression(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.keyword) and node.arg in _FOR_PEOPLE | _GUARDS:
                continue
            yield from self._expression(child)

    def _of_expression(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
                    yield from self._between(left, right, _COMPARED[type(op)], "comparison")
            case ast.BoolOp():
                words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._between(left, right, words, "and / or")
            case ast.BinOp() if type(node.op) in _COMPUTED and not (_is_text(node.left) or _is_text(node.right)):
                yield from self._between(node.left, node.right, _COMPUTED[type(node.op)], "arithmetic")
            case ast.UnaryOp(op=ast.Not()):
                yield self._replaced(node, "not removed", self._text(*self._span(node.operand)))
            case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
                yield self._replaced(node, "sign removed", self._text(*self._span(node.operand)))
            case ast.IfExp():
                yield self._replaced(node.test, "condition negated", f"not ({self._text(*self._span(node.test))})")
            case ast.Constant():
                yield from self._of_constant(node)
            case ast.Call():
                yield from self._of_call(node)

    def _of_constant(self, node: ast.Constant) -> Iterator[Change]:
        value = node.value
        if isinstance(value, bool):
            yield self._replaced(node, "constant", str(not value))
        elif isinstance(value, int):
            yield self._replaced(node, "constant", str(value + 1 if value < _LARGE else 2 * value))
        elif isinstance(value, float):
            yield self._replaced(node, "constant", repr(value * 1.5) if value else "1.0")
        elif isinstance(value, str) and len(value.split()) < 3:
            yield self._replaced(node, "constant", '""' if value else '"text"')

    def _of_call(self, node: ast.Call) -> Iterator[Change]:
        known = self.known.get(_called(node))
        for keyword in node.keywords:
            if keyword.arg in (None, *_GUARDS, "default_factory"):  # without a factory nothing would be tested
                continue
            if known is None or keyword.arg in known.optional:
                start, end = self._span(keyword)
                rest = re.match(rb"\s*,?[ \t]*", self.source[end:])
                assert rest is not None
                yield self._change(start, end + rest.end(), "keyword dropped", "", node=keyword)
        if known is None or any(isinstance(one, ast.Starred) for one in node.args):
            return
        for i in range(min(len(node.args), len(known.types)) - 1):
            one, other = self._span(node.args[i]), self._span(node.args[i + 1])
            if known.types[i] and known.types[i] == known.types[i + 1] and self._text(*one) != self._text(*other):
                between = self._text(one[1], other[0])
                swapped = self._text(*other) + between + self._text(*one)
                yield self._change(one[0], other[1], "arguments swapped", swapped, node=node.args[i])

    # Texts

    def _replaced(self, node: ast.expr | ast.stmt, kind: str, after: str) -> Change:
        return self._change(*self._span(node), kind, after, node=node)

    def _change(self, start: int, end: int, kind: str, after: str, node: ast.expr | ast.stmt | ast.keyword) -> Change:
        lines = (node.lineno, node.end_lineno or node.lineno)
        return Change(self.file, node.lineno, start, end, kind, self._text(start, end), after, lines, None)

    def _between(
        self, left: ast.expr, right: ast.expr, words: tuple[str, str], kind: str, behind: str = ""
    ) -> Iterator[Change]:
        start, end = self._span(left)[1], self._span(right)[0]
        text = self._text(start, end)
        before, after = (word + behind for word in words)
        pattern = re.escape(before) if not before[0].isalpha() else r"\b" + before.replace(" ", r"\s+") + r"\b"
        found = re.search(pattern, re.sub(r"#.*", lambda comment: " " * len(comment[0].encode()), text))
        if found is None:
            return
        at = start + len(text[: found.start()].encode())
        line = left.end_lineno or left.lineno
        line += text[: found.start()].count("\n")
        stop = at + len(found[0].encode())
        yield Change(self.file, line, at, stop, kind, found[0], after, (line, line), None)


def _called(node: ast.AST) -> str:
    target = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""


def _tells(node: ast.AST) -> bool:
    """Whether it only says something to people."""
    if isinstance(node, ast.Expr):
        node = node.value
    return isinstance(node, ast.Call) and _TELLING.search(_called(node)) is not None


def _is_typing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"):
        return True
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr) and isinstance(value.left, ast.Name)


def _is_table(node: ast.AST) -> bool:
    entries = [*node.keys, *node.values] if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return len(entries) > _LARGEST and all(isinstance(each, ast.Constant) for each in entries)


def _is_text(node: ast.expr) -> bool:
    text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return text or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp)
