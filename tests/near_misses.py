"""Near misses: an answer with one thing changed, so that it means something else."""

import random
import re
from collections.abc import Callable, Iterator

Change = Callable[[re.Match[str]], str]


def _other_digit(match: re.Match[str]) -> str:
    number = match[0]
    at = len(number) - 1 if len(number) < 3 else 1
    digit = str((int(number[at]) + 1) % 10)
    return number[:at] + digit + number[at + 1 :]


def _other_letter(match: re.Match[str]) -> str:
    return {"x": "y", "y": "z", "z": "x", "n": "m", "m": "n", "a": "b", "b": "a", "k": "j", "t": "s"}[match[0]]


# name -> (what is changed, what it becomes)
CHANGES: dict[str, tuple[str, str | Change]] = {
    "digit": (r"(?<![\d.])\d+(?![\d.])", _other_digit),
    "decimal": (r"(?<=\.)\d+", _other_digit),
    "one more digit": (r"(?<![\d.,^{])(?<!frac)(?<!frac )[1-9]\d*(?![\d.,}])", lambda match: match[0] + "1"),
    "plus to minus": (r"(?<=[\w)}\s])\+(?=[\s\w\\(])", "-"),
    "minus to plus": (r"(?<=[\w)}])\s*-(?=[\s\w\\(])", "+"),
    "leading sign": (r"^-(?=[\d\\(a-z])", ""),
    "sign added": (r"^(?=[1-9\\][\w{}\\/]*$)(?!\\(?:begin|text|\{|pm|infty|mathbb|emptyset|varnothing|left))", "-"),
    "letter": (r"(?<![A-Za-z\\])[xyznmabkt](?![A-Za-z])", _other_letter),
    "index": (r"(?<=_)\{?[a-z0-9]\}?", lambda match: "{7}" if "7" not in match[0] else "{8}"),
    "index dropped": (r"_(?:\{[^{}]*\}|[A-Za-z0-9])", ""),
    "exponent dropped": (r"\^(?:\{[^{}]*\}|[2-9a-z])(?!\s*\\circ)", ""),
    "exponent": (r"(?<=\^)[2-9](?!\d)", lambda match: str(int(match[0]) + 1)),
    "root dropped": (r"\\sqrt(?=\{)", ""),
    "cube root": (r"\\sqrt(?=\{)", r"\\sqrt[3]"),
    "factorial dropped": (r"(?<=[\w)])!", ""),
    "fraction turned": (r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", r"\\frac{\2}{\1}"),
    "fraction to product": (r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", r"(\1)\\cdot(\2)"),
    "less to greater": (r"<|\\leq?(?![a-z])", ">"),
    "greater to less": (r">|\\geq?(?![a-z])", "<"),
    "not strict": (r"(?<![\\a-z])[<>](?!=)", lambda match: {"<": "\\le ", ">": "\\ge "}[match[0]]),
    "equal to unequal": (r"(?<![<>!:])=", r"\\neq "),
    "member to no member": (r"\\in(?![a-z])", r"\\notin "),
    "bracket opened": (r"(?<![A-Za-z])\[(?=[^\[\]()]*,)", "("),
    "bracket closed": (r"(?<=\d)\)$", "]"),
    "union to intersection": (r"\\cup(?![a-z])", r"\\cap "),
    "sine to cosine": (r"\\sin(?![a-z])", r"\\cos"),
    "cosine to sine": (r"\\cos(?![a-z])", r"\\sin"),
    "function": (r"\\(?:tan|cot|sec|csc)(?![a-z])", r"\\sin"),
    "logarithm": (r"\\(?:ln|log)(?![a-z_])", r"\\exp"),
    "base": (r"(?<=\\log_)\{?\d+\}?", "{7}"),
    "floor to ceiling": (r"\\lfloor(.*?)\\rfloor", r"\\lceil\1\\rceil"),
    "constant": (r"\\pi(?![a-z])", "e"),
    "constant dropped": (r"(?<=[\w}])\\pi(?![a-z])", ""),
    "imaginary unit": (r"(?<=\d)i(?![a-z])", ""),
    "plus or minus": (r"\\pm(?![a-z])", "+"),
    "accent": (r"\\(?:bar|dot|hat|tilde|overline)(?=\{[a-z]\})", ""),
    "prime": (r"(?<=[a-z])'", ""),
    "letter added": (r"(?<=[1-9])$", "x"),
    "item dropped": (r"^[^,(){}\[\]\\]+,\s*(?=[^,(){}\[\]\\]+(?:,|$))", ""),
    "item twice": (r"^([^,(){}\[\]\\]+),", r"\1, \1,"),
    "items swapped": (r"\((-?\d+),\s*(-?\d+)\)", r"(\2, \1)"),
    "unit": (
        r"(?<![A-Za-z])(?:cm|meters?|inches|feet|hours?|minutes?|seconds?|dollars?|degrees?)(?![a-z])",
        "kilograms",
    ),
    "unit to percent": (r"(?<=\d)\s*\^\\circ|(?<=\d)\s*\^\{\\circ\}", r"\\%"),
    "percent to unit": (r"(?<=\d)\\%", r"\\text{ cm}"),
    "bound": (r"(?<=\}\^)\{?(?:n|\d|\\infty)\}?", "{9}"),
    "odd to even": (r"(?<![a-z])odd(?![a-z])", "even"),
    "even to odd": (r"(?<![a-z])even(?![a-z])", "odd"),
    "positive to negative": (r"(?<![a-z-])positive(?![a-z])", "negative"),
    "all to no": (r"(?<![A-Za-z])[Aa]ll(?![a-z])", "no"),
    "quantifier": (r"at least", "at most"),
    "word": (r"(?<![a-z])(?:prime|convergent|increasing|infinitely|integers?|rational|real)(?![a-z])", "finite"),
    "negation": (r"(?<= )is(?= )", "is not"),
}


def near_misses(answer: str, rng: random.Random, each: int = 1) -> Iterator[tuple[str, str]]:
    """(name of the change, the changed answer): each change at up to `each` places of those where it fits."""
    for name, (pattern, becomes) in CHANGES.items():
        matches = list(re.finditer(pattern, answer))
        rng.shuffle(matches)
        for match in matches[:each]:
            new = becomes(match) if callable(becomes) else match.expand(becomes)
            changed = answer[: match.start()] + new + answer[match.end() :]
            if changed != answer:
                yield name, changed


def is_true_equality(name: str, gold: str, answer: str) -> bool:
    """Whether a change leaves the meaning as it is, or what docs/grading.md says may be left out."""
    if name == "index dropped" and re.fullmatch(r"[\s$]*\d+_\{?\d+\}?[\s$]*", gold):
        return True  # a numeral without its base
    if name == "exponent dropped" and "circ" in gold:
        return True  # an angle without its degree sign
    if name == "letter" and re.search(r"[A-Za-z]\([xyzn]\)|\\pi|where|for all", gold):
        return True  # another name for a function's argument, or for a parameter
    worded = re.search(r"odd|even|prime|power|multiples|integers|form|\\pmod|\\equiv|[nk]=\d?[km]|n=\d", gold)
    if worded and name in ("letter", "item twice"):
        return True  # a set of whole numbers has no variable of its own, and holds nothing twice
    if name == "one more digit" and re.search(r"4k\+3|\\pmod", gold):
        return True  # 4k + 31 and 4k + 3 are the same residues
    if name in ("item twice", "item dropped") and re.match(r"[A-Z][a-z]+(?: [a-z]+)*,", gold):
        return True  # the first words of a sentence
    if name == "index dropped" and "m\\in" in gold:
        return True  # the range of a parameter, which an answer may leave out
    return (name, gold) in TRUE_EQUALITIES


TRUE_EQUALITIES = {
    ("digit", r"\prod_{i=1}^{k}(2i-1)"),  # the factor for i = 1 is 1
    ("one more digit", r"\frac{270}7\text{ degrees}"),  # \frac{270}71 is 270/7 times 1
    ("item twice", "**Final Answer:** $221,$8$"),  # 221 and 8, with two dollars too many
}
