"""Which comparison a problem's outputs need where the data brings no checker of its own."""

import re

_ANY_CASE = re.compile(
    r"""
    \bin\ any\ (?:letter\ )?case\b|\bany\ case\ \(|upper\ or\ lower\ ?case|case[- ]insensitive
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TOLERANCE = re.compile(r"(?i)(?:absolute|relative)[\w\s,]*\berror\b")
_SEVERAL = re.compile(
    r"""
    (?:print|output|find|return|choose|report|any\ of)\b[^.]{0,60}
    \b(?:any|either)\ of\ (?:them|these|those|the)\b
    |(?:print|output)\b[^.]{0,40}\bany\ (?:one|valid|suitable|such|correct|possible)\b
    |(?:multiple|several|many|more\ than\ one)\ (?:\w+\ )?
    (?:answers?|solutions?|(?:suitable|optimal|valid)\ \w+)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_EXPONENT = re.compile(r"10\^\{?\s*-\s*(\d+)")

# run in the sandbox as `checker input expected output`, like a checker of the data
_SOURCE = """
import sys
expected, output = (open(name, encoding="utf-8", errors="replace").read().split() for name in sys.argv[2:4])
tolerance, any_case = {tolerance!r}, {any_case!r}

def same(a, b):
    if a == b or (any_case and a.casefold() == b.casefold()):
        return True
    if tolerance is None:
        return False
    try:
        x, y = float(a), float(b)
    except ValueError:
        return False
    return abs(x - y) <= tolerance * max(1.0, abs(x))

print(int(len(expected) == len(output) and all(map(same, expected, output))))
"""


def token_checker(statement: str) -> str | None:
    """Source of a checker for statements that allow any letter case or an error of real numbers; None: plain tokens."""
    any_case, tolerance = bool(_ANY_CASE.search(statement)), None
    if allowed := _TOLERANCE.search(statement):
        exponent = _EXPONENT.search(statement, allowed.start())
        tolerance = 10.0 ** -int(exponent.group(1)) if exponent else 1e-6
    if not any_case and tolerance is None:
        return None
    return _SOURCE.format(tolerance=tolerance, any_case=any_case)


def accepts_several(statement: str) -> bool:
    """Whether the statement says that any of several answers will do."""
    return bool(_SEVERAL.search(statement))
