"""Compare two syntax trees by meaning: equations, lists, sets, tuples, intervals, matrices, values."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from evalkit.grading.equality.conditions import is_domain, is_harmless, with_conditions
from evalkit.grading.equality.enumerations import enumerated
from evalkit.grading.equality.matrices import as_matrix, as_vector, rows_of, with_its_size
from evalkit.grading.equality.plusminus import expand
from evalkit.grading.equality.realsets import condition_of, joined_intervals, sets_equal
from evalkit.grading.equality.renaming import (
    bound_names,
    renamed_constants,
    renamed_parameter,
    same_arguments,
    unmarked,
)
from evalkit.grading.equality.scalars import canonical, difference_ratio, same_solution, values_equal
from evalkit.grading.equality.settle import (
    approximation,
    is_function,
    list_name,
    members,
    nameable,
    settle,
    unchained,
    value_side,
)
from evalkit.grading.latex.nodes import (
    Builder,
    Call,
    Given,
    Node,
    Num,
    Ratio,
    Rel,
    Seq,
    SetOp,
    Sym,
    Text,
    substituted,
    symbols,
)

_ORDER = frozenset({"<", ">", "<=", ">="})
_TURNED = {
    "<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "subset": "supset", "supset": "subset",
    "ll": "gg", "gg": "ll", "prec": "succ", "succ": "prec", "in": "ni", "ni": "in", "equiv": "equiv", "prop": "prop",
}  # fmt: skip
_EITHER_WAY = frozenset({"perp", "parallel", "sim", "simeq", "cong", "~", "asymp", "not parallel"})
MAX_ITEMS = 500
_EMPTY = frozenset({"no solution", "no solutions", "none", "empty set", "the empty set", "no real solution"})
FEW = 40  # items, up to which every pair is compared


def equivalent(gold: Node, answer: Node) -> str | None:
    """The rule by which `answer` means the same as `gold`; None where it does not."""
    if (decimal := approximation(gold)) is not None and (rule := values_equal(decimal, answer)):
        return rule
    names = list_name(gold), list_name(answer)
    if names[0] is not None and names[1] is not None and canonical(names[0]) != canonical(names[1]):
        return None
    gold, answer = unmarked(settle(gold), settle(answer))
    gold, answer = with_conditions(gold), with_conditions(answer)
    if isinstance(gold, Given) or isinstance(answer, Given):
        return _given(_as_given(gold, answer), _as_given(answer, gold))
    gold, answer = unchained(gold, answer), unchained(answer, gold)
    gold, answer = members(gold, answer)
    gold, answer = joined_intervals(gold, answer), joined_intervals(answer, gold)
    gold, answer = condition_of(gold, answer), condition_of(answer, gold)
    if gold == answer:
        return "the same form"
    for compare in (_relations, _cases, _several, _matrices, _ratios, _tuples, _sets):
        applies, rule = compare(gold, answer)
        if applies:
            return rule
    if isinstance(gold, Text) or isinstance(answer, Text):
        return _texts(gold, answer)
    if rule := values_equal(gold, answer):
        return rule
    if canonical(bound_names(gold)) == canonical(bound_names(answer)):
        return "the same terms"
    for renamed in renamed_constants(gold, answer, function=False):
        if values_equal(gold, renamed):
            return "equal but for the names of constants"
    return None


def _as_given(node: Node, other: Node) -> Node:
    """{(a, b) : ab = 1} as (a, b) with its condition, where the other is written so."""
    if isinstance(node, Builder) and isinstance(other, Given):
        return Given(node.element, () if is_harmless(node.condition) else (node.condition,))
    return node


def _given(gold: Node, answer: Node) -> str | None:
    """Values with their conditions: the same conditions on both sides, or on one of them alone where it is no "if"."""
    first = gold if isinstance(gold, Given) else Given(gold, ())
    second = answer if isinstance(answer, Given) else Given(answer, ())
    if not (first.conditions and second.conditions):
        if (first.conditions and first.strict) or (second.conditions and second.strict):
            return None
        if not all(is_domain(condition) for condition in first.conditions + second.conditions):
            return None
        if any(isinstance(side.value, Rel) and side.value.ops != ("=",) for side in (first, second)):
            return None if first.conditions or second.conditions else equivalent(first.value, second.value)
        both = isinstance(gold, Given) and isinstance(answer, Given)
        others = (second, *_renamed_given(first, second)) if both else (second,)
        return next((rule for other in others if (rule := equivalent(first.value, other.value))), None)
    for other in (second, *_renamed_given(first, second)):
        if (rule := equivalent(first.value, other.value)) and _matched(first.conditions, other.conditions):
            return rule
    return None


def _renamed_given(gold: Given, answer: Given) -> Iterator[Given]:
    here, there = symbols(gold) - symbols(answer), symbols(answer) - symbols(gold)
    if len(here) == len(there) == 1 and here <= gold.quantified and there <= answer.quantified:
        same: Node = substituted(answer, {Sym(next(iter(there))): Sym(next(iter(here)))})
        if isinstance(same, Given):
            yield same
    function = isinstance(gold.value, Rel) and is_function(gold.value.args[0])
    for renamed in renamed_constants(gold, answer, function=function):
        if isinstance(renamed, Given):
            yield renamed


Verdict = tuple[bool, str | None]  # whether the rule is for such a pair, and the rule's name where the pair is equal


# equations and inequalities


def _relations(gold: Node, answer: Node) -> Verdict:
    if isinstance(gold, Rel) and isinstance(answer, Rel):
        return True, _both_relations(gold, answer)
    if isinstance(gold, Rel):
        side = value_side(gold, lenient=False)
        if side is not None:
            return True, equivalent(side, answer)
        return True, "the same set of numbers" if sets_equal(gold, answer) else None
    if isinstance(answer, Rel):
        side = value_side(answer, lenient=not isinstance(gold, Text))
        if side is not None:
            return True, equivalent(gold, side)
        return True, "the same set of numbers" if sets_equal(gold, answer) else None
    return False, None


def _both_relations(gold: Rel, answer: Rel) -> str | None:
    if gold.ops == ("=",) and answer.ops == ("=",):
        return _equations(gold, answer)
    if symbols(gold) != symbols(answer) and "=" not in gold.ops + answer.ops and len(symbols(gold)) == 1:
        return None  # x > 2 says nothing about y
    if len(gold.ops) == len(answer.ops) == 1 and gold.ops[0] in _ORDER and answer.ops[0] in _ORDER:
        if sets_equal(gold, answer):
            return "the same set of numbers"
        ratio = difference_ratio(gold, answer)
        if ratio is None or isinstance(ratio, complex) or getattr(ratio, "imag", 0) != 0:
            return None
        flipped = gold.ops[0][0] != answer.ops[0][0]
        strict = ("=" in gold.ops[0]) == ("=" in answer.ops[0])
        return "the same inequality, scaled" if strict and (ratio.real < 0) == flipped else None
    if gold.ops == answer.ops == ("!=",):
        return "the same inequality, scaled" if difference_ratio(gold, answer) is not None else None
    if sets_equal(gold, answer):
        return "the same set of numbers"
    if gold.ops == answer.ops and all(equivalent(a, b) for a, b in zip(gold.args, answer.args, strict=True)):
        return "the same relation"
    if gold.ops == answer.ops and len(gold.ops) == 1 and gold.ops[0] in _EITHER_WAY:
        same = all(equivalent(a, b) for a, b in zip(gold.args, reversed(answer.args), strict=True))
        return "the same relation, turned" if same else None
    turned = tuple(_TURNED.get(op, "") for op in reversed(answer.ops))
    if gold.ops == turned and all(equivalent(a, b) for a, b in zip(gold.args, reversed(answer.args), strict=True)):
        return "the same relation, turned"
    return None


def _equations(gold: Rel, answer: Rel) -> str | None:
    (left, right), (other_left, other_right) = gold.args, answer.args
    if nameable(left) and nameable(other_left):
        if left == other_left or canonical(left) == canonical(other_left):
            rule = equivalent(right, other_right)
            if rule or not (is_function(left) or isinstance(left, Sym)):
                return rule
            return _renamed_equation(gold, answer)
        if isinstance(left, Seq) and isinstance(other_left, Seq):
            return _by_name(gold, answer)
        if is_function(left) != is_function(other_left) or isinstance(left, Text) != isinstance(other_left, Text):
            return equivalent(right, other_right)
    if rule := _renamed_equation(gold, answer):
        return rule
    if left == other_right and (rule := equivalent(right, other_left)):
        return rule
    if difference_ratio(gold, answer) is not None:
        return "the same equation, scaled"
    if same_solution(gold, answer):
        return "the same equation, solved"
    return None


def _renamed_equation(gold: Rel, answer: Rel) -> str | None:
    """f(t) = 2t beside f(x) = 2x, Q(x) = ax beside Q(x) = cx, n = 4m + 3 beside n = 4k + 3."""
    left = gold.args[0]
    if is_function(left):
        answer = same_arguments(gold, answer)
        if canonical(answer.args[0]) != canonical(left):
            return None
        if rule := equivalent(gold.args[1], answer.args[1]):
            return rule
        for renamed in renamed_constants(gold, answer, function=True):
            if isinstance(renamed, Rel) and equivalent(gold.args[1], renamed.args[1]):
                return "equal but for the names of constants"
    elif left == answer.args[0] and (other := renamed_parameter(gold, answer)):
        return equivalent(gold.args[1], other.args[1])
    return None


def _by_name(gold: Node, answer: Node) -> str | None:
    first, second = _assignments(gold), _assignments(answer)
    if not first or not second or set(first) != set(second):
        return None
    return "each name has the same value" if all(equivalent(first[name], second[name]) for name in first) else None


def _assignments(node: Node) -> dict[object, Node] | None:
    """Name -> value of `(p, q) = (3, 2)` or `p = 3, q = 2`; None where the node is nothing like it."""
    if isinstance(node, Rel) and node.ops == ("=",):
        left, right = node.args
        if isinstance(left, Seq) and isinstance(right, Seq) and len(left.items) == len(right.items):
            return {canonical(name): value for name, value in zip(left.items, right.items, strict=True)}
        return {canonical(left): right} if nameable(left) else None
    if isinstance(node, Seq):
        found: dict[object, Node] = {}
        for item in node.items:
            if not (isinstance(item, Rel) and item.ops == ("=",) and nameable(item.args[0])):
                return None
            if (name := canonical(item.args[0])) in found:
                return None
            found[name] = item.args[1]
        return found
    return None


# functions by cases


def _cases(gold: Node, answer: Node) -> Verdict:
    pairs = []
    for node in (gold, answer):
        if not (isinstance(node, Call) and node.name == "cases"):
            return isinstance(gold, Call) and isinstance(answer, Call) and "cases" in (gold.name, answer.name), None
        pairs.append(_with_conditions(list(zip(node.args[::2], node.args[1::2], strict=True))))
    rest = pairs[1]
    for value, condition in pairs[0]:
        same = (pair for pair in rest if equivalent(condition, pair[1]) and equivalent(value, pair[0]))
        found = next(same, None)
        if found is None:
            return True, None
        rest.remove(found)
    return True, None if rest else "the same cases"


def _with_conditions(pairs: list[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    """`otherwise` written as what the other conditions leave."""
    named = [condition for _, condition in pairs if isinstance(condition, Rel)]
    if len(named) != len(pairs) - 1:
        return pairs
    rest: Node = Sym("RR")
    for condition in named:
        rest = SetOp("difference", (rest, condition))
    return [(value, condition if isinstance(condition, Rel) else rest) for value, condition in pairs]


# several values


def _items(node: Node) -> tuple[str, list[Node]] | None:
    """("list" or "set", the items) of a bare list, a set, or a value with ±."""
    if isinstance(node, Seq) and node.open in ("", "{"):
        node = enumerated(node)
        items = [settle(variant) for item in node.items for variant in expand(item)]
        if any(isinstance(item, Rel) and item.ops[0] != "=" for item in items):
            return None
        return ("list" if not node.open else "set"), items[:MAX_ITEMS]
    variants = list(expand(node))
    return ("list", variants) if len(variants) > 1 else None


def _several(gold: Node, answer: Node) -> Verdict:
    first, second = _items(gold), _items(answer)
    if first is None and second is None:
        return False, None
    if first is None or second is None:
        kind, items = first or second or ("", [])
        other = answer if first is not None else gold
        ordered = isinstance(other, Seq) and (other.open == "(" or (other.open == "[" and len(other.items) > 2))
        if isinstance(other, Seq) and kind == "list" and ordered and len(other.items) == len(items):
            pairs = zip(items, other.items, strict=True) if first is not None else zip(other.items, items, strict=True)
            if all(equivalent(a, b) for a, b in pairs):
                return True, "the same values in the same order"
            return True, _by_name(gold, answer)
        if isinstance(other, Rel | SetOp | Builder) or (kind == "set" and isinstance(other, Sym)):
            return False, None
        items = _distinct(items) if kind == "set" else _stated_once(items)
        if len(items) == 1:
            return True, equivalent(items[0], other) if first is not None else equivalent(other, items[0])
        return True, None
    names = _by_name(gold, answer)
    if names is not None:
        return True, names
    if (named := (_assignments(gold), _assignments(answer)))[0] and named[1] and set(named[0]) == set(named[1]):
        return True, None
    ordered = any(item == Sym("...") for item in first[1] + second[1]) or (
        bool(named[0]) != bool(named[1]) and _unlike(gold)
    )
    once = "set" in (first[0], second[0])
    left, right = (_distinct(items[1]) if once else _stated_once(items[1]) for items in (first, second))
    letters = _letter(left), _letter(right)
    if letters[0] and letters[1]:  # x_1 = 2, x_2 = 3 and x = 3 or x = 2
        if letters[0] != letters[1]:
            return True, None
        left, right = ([item.args[1] for item in items if isinstance(item, Rel)] for items in (left, right))
    if ordered:
        same = len(left) == len(right) and all(equivalent(a, b) for a, b in zip(left, right, strict=True))
        return True, "the same sequence" if same else None
    return True, "the same values in any order" if _matched(left, right) else None


def _letter(items: Sequence[Node]) -> str:
    """The letter x where the items are the roots x_1 = …, x_2 = … or x = …, x = …; empty where they are anything else:
    the terms a_3 and a_37, or the functions y_1 = x and y_2 = x^2.
    """
    letters, indices = set(), []
    for item in items:
        if not (isinstance(item, Rel) and item.ops == ("=",) and isinstance(name := item.args[0], Sym)):
            return ""
        if symbols(item.args[1]):
            return ""
        letter, _, index = name.name.partition("_")
        letters.add(letter)
        indices.append(index)
    counted = sorted(indices) in ([str(at) for at in range(first, first + len(items))] for first in (0, 1))
    return next(iter(letters)) if len(letters) == 1 and (counted or not any(indices)) else ""


def _unlike(gold: Node) -> bool:
    """Whether a gold names its values by different letters: `x = 2, y = 3` has an order, `x_1 = 2, x_2 = 3` none."""
    names = [item.args[0] for item in gold.items if isinstance(item, Rel)] if isinstance(gold, Seq) else []
    letters = {name.name.partition("_")[0] for name in names if isinstance(name, Sym)}
    return len(names) > 1 and len(letters) == len(names)


def _distinct(items: Sequence[Node]) -> list[Node]:
    if len(items) > FEW:
        return list({canonical(item): item for item in items}.values())
    kept: list[Node] = []
    for item in items:
        if not any(_same_item(item, other) for other in kept):
            kept.append(item)
    return kept


def _stated_once(items: Sequence[Node]) -> list[Node]:
    """A list without what it states a second time: a point, or a number in another form, 11/2 or 5.5; 3, 3 is two
    values.
    """
    if len(items) > FEW:
        return list(items)
    kept: list[Node] = []
    for item in items:
        if isinstance(item, Seq) and item.open == "(" and any(canonical(item) == canonical(other) for other in kept):
            continue
        constant = not isinstance(item, Rel | Seq | Text) and not symbols(item)
        if not (constant and any(item != other and not symbols(other) and _restates(item, other) for other in kept)):
            kept.append(item)
    return kept


def _restates(item: Node, other: Node) -> bool:
    return canonical(item) != canonical(other) and bool(values_equal(other, item) or values_equal(item, other))


def _same_item(gold: Node, answer: Node) -> str | None:
    """`equivalent` for the members of a set or list, where {1} is not 1."""
    is_set = [isinstance(node, Seq) and node.open == "{" for node in (gold, answer)]
    return equivalent(gold, answer) if is_set[0] == is_set[1] else None


def _matched(left: Sequence[Node], right: Sequence[Node]) -> bool:
    if len(left) != len(right):
        return False
    if len(left) > FEW:  # what is written alike first, so that few pairs are left to compare
        first, second = ({canonical(item): item for item in items} for items in (left, right))
        left = [item for key, item in first.items() if key not in second]
        right = [item for key, item in second.items() if key not in first]
        if len(left) != len(right) or len(left) > FEW:
            return False
    rest = list(right)
    for item in left:
        at = next((i for i, other in enumerate(rest) if _same_item(item, other)), None)
        if at is None:
            return False
        rest.pop(at)
    return True


# structures


def _matrices(gold: Node, answer: Node) -> Verdict:
    gold, answer = with_its_size(gold, answer), with_its_size(answer, gold)
    first, second = as_matrix(gold), as_matrix(answer)
    if first is None:
        first = as_vector(gold, _length(second or answer))
    if second is None:
        second = as_vector(answer, _length(first or gold))
    if first is None and second is None:
        return False, None
    rows: Sequence[Sequence[Node]] | None = rows_of(first or gold)
    other: Sequence[Sequence[Node]] | None = rows_of(second or answer)
    if rows is None or other is None:
        return True, None
    if (first is None or second is None) and len(rows[0]) != len(other[0]):
        rows, other = _as_column(rows), _as_column(other)
    if [len(row) for row in rows] != [len(row) for row in other]:
        return True, None
    same = all(equivalent(a, b) for x, y in zip(rows, other, strict=True) for a, b in zip(x, y, strict=True))
    return True, "the same entries" if same else None


def _length(node: Node) -> int:
    """How many entries a column or tuple has; 0 for anything else."""
    rows = rows_of(node) or ()
    return len(rows) if all(len(row) == 1 for row in rows) else len(rows[0]) if len(rows) == 1 else 0


def _as_column(rows: Sequence[Sequence[Node]]) -> Sequence[Sequence[Node]]:
    return [[entry] for entry in rows[0]] if len(rows) == 1 else rows


def _ratios(gold: Node, answer: Node) -> Verdict:
    if not (isinstance(gold, Ratio) and isinstance(answer, Ratio)):
        return False, None
    if len(gold.parts) != len(answer.parts):
        return True, None
    a, b = gold.parts[0], answer.parts[0]
    if any(part == Num(Fraction(0)) for part in gold.parts + answer.parts):
        return True, "the same parts" if gold.parts == answer.parts else None
    same = all(
        equivalent(Call("*", (part, b)), Call("*", (other, a)))
        for part, other in zip(gold.parts, answer.parts, strict=True)
    )
    return True, "the same proportion" if same else None


def _tuples(gold: Node, answer: Node) -> Verdict:
    if not (isinstance(gold, Seq) and isinstance(answer, Seq) and gold.open and answer.open):
        return False, None
    if (gold.open, gold.close) != (answer.open, answer.close) or len(gold.items) != len(answer.items):
        return True, None
    rules = [equivalent(a, b) for a, b in zip(gold.items, answer.items, strict=True)]
    if all(rules):
        return True, "the same entries in the same order"
    return True, _by_name(gold, answer)


def _sets(gold: Node, answer: Node) -> Verdict:
    kinds = (SetOp, Seq, Builder)
    if not (isinstance(gold, kinds) or isinstance(answer, kinds)):
        return False, None
    if sets_equal(gold, answer):
        return True, "the same set of numbers"
    if isinstance(gold, SetOp) and isinstance(answer, SetOp) and gold.op == answer.op:
        pairs = (answer.args, answer.args[::-1]) if gold.op != "difference" else (answer.args,)
        if any(all(equivalent(a, b) for a, b in zip(gold.args, other, strict=True)) for other in pairs):
            return True, "the same sets joined"
    if isinstance(gold, Seq) and isinstance(answer, Seq) and not gold.open and not answer.open:
        return True, "the same conditions in any order" if _matched(gold.items, answer.items) else None
    if isinstance(gold, Builder) and isinstance(answer, Builder):
        same = equivalent(gold.element, answer.element) and equivalent(gold.condition, answer.condition)
        return True, "the same condition" if same else None
    return True, None


def _texts(gold: Node, answer: Node) -> str | None:
    if Sym("emptyset") in (gold, answer):
        other = answer if gold == Sym("emptyset") else gold
        empty = isinstance(other, Text) and other.words.casefold() in _EMPTY
        return "no solution" if empty else None

    def words(node: Node) -> str | None:
        return node.words if isinstance(node, Text) else node.name if isinstance(node, Sym) else None

    first, second = words(gold), words(answer)
    return (
        "the same words" if first is not None and second is not None and first.casefold() == second.casefold() else None
    )
