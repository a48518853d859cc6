"""Matrices that an answer writes as a product, a sum or a scalar multiple."""

from collections.abc import Callable
from fractions import Fraction

from evalkit.grading.latex.nodes import Call, Matrix, Node, Num, Seq, Sym, substituted, symbols

MAX_ENTRIES = 400
ZERO = Call("zero vector", ())  # of as many entries as what it is compared with


def as_matrix(node: Node) -> Matrix | None:
    """The matrix that an expression is, its entries left as expressions; None where it is none."""
    if isinstance(node, Matrix):
        return node
    if isinstance(node, Seq) and len(node.items) == 1 and node.open in ("(", "["):
        return as_matrix(node.items[0])
    if not isinstance(node, Call) or not 1 <= len(node.args) <= 2:
        return None
    if node.name == "^" and node.args[1] in (Sym("T"), Sym("top")) and (rows := rows_of(node.args[0])):
        return Matrix(tuple(zip(*rows, strict=True))) if len({len(row) for row in rows}) == 1 else None
    parts = [as_matrix(argument) for argument in node.args]
    if not any(parts):
        return None
    first, second = parts[0], parts[-1]
    if node.name == "neg" and first:
        return _each(first, lambda entry: Call("neg", (entry,)))
    if node.name == "/" and first and len(parts) == 2 and second is None:
        return _each(first, lambda entry: Call("/", (entry, node.args[1])))
    if node.name == "*" and first is None and second:
        return _each(second, lambda entry: Call("*", (node.args[0], entry)))
    if node.name == "*" and first and parts[1] is None:
        return _each(first, lambda entry: Call("*", (node.args[1], entry)))
    if node.name == "*" and first and second:
        return _product(first, second)
    if node.name == "+" and first and second and _shape(first) == _shape(second):
        return Matrix(
            tuple(
                tuple(Call("+", pair) for pair in zip(row, other, strict=True))
                for row, other in zip(first.rows, second.rows, strict=True)
            )
        )
    return None


def rows_of(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """The rows of a matrix, of `[[1, 2], [3, 4]]`, or of a tuple as one row; None for anything else."""
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Seq) and node.open in ("(", "[") and node.items:
        rows = [item.items for item in node.items if isinstance(item, Seq) and item.open in ("(", "[")]
        if len(rows) == len(node.items):
            return tuple(rows)
        return (node.items,)
    return None


def as_vector(node: Node, size: int) -> Matrix | None:
    """`2i - 3j` as a column of `size` entries; None where the node is no sum over at least two of the unit vectors."""
    units = ("i", "j", "k")[:size]
    if not (isinstance(node, Call) and 2 <= size <= 3 and "j" in (names := symbols(node)) and names.isdisjoint("xyz")):
        return None
    entries = []
    for unit in units:
        values = {Sym(name): Num(Fraction(name == unit)) for name in units}
        entries.append((substituted(node, values),))
    return Matrix(tuple(entries))


def with_its_size(node: Node, other: Node) -> Node:
    """-I as a matrix where the other is a square one, and a zero vector with as many entries as the other has."""
    zero = node == ZERO
    if not zero and not any(name.startswith("I") for name in symbols(node)):
        return node
    rows = rows_of(as_matrix(other) or other)
    if rows is None or len({len(row) for row in rows}) != 1:
        return node
    height, width = len(rows), len(rows[0])
    if zero:
        return Matrix(((Num(Fraction(0)),) * width,) * height)
    if height != width or height < 2 or not symbols(node) <= {"I", f"I_{height}"}:
        return node
    identity = Matrix(tuple(tuple(Num(Fraction(at == to)) for to in range(width)) for at in range(height)))
    found: Node = substituted(node, {Sym("I"): identity, Sym(f"I_{height}"): identity})
    return found


def _shape(matrix: Matrix) -> tuple[int, int]:
    return len(matrix.rows), len(matrix.rows[0])


def _each(matrix: Matrix, change: Callable[[Node], Node]) -> Matrix:
    return Matrix(tuple(tuple(change(entry) for entry in row) for row in matrix.rows))


def _product(left: Matrix, right: Matrix) -> Matrix | None:
    if len(left.rows[0]) != len(right.rows) or len(left.rows) * len(right.rows[0]) * len(right.rows) > MAX_ENTRIES:
        return None

    def entry(row: tuple[Node, ...], column: int) -> Node:
        total: Node | None = None
        for value, other in zip(row, right.rows, strict=True):
            term: Node = Call("*", (value, other[column]))
            total = term if total is None else Call("+", (total, term))
        assert total is not None
        return total

    return Matrix(tuple(tuple(entry(row, column) for column in range(len(right.rows[0]))) for row in left.rows))
