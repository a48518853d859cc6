"""Sets of whole numbers that are told in words or conditions: "all primes and 1", "n odd", "n = 1 or n >= 3", 4k + 3.

A set is read as a test of a whole number; two sets are compared on the first few hundred of them.
"""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from evalkit.grading.equality.sentences import flat

Test = Callable[[int], bool]
LARGEST = 400
_N = r"[a-z]"
_K = r"[jklmnst]"  # a parameter that runs through the whole numbers
_INT = r"-?\d{1,6}"
_EXCEPT = re.compile(
    r""",?\s*(?:except|excluding|other\ than|but\ not|apart\ from|besides|but|without)(?:\ for)?\s+
    (?:when\s+)?(?=[a-z]\s*=|[\d\\{-])  # a number, or n = 2""",
    re.VERBOSE,
)
_VARIABLE = re.compile(
    rf"""
    (?<![a-z\\])(?P<name>{_N})\s*(?:is|=|\\in|\\ge|\\le|\\ne|>|<|\\equiv|divisible|odd|even|prime)
    """,
    re.VERBOSE,
)
_FORM = re.compile(
    rf"""(?:{_N}\s*=\s*)?
    (?P<step>\d{{1,4}})\s*\*?(?:\\cdot)?\s*\(?\s*{_K}\s*\)?  # 4k
    \s*(?:(?P<sign>[-+])\s*(?P<rest>\d{{1,4}}))?  # + 3""",
    re.VERBOSE,
)
_ANY_PARAMETER = re.compile(rf"(?<=[\w}}]) (?:some )?{_K}\s*(?:\\geq?|>|\\in(?![a-z])).*$")  # for some k >= 0
# n = 4k + 1, k in Z
_INTEGER_PARAMETER = re.compile(
    rf"""
        (=[^,=]*(?<![a-z\\])({_K})(?![a-z])[^,=]*?),?\s*(?:where|for|with)?\s*
        \2\s*\\in\s*\\mathbb\s*\{{?Z\}}?\s*\Z
        """,
    re.VERBOSE,
)
_POWER = re.compile(rf"(?:{_N}\s*=\s*)?(?P<base>\d{{1,4}})\s*\^\s*\{{?\s*{_K}\s*\}}?")
_RESIDUE = re.compile(
    rf"""(?:{_N}\s*)?(?:\\equiv|=)\s*(?P<rest>{_INT})\s*
    (?:\\pmod\s*\{{?|\(?\s*(?:\\bmod|\\mod|mod)\s*)\s*(?P<step>\d{{1,4}})\s*\}}?\)?  # (mod 4), in any notation""",
    re.VERBOSE,
)
_ORDER = re.compile(
    rf"""
    {_N}\s*(?P<op>\\geq?|\\leq?|>=|<=|>|<|\\neq?|\\not=|!=|=)\s*(?P<value>{_INT})
    """,
    re.VERBOSE,
)
_CHAIN = re.compile(
    rf"""
    (?P<low>{_INT})\s*(?P<first>\\leq?|<=|<)\s*{_N}\s*(?P<second>\\leq?|<=|<)\s*(?P<high>{_INT})
    """,
    re.VERBOSE,
)
# "greater than 1" behind what it restricts: "odd integers greater than 1", "even n >= 4"
_BOUND = re.compile(
    rf"""(?P<rest>.*[a-z]{{3}}.*?)\s+  # the words that are restricted
    (?:(?P<word>(?:strictly\ )?(?:greater|larger|more|less|smaller|fewer)\ than
        |above|below|at\ least|at\ most|not\ less\ than|up\ to)\s+
    |(?:{_N}\s*)?(?P<op>\\geq?|\\leq?|\\neq?|>=|<=|>|<)\s*)
    (?P<value>{_INT})""",
    re.VERBOSE,
)
_BOUND_WORDS = {
    "greater": ">", "larger": ">", "more": ">", "above": ">", "less": "<", "smaller": "<", "fewer": "<", "below": "<",
    "at least": ">=", "not less than": ">=", "at most": "<=", "up to": "<=",
}  # fmt: skip
_ENUMERATED = re.compile(rf"(?:{_N}\s*\\in\s*)?\\?\{{(?P<items>[^{{}}]*?)\\?\}}")
_WORDED = re.compile(
    r"""(?:
    (?:multiples?\ of|divisible\ by|(?:integer\ |integral\ )?powers?\ of|perfect)\s*(?:\d{1,4}|squares?|cubes?)
    |odd|even|primes?|composites?|positive|negative|non-?negative|non-?zero|natural|whole|integral
    |integers?|numbers?|values?|squares?|cubes?  # what they are said of
    )""",
    re.VERBOSE,
)
_ALL_WORDED = re.compile(rf"(?:{_WORDED.pattern}\s*)+", re.VERBOSE)
_FILLER = re.compile(
    r"""(?<![a-z\\])(?:
    all|any|every|each|the|sets?\ of|(?:of|in)\ the\ form|such\ that|that\ are|which\ are|is|are|an?|values\ of|for
    |those|exactly|only|with|where|must\ be|form
    |integer(?=s?\ of\ the\ form)|numbers?\ (?=of\ the\ form)  # "numbers of the form 4k + 3"
    )(?![a-z])""",
    re.VERBOSE,
)
_PRIMES = frozenset(n for n in range(2, 1000) if all(n % d for d in range(2, math.isqrt(n) + 1)))


