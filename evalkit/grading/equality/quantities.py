"""Whether two values can have the same unit, and both of them in it."""

import re
from fractions import Fraction

from evalkit.grading.latex.nodes import Call, Node, Num, Quantity, Sym, Text, leaves, symbols
from evalkit.grading.latex.units import measure, temperature
from evalkit.grading.latex.vocabulary import CURRENCIES, words

_UNIT_LETTERS = frozenset("mgshLlNJWV")
# words with which what stands behind a number is no unit of it: 10 or more, 5 does not work
_REMARKS = words(
    "or and more less fewer greater least most not no than except excluded excluding fails fail works work does do is "
    "are was be wrong false true too only if when unless larger smaller above below over under up down between "
    "neither nor either both but without mod modulo parallel perpendicular times-as as many much omitted rejected "
    "extraneous invalid impossible never always r rem remainder"
)
# words that say of a number what it is: n odd
_PROPERTIES = words(
    "odd even prime composite positive negative nonnegative nonzero integer integers real rational irrational "
    "divisible multiple square-free squarefree coprime distinct integral natural complex"
)
_GENERIC = words("unit units square sq cubic approximately approx about total exactly in all")

_CURRENCY = re.compile(r"\s*\\(?:cent|textcent|euro|pounds|yen|rupee|\$)(?![a-z])")
_MONEY = frozenset({((currency, 1),) for currency in ("dollar", "euro", "sterling", "yen", "rupee")})
_ONE = Num(Fraction(1))
_NOTHING = Text("")  # what is left of a unit's letters
_DEGREE = Call("/", (Sym("pi"), Num(Fraction(180))))
_PERCENT = {"percent", "percentage", "pct", "percents", "per cent", "percentage points", "%"}


def same_unit(gold: Node, answer: Node) -> tuple[Node, Node, str] | None:
    """Both values without their units, the answer in the gold's unit; None where the units cannot agree."""
    gold, gold_unit = _split(gold)
    answer, answer_unit = _split(answer)
    if not gold_unit and (answer_unit or not symbols(answer)):
        gold, gold_unit = _unit_letters(gold, product=bool(answer_unit))
    if not answer_unit and (gold_unit or not symbols(gold)):
        answer, answer_unit = _unit_letters(answer, product=bool(gold_unit))
    if gold_unit and answer_unit:
        return _both_united(gold, gold_unit, answer, answer_unit)
    if "percent" in (gold_unit, answer_unit):
        return gold, answer, "gold" if gold_unit else "answer"
    if (gold_unit and not droppable(gold_unit, gold)) or (answer_unit and not droppable(answer_unit, answer)):
        return None
    return _in_radians(gold, gold_unit, answer, answer_unit) or (gold, answer, "")


def _in_radians(gold: Node, gold_unit: str, answer: Node, answer_unit: str) -> tuple[Node, Node, str] | None:
    """Degrees beside radians; None for anything else."""
    kinds = _angle(gold_unit, gold), _angle(answer_unit, answer)
    if kinds == ("degree", "radian"):
        return Call("*", (gold, _DEGREE)), answer, ""
    if kinds == ("radian", "degree"):
        return gold, Call("*", (answer, _DEGREE)), ""
    return None


def _both_united(gold: Node, gold_unit: str, answer: Node, answer_unit: str) -> tuple[Node, Node, str] | None:
    if angles := _in_radians(gold, gold_unit, answer, answer_unit):
        return angles
    if (gold_unit == "percent") != (answer_unit == "percent"):
        return None
    if gold_unit.startswith("pmod") and answer_unit.startswith("pmod"):
        return _same_residue(gold, gold_unit, answer, answer_unit)
    if gold_unit == answer_unit or _interchangeable(gold_unit, answer_unit):
        return gold, answer, ""
    gold_unit, answer_unit = _price(gold_unit, answer_unit), _price(answer_unit, gold_unit)
    of_gold, of_answer = measure(gold_unit), measure(answer_unit)
    if of_gold and of_answer:
        if of_gold[0] != of_answer[0]:
            return None
        if of_gold[1] != of_answer[1]:
            answer = Call("*", (answer, Num(of_answer[1] / of_gold[1])))
        return gold, answer, ""
    return (gold, answer, "") if _same_things(gold_unit, answer_unit) else None


_PER = re.compile(r"\s*(?:/|(?<![a-z])per(?![a-z]))")


def _price(unit: str, other: str) -> str:
    """ "cents" for "cents per ounce" where the other unit is an amount of money as well, of nothing in particular."""
    amount, *per = _PER.split(unit, maxsplit=1)
    of_amount, of_other = measure(amount), measure(other)
    money = of_amount is not None and of_amount[0] in _MONEY and of_other is not None and of_other[0] in _MONEY
    return amount if per and money else unit


