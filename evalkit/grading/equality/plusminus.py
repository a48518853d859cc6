"""What an expression with ± stands for."""

from collections.abc import Iterator

from evalkit.grading.latex.nodes import Call, Node, PlusMinus, Quantity, Rel, Seq


def expand(node: Node) -> Iterator[Node]:
    """The nodes that one with ± stands for; itself where it has none."""
    for sign in (1, -1):
        changed, found = _signed(node, sign)
        yield changed
        if not found:
            return


def _signed(node: Node, sign: int) -> tuple[Node, bool]:
    if isinstance(node, PlusMinus):
        right, _ = _signed(node.right, sign)
        right = right if node.sign * sign > 0 else Call("neg", (right,))
        return (right if node.left is None else Call("+", (_signed(node.left, sign)[0], right))), True
    if isinstance(node, Call):
        pairs = [_signed(argument, sign) for argument in node.args]
        return (
            (Call(node.name, tuple(pair[0] for pair in pairs)), True)
            if any(pair[1] for pair in pairs)
            else (node, False)
        )
    if isinstance(node, Quantity):
        value, found = _signed(node.value, sign)
        return Quantity(value, node.unit), found
    if isinstance(node, Rel):
        pairs = [_signed(argument, sign) for argument in node.args]
        return (
            (Rel(node.ops, tuple(pair[0] for pair in pairs)), True) if any(pair[1] for pair in pairs) else (node, False)
        )
    if isinstance(node, Seq) and node.open in ("(", "["):
        pairs = [_signed(item, sign) for item in node.items]
        return (
            (Seq(node.open, node.close, tuple(pair[0] for pair in pairs)), True)
            if any(pair[1] for pair in pairs)
            else (node, False)
        )
    return node, False