class NumberSet(NamedTuple):
    """`holds` of a whole number; `signed`: False where only positive numbers are meant, True where all are, None where
    that is left open; `worded`: whether words told it; `variable`: its name, or none; `by_form`: it is n = 4k + 3;
    `small`: the numbers below 1 that it names.
    """

    holds: Test
    signed: bool | None
    worded: bool
    variable: str
    by_form: bool = False
    small: tuple[int, ...] = ()


def number_set(text: str) -> NumberSet | None:
    """The set of whole numbers that a text tells; None where it tells none that is understood in full."""
    if len(text) > 300:
        return None
    plain = flat(text).rstrip(". ").replace("\\{", "{").replace("\\}", "}")
    lower = re.sub(r"(?<![a-z\\])(?:non-?negative)", "nonnegative", plain[:1].lower() + plain[1:])
    lower = lower.replace("\\dots", "\\ldots").replace("\\cdots", "\\ldots").replace("...", "\\ldots")
    lower = _INTEGER_PARAMETER.sub(r"\1", lower)
    names = {match["name"] for match in _VARIABLE.finditer(lower)}
    if len(names) > 1 or re.search(r"(?<![a-z])no(?:t|ne)?(?![a-z])", lower):
        return None
    base, *exceptions = _EXCEPT.split(lower)
    told = _union(base)
    for exception in exceptions:
        left_out = _union(exception)
        if told is None or left_out is None:
            return None
        told = _Part(_without(told.holds, left_out.holds), told.signed, told.worded)
    if told is None:
        return None
    small = tuple(int(number) for number in re.findall(r"(?<![\w^_])-\d+|(?<!\d)0(?!\d)", lower))
    by_form = _FORM.fullmatch(lower) is not None or _POWER.fullmatch(lower) is not None
    return NumberSet(told.holds, told.signed, told.worded or bool(exceptions), next(iter(names), ""), by_form, small)