def droppable(unit: str, value: Node) -> bool:
    """Whether a value means the same without what stands behind it: a unit or the things counted, no remark, and no
    property of a variable.
    """
    if unit.startswith(("pmod", "^")):
        return True
    spoken = _spoken(unit)
    if measure(unit) is not None or all(word in _GENERIC for word in spoken):
        return True
    if any(word in _REMARKS for word in spoken):
        return False
    if all(word in _PROPERTIES for word in spoken) and not _counts(spoken, value):
        return False
    return not symbols(value)


def _counts(spoken: list[str], value: Node) -> bool:
    """Whether words that could say what a number is name the things that it counts: 12 even integers."""
    return spoken[-1:] == ["integers"] or (spoken[-1:] == ["integer"] and value == _ONE)


def is_property(unit: str) -> bool:
    """Whether words behind a variable say what numbers it stands for: n odd, p prime."""
    spoken = _spoken(unit)
    return bool(spoken) and all(word in _PROPERTIES for word in spoken)


def _spoken(unit: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", re.sub(r"\\[a-z]+", " ", unit).casefold())


def _same_things(gold: str, answer: str) -> bool:
    """Whether two units that are no measures name the same things: one of them may say more about them."""
    first, second = (
        {word.removesuffix("s") for word in _spoken(unit) if word not in _GENERIC} for unit in (gold, answer)
    )
    counted = all(_spoken(unit)[-1:] == ["integers"] for unit in (gold, answer))
    if (first | second) & (_REMARKS if counted else _REMARKS | _PROPERTIES):
        return first == second
    return first <= second or second <= first


def plain_quantity(node: Quantity) -> bool:
    """Whether a quantity within an expression counts as its value: no remark and no property changes it."""
    unit = node.unit.strip(" .").lower()
    return unit in _PERCENT or bool(temperature(unit)) or droppable(node.unit, node.value)


def _angle(unit: str, value: Node) -> str:
    unit = unit.removesuffix("s")
    radians = unit in ("radian", "rad") or (not unit and Sym("pi") in leaves(value))
    return "radian" if radians else "degree" if unit in ("degree", "deg") else ""


def _interchangeable(first: str, second: str) -> bool:
    """25° and 25 °C; £5 and 5 pounds; `5 mg` and `5mg`, whose letters were read apart."""
    units = {first, second}
    if first.replace(" ", "").replace("^1", "") == second.replace(" ", "").replace("^1", ""):
        return True  # mg and m g
    return ("degree" in units and bool(units & {"celsius", "fahrenheit"})) or (
        "sterling" in units and any(unit.startswith("pound") for unit in units)
    )


def _same_residue(gold: Node, gold_unit: str, answer: Node, answer_unit: str) -> tuple[Node, Node, str] | None:
    if gold_unit != answer_unit:
        return None
    modulus = gold_unit.removeprefix("pmod").strip()
    if not modulus.isdigit() or len(modulus) > 50 or not int(modulus):
        return gold, answer, ""
    by = Num(Fraction(int(modulus)))
    return Call("mod", (gold, by)), Call("mod", (answer, by)), ""


def _split(node: Node) -> tuple[Node, str]:
    units: list[str] = []
    while True:
        if isinstance(node, Quantity):
            written = _CURRENCY.sub(lambda match: CURRENCIES[match[0].strip()], node.unit)
            unit = written.strip(" .").lower()
            written = "degree" if unit == "\\degree" else written
            units.insert(0, "percent" if unit in _PERCENT else temperature(unit) or written)
            node = node.value
        elif isinstance(node, Call) and node.name == "neg" and isinstance(node.args[0], Quantity):
            node = Quantity(Call("neg", (node.args[0].value,)), node.args[0].unit)
        else:
            return node, " ".join(units)


def _unit_letters(node: Node, *, product: bool) -> tuple[Node, str]:
    """`1000.99 m^2`, `5 m/s`: (the number, the unit) where a number times letters of units is all there is. `2mg` only
    where a `product` of units may be meant.
    """
    powers: dict[str, int] = {}

    def number(node: Node, sign: int) -> Node | None:
        if not symbols(node):
            return node
        if isinstance(node, Call) and node.name in ("*", "/"):
            left = number(node.args[0], sign)
            right = number(node.args[1], -sign if node.name == "/" else sign)
            if left is None or right is None or (left != _NOTHING and right != _NOTHING):
                return None
            if node.name == "/" and right != _NOTHING:
                return None
            return left if right == _NOTHING else right
        base, exponent = node.args if isinstance(node, Call) and node.name == "^" else (node, _ONE)
        if isinstance(base, Sym) and base.name in _UNIT_LETTERS and isinstance(exponent, Num):
            powers[base.name] = powers.get(base.name, 0) + sign * int(exponent.value)
            return _NOTHING
        return None if symbols(node) else node

    value = number(node, 1)
    several = not product and sum(power > 0 for power in powers.values()) != 1
    if value is None or value == _NOTHING or several:
        return node, ""
    return value, " ".join(f"{letter}^{power}" for letter, power in powers.items())
