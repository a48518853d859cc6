"""Last resort: limits, integrals, derivatives and infinite sums, worked out by sympy.

Runs in workers of its own, so that only answers with such an operator pay for sympy. It is given our syntax tree, never
text, and what it finds comes back as a syntax tree, to be compared by the same rules as everything else.
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from evalkit.grading.equality.compare import equivalent
from evalkit.grading.equality.numeric import evaluable_calls, exact
from evalkit.grading.equality.readings import trees
from evalkit.grading.latex.nodes import Base, Call, Node, Num, Rel, Seq, Sym

_OPERATORS = frozenset({"Integral", "Limit", "Derivative"})
_CONSTANTS = {"pi": "pi", "e": "E", "i": "I", "oo": "oo"}
_TO_SYMPY = {
    "abs": "Abs", "ln": "log", "ceil": "ceiling", "binom": "binomial", "Re": "re", "Im": "im", "Gamma": "gamma",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "asinh")},
    **{name: name for name in ("acosh", "atanh", "exp", "log", "floor", "factorial", "erf")},
}  # fmt: skip
_FROM_SYMPY = {theirs: ours for ours, theirs in _TO_SYMPY.items()} | {"log": "ln"}


class UndecidedError(Exception):
    """Nothing that sympy is asked, or knows."""


def warm_up(_: Any) -> None:
    """Load the parts of sympy before the first call, whose time limit should not pay for it."""
    for text in (r"\lim_{x \to 0} \frac{\sin x}{x}", r"\sum_{n=0}^\infty \frac{x^n}{n!}", r"\int_0^1 \cos x\,dx"):
        judge({"gold": "0", "answer": text})


def judge(payload: dict[str, str]) -> dict[str, Any]:
    """{"equal", "rule"} for {"gold", "answer"}: the function that the workers run."""
    golds, answers = trees(payload["gold"], payload["answer"])
    for first in golds:
        for second in answers:
            if operators(first) or operators(second):
                try:
                    rule = equivalent(resolved(first), resolved(second))
                except UndecidedError:
                    continue
                if rule:
                    return {"equal": True, "rule": f"{rule}, worked out by sympy"}
    return {"equal": False, "rule": "the values differ"}


def operators(node: Any) -> bool:
    """Whether a tree holds an operator that the cheap comparisons cannot work out."""
    if isinstance(node, tuple):
        return any(operators(item) for item in node)
    if isinstance(node, Call):
        infinite = node.name in ("Sum", "Product") and node.args[2] == Sym("oo")
        whole = node.name in _OPERATORS and (node.name != "Integral" or len(node.args) == 4) and not _is_named(node)
        return infinite or whole or operators(node.args)
    return dataclasses.is_dataclass(node) and any(
        operators(getattr(node, field.name)) for field in dataclasses.fields(node)
    )


def _is_named(node: Call) -> bool:
    """Whether a derivative is one of an unknown function, dy/dx, which has no other value."""
    return node.name == "Derivative" and isinstance(node.args[0], Sym) and node.args[0] != node.args[1]


def resolved(node: Any) -> Any:
    """The tree with its outermost operators replaced by their values. Raises UndecidedError."""
    if isinstance(node, tuple):
        return tuple(resolved(item) for item in node)
    if not dataclasses.is_dataclass(node) or not operators(node):
        return node
    if isinstance(node, Call) and (node.name in _OPERATORS or node.name in ("Sum", "Product")):
        try:
            value = to_tree(to_sympy(node, {}))
        except (MemoryError, UndecidedError):
            raise
        except Exception as error:  # sympy raises errors of every kind for what it cannot do
            raise UndecidedError(str(error)) from error
        indefinite = node.name == "Integral" and not isinstance(node.args[1], Num | Sym | Call)
        return Call("+", (value, Sym("C"))) if indefinite else value
    changed = {field.name: resolved(getattr(node, field.name)) for field in dataclasses.fields(node)}
    return dataclasses.replace(node, **changed)  # type: ignore[type-var]


def to_sympy(node: Node, bound: Mapping[str, Any]) -> Any:
    """The sympy expression of a tree, its operators worked out. `bound` maps names to their sympy symbols."""
    import sympy

    if isinstance(node, Num | Base):
        value = exact(node)
        return sympy.Rational(value.numerator, value.denominator)
    if isinstance(node, Sym):
        if node.name in _CONSTANTS:
            return getattr(sympy, _CONSTANTS[node.name])
        return bound[node.name] if node.name in bound else sympy.Symbol(node.name, positive=True)
    if isinstance(node, Seq) and len(node.items) == 1:
        return to_sympy(node.items[0], bound)
    if not isinstance(node, Call):
        raise UndecidedError(type(node).__name__)
    if node.name in ("Sum", "Product", *_OPERATORS):
        return _worked_out(node, bound)
    values = [to_sympy(argument, bound) for argument in node.args]
    if node.name in ("+", "*"):
        return (sympy.Add if node.name == "+" else sympy.Mul)(*values)
    if node.name == "log" and len(values) == 2:
        return sympy.log(*values)
    if (node.name == "^" and _beyond(values[1], 100)) or (node.name == "factorial" and _beyond(values[0], 5000)):
        raise UndecidedError("numbers too large to work with")
    if node.name in ("/", "^", "root", "neg"):
        a, b = (*values, None)[:2]
        return -a if node.name == "neg" else a / b if node.name == "/" else a**b if node.name == "^" else a ** (1 / b)
    if node.name not in _TO_SYMPY:
        raise UndecidedError(node.name)
    return getattr(sympy, _TO_SYMPY[node.name])(*values)


def _beyond(value: Any, limit: int) -> bool:
    return bool(value.is_Rational and abs(value) > limit)


def _worked_out(node: Call, bound: Mapping[str, Any]) -> Any:
    import sympy

    body, lower, upper = node.args[:3]
    if _is_named(node):
        raise UndecidedError("the derivative of an unknown function")
    if node.name == "Derivative":
        name, order, assumed = getattr(lower, "name", ""), exact(upper), {}
    elif node.name == "Integral" and len(node.args) == 4:
        name, assumed = getattr(node.args[3], "name", ""), {"real": True}
    elif isinstance(lower, Rel) and isinstance(lower.args[0], Sym) and len(lower.args) == 2:
        name, assumed = lower.args[0].name, {"real": True} if node.name == "Limit" else {"integer": True}
    else:
        raise UndecidedError("an operator without its variable")
    variable = sympy.Symbol(name, **assumed)
    inner = to_sympy(body, {**bound, name: variable})
    if node.name == "Derivative":
        return sympy.diff(inner, variable, int(order)).subs(variable, to_sympy(Sym(name), bound))
    if node.name == "Integral":
        definite = isinstance(lower, Num | Sym | Call)
        ends = (to_sympy(lower, bound), to_sympy(upper, bound)) if definite else ()
        value = sympy.integrate(inner, (variable, *ends))
        value = value if definite else value.subs(variable, to_sympy(Sym(name), bound))
    elif node.name == "Limit" and isinstance(lower, Rel) and lower.ops == ("->",):
        point, side = lower.args[1], "+-"
        if isinstance(point, Call) and point.name == "^" and point.args[1] in (Sym("+"), Sym("-")):
            side = "+" if point.args[1] == Sym("+") else "-"
            point = point.args[0]
        value = sympy.limit(inner, variable, to_sympy(point, bound), side)
    elif node.name != "Limit" and isinstance(lower, Rel) and lower.ops == ("=",):
        operator = sympy.Sum if node.name == "Sum" else sympy.Product
        value = operator(inner, (variable, to_sympy(lower.args[1], bound), to_sympy(upper, bound))).doit()
    else:
        raise UndecidedError("bounds of an unknown form")
    if isinstance(value, sympy.Piecewise):
        value = value.args[0].expr  # where it converges, which is what is meant
    return value


def to_tree(value: Any) -> Node:
    """Our tree of a sympy expression. Raises UndecidedError for what has no counterpart there."""
    import sympy

    name = type(value).__name__
    if value.is_Rational:
        return Num(Fraction(int(value.p), int(value.q)))
    for ours, theirs in _CONSTANTS.items():
        if value == getattr(sympy, theirs):
            return Sym(ours)
    if value.is_Symbol:
        return Sym(value.name)
    if value == -sympy.oo:
        return Call("neg", (Sym("oo"),))
    ours = {"Add": "+", "Mul": "*", "Pow": "^"}.get(name) or _FROM_SYMPY.get(name, "")
    if name in ("Add", "Mul"):
        node = to_tree(value.args[0])
        for argument in value.args[1:]:
            node = Call(ours, (node, to_tree(argument)))
        return node
    if ours in evaluable_calls() or ours == "^":
        return Call(ours, tuple(to_tree(argument) for argument in value.args))
    if not value.free_symbols and value.is_real and not value.has(sympy.Sum, sympy.Integral, sympy.Limit):
        digits = Num(Fraction(str(sympy.N(value, 60))))  # zeta(3), Catalan's constant, …
        return Call("*", (digits, Call("exp", (Num(Fraction(0)),))))  # no exact value, so 30 digits have to agree
    raise UndecidedError(name)