def same_numbers(gold: NumberSet, answer: NumberSet) -> bool:
    """Whether two sets hold the same positive numbers, and the same others where both say whether they have any."""
    if gold.variable and answer.variable and gold.variable != answer.variable and not (gold.worded or answer.worded):
        return False
    if any(gold.holds(n) != answer.holds(n) for n in range(1, LARGEST)):
        return False
    for n in (*gold.small, *answer.small):
        if (gold.signed is not False and gold.holds(n)) != (answer.signed is not False and answer.holds(n)):
            return False
    if gold.signed is None or answer.signed is None:
        return True
    if not gold.signed and not answer.signed:
        return True
    return all((gold.signed and gold.holds(n)) == (answer.signed and answer.holds(n)) for n in range(-LARGEST // 4, 1))


class _Part(NamedTuple):
    holds: Test
    signed: bool | None
    worded: bool


def _without(holds: Test, left_out: Test) -> Test:
    return lambda n: holds(n) and not left_out(n)


def _union(text: str) -> _Part | None:
    """The parts that "and", "or", commas and ∪ join, each a set of its own."""
    text = re.sub(r"(?<![a-z\\])[nmkabpqr]\s*\\in\s*\\mathbb\s*\{?Z\}?(?![_^])", "integers", text)
    text = re.sub(rf"^\s*(?:{_N}\s*)?((?:\\|[<>])[^,]*),\s*integers\s*$", r"integers \1", text)
    # "n >= 2, n even" and "n odd, n > 1" restrict, "n = 1, n > 3" adds
    text = re.sub(
        rf"""
        ^\s*({_N}\s*(?:\\geq?|\\leq?|\\neq?|[<>])\s*\d+)(?:,|,?\ and)\s*(?:{_N}\s+)?(?:is\s+)?
        ([a-z]{{3,}}(?:\ [a-z]{{3,}})*)\s*$
        """,
        r"\2 \1",
        text,
        flags=re.VERBOSE,
    )
    text = re.sub(rf"([a-z]{{3}}s?(?: {_N})?),\s*(?:{_N}\s*)?(?=\\geq?|\\leq?|\\neq?|[<>])(?!=)", r"\1 ", text)
    text = re.sub(r"\{[^{}]*\}", lambda match: match[0].replace(",", "\x00"), text)
    pieces = [
        piece.strip()
        for piece in re.split(r"\s*(?:[,;]|\\cup|∪|(?<![a-z])(?:and|or|together with|as well as)(?![a-z]))\s*", text)
        if piece.strip()
    ]
    parts: list[_Part] = []
    for piece in pieces:
        part = _part(piece.replace("\x00", ","))
        if part is None:
            return None
        parts.append(part)
    if not parts:
        return None
    if len(parts) > 1 and all(any(part.holds(n) for part in parts) for n in range(1, LARGEST)):
        return None  # n > 2, n < 10: both are meant
    signs = {part.signed for part in parts if part.worded}
    tests = [part.holds for part in parts]
    signed = next(iter(signs)) if len(signs) == 1 else None
    return _Part(lambda n: any(test(n) for test in tests), signed, any(part.worded for part in parts))


def _part(piece: str) -> _Part | None:
    for read in (_literal, _by_form, _by_order, _bounded, _by_words):
        part = read(piece)
        if part is not None:
            return part
    return None


def _literal(piece: str) -> _Part | None:
    if re.fullmatch(_INT, piece):
        value = int(piece)
        return _Part(lambda n: n == value, None, False)
    enumerated = _ENUMERATED.fullmatch(piece)
    if enumerated is None:
        return None
    items = [item.strip() for item in enumerated["items"].split(",")]
    endless = items[-1:] == ["\\ldots"]
    items = items[:-1] if endless else items
    if not items or not all(re.fullmatch(_INT, item) for item in items):
        return None
    values = [int(item) for item in items]
    if not endless:
        return _Part(lambda n: n in values, None, False)
    steps = {b - a for a, b in pairwise(values)}
    if len(steps) != 1 or (step := next(iter(steps))) <= 0:
        return None
    return _Part(lambda n: n >= values[0] and (n - values[0]) % step == 0, None, False)


def _by_form(piece: str) -> _Part | None:
    bare = _FILLER.sub(
        " ", re.sub(r"(?<![a-z\\])(?:positive |natural )?(?:integers?|numbers?)(?= +of the form)", " ", piece)
    )
    bare = _ANY_PARAMETER.sub("", re.sub(r"\s+", " ", bare)).strip()
    if residue := _RESIDUE.fullmatch(bare):
        step, rest = int(residue["step"]), int(residue["rest"])
        return _Part(lambda n: bool(step) and (n - rest) % step == 0, None, True)
    if divides := re.fullmatch(rf"(?P<step>\d{{1,4}})\s*\\(?P<not>n?)mid\s*{_N}", bare):
        step, whether = int(divides["step"]), not divides["not"]
        return _Part(lambda n: bool(step) and (n % step == 0) == whether, None, True)
    if form := _FORM.fullmatch(bare):
        step, rest = int(form["step"]), int((form["sign"] or "+") + (form["rest"] or "0"))
        told = form["rest"] is not None or "form" in piece or "=" in piece
        return _Part(lambda n: (n - rest) % step == 0, None, "form" in piece) if step > 1 and told else None
    power = _POWER.fullmatch(bare)
    if not power or not ("=" in piece or "form" in piece):
        return None
    powers = _powers(int(power["base"]))
    return powers and powers._replace(worded="form" in piece)


def _powers(base: int) -> _Part | None:
    if base < 2:
        return None
    values = {base**k for k in range(30)}
    return _Part(lambda n: n in values, False, True)


def _by_order(piece: str) -> _Part | None:
    bare = re.sub(r"(?<![a-z\\])(?:integers?|numbers?|for|all|with|where)(?![a-z])", " ", piece).strip()
    bare = re.sub(r"\s+", " ", bare)
    if chain := _CHAIN.fullmatch(bare):
        low, high = int(chain["low"]), int(chain["high"])
        low += chain["first"] == "<"
        high -= chain["second"] == "<"
        return _Part(lambda n: low <= n <= high, None, False)
    order = _ORDER.fullmatch(bare)
    if order is None:
        return None
    value, op = int(order["value"]), order["op"]
    if op == "=":
        return _Part(lambda n: n == value, None, False)
    return _Part(_ordered(op, value), None, False)


def _ordered(op: str, value: int) -> Test:
    if op.startswith(("\\ne", "\\no", "!")):
        return lambda n: n != value
    if op in (">", "<"):
        return (lambda n: n > value) if op == ">" else (lambda n: n < value)
    return (lambda n: n >= value) if op in (">=", "\\ge", "\\geq") else (lambda n: n <= value)


def _bounded(piece: str) -> _Part | None:
    """What words tell, within a bound: "odd integers greater than 1", "even n >= 4"."""
    bound = _BOUND.fullmatch(piece)
    if bound is None or (part := _by_words(bound["rest"])) is None:
        return None
    word = (bound["word"] or "").removeprefix("strictly ")
    op = bound["op"] or _BOUND_WORDS.get(word) or _BOUND_WORDS.get(word.partition(" ")[0], "")
    within = _ordered(op, int(bound["value"]))
    signed = False if int(bound["value"]) >= 0 and op in (">", ">=", "\\ge", "\\geq") else part.signed
    return _Part(lambda n: part.holds(n) and within(n), signed, True)


_TESTS: dict[str, Test] = {
    "odd": lambda n: n % 2 == 1,
    "even": lambda n: n % 2 == 0,
    "prime": lambda n: n in _PRIMES,
    "composite": lambda n: n > 3 and n not in _PRIMES,
    "positive": lambda n: n > 0,
    "natural": lambda n: n > 0,
    "negative": lambda n: n < 0,
    "nonnegative": lambda n: n >= 0,
    "nonzero": lambda n: n != 0,
    "square": lambda n: n >= 0 and math.isqrt(n) ** 2 == n,
    "cube": lambda n: round(abs(n) ** (1 / 3)) ** 3 == abs(n),
}


def _multiples_of(step: int) -> Test:
    return lambda n: n % step == 0


def _by_words(piece: str) -> _Part | None:
    """ "odd primes", "n is divisible by 3", "positive integers n": every word has to be understood."""
    bare = re.sub(r"\s+", " ", _FILLER.sub(" ", piece)).strip()
    bare = re.sub(rf"^{_N}\s+(?=[a-z]{{2}})|(?<=[a-z]{{2}})\s+{_N}$|\\in\s+", "", bare).strip()
    if not _ALL_WORDED.fullmatch(bare):
        return None
    tests: list[Test] = []
    signed: bool | None = None
    for match in _WORDED.finditer(bare):
        word = match[0]
        digits = re.search(r"\d+", word)
        if digits and not int(digits[0]):
            return None
        if digits and "power" in word:
            powers = _powers(int(digits[0]))
            if powers is None:
                return None
            tests.append(powers.holds)
        elif digits:
            tests.append(_multiples_of(int(digits[0])))
        else:
            name = word.replace("-", "").removeprefix("perfect").strip().removesuffix("s")
            if name in ("positive", "natural", "prime", "composite", "whole"):
                signed = False
            elif (name == "integer" and signed is None) or name in ("negative", "nonnegative"):
                signed = True
            if name in _TESTS:
                tests.append(_TESTS[name])
            elif name not in ("integer", "number", "value", "whole", "integral"):
                return None
    if not tests and not re.search(r"integer", bare):
        return None
    return _Part(lambda n: all(test(n) for test in tests), signed, True)
