"""Comparing outputs: as one would by lists of all lines and words, in bounded memory."""

import random
import tracemalloc
from decimal import Decimal, InvalidOperation

import pytest

from evalkit.sandbox import compare
from evalkit.sandbox.compare import MOST_NESTED, is_too_deep, parse_json, same_lines, same_tokens, same_value


def by_lists(output: str, expected: str) -> bool:
    """The official runner's comparison, word by word."""
    got, wanted = ([line.strip() for line in text.strip().split("\n")] for text in (output, expected))
    if len(got) != len(wanted):
        return False
    for one, other in zip(got, wanted, strict=True):
        if one != other:
            try:
                if [Decimal(w) for w in one.split()] != [Decimal(w) for w in other.split()]:
                    return False
            except (InvalidOperation, ValueError):
                return False
    return True


WORDS = ["1", "1.0", "01", "-0", "0", "a", "A", "nan", "sNaN", "inf", "1e3", "1000", "", "x1", "\u0661", "1_0", "10"]
SPACES = [" ", "  ", "\n", "\n\n", " \n", "\t", "\r\n", "\x0b", "\x1c", "\u2003", "\x85"]


def test_lines_and_words_as_by_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_BLOCK", 3)
    monkeypatch.setattr(compare, "_WINDOW", 5)
    draw = random.Random(0)
    equal = 0
    for _ in range(4000):
        words = [draw.choice(WORDS) for _ in range(draw.randint(0, 8))]
        texts = []
        for _ in range(2):
            changed = [draw.choice(WORDS) if draw.random() < 0.05 else word for word in words]
            plain = draw.random() < 0.6
            texts.append(
                "".join(word + (" \n"[n % 2] if plain else draw.choice(SPACES)) for n, word in enumerate(changed))
            )
        assert (same_lines(*texts) is None) is by_lists(*texts), texts
        assert (same_tokens(*texts) is None) is (texts[0].split() == texts[1].split()), texts
        equal += by_lists(*texts)
    assert 500 < equal < 3500


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_many_words_take_little_memory(separator: str) -> None:
    count = 100_000
    one, other = separator.join(["7"] * count) + " ", separator.join(["7.0"] * count)
    doubled = one.replace(separator, separator + " ")
    tracemalloc.start()
    begin, _ = tracemalloc.get_traced_memory()
    assert same_lines(one, other) is None
    assert same_tokens(one, doubled) is None
    assert same_tokens(one, other) == "word 1: 7 instead of 7.0"
    assert same_tokens(one, one + " 8 9") == f"{count} words, expected {count + 2}"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most - begin < 5 << 20  # a list of all words alone would take 6 MB for each side


@pytest.mark.parametrize(
    ("encoded", "wanted", "same"),
    [
        ("[1, 2]", "[1, 2]", True),
        ("null", "", True),
        ("null", "  \n", True),
        ("0", "", False),
        ("[" * 5000 + "]" * 5000, "[]", False),
        ('"' + "x" * (2 << 20) + '"', '"x"', False),
        ("[" + "[]," * 900_000 + "[]]", "[]", False),
    ],
)
def test_values(encoded: str, wanted: str, same: bool) -> None:
    assert (same_value(encoded, wanted) is None) is same


@pytest.mark.parametrize(
    ("forged", "wanted"),
    [
        ('{"!": "dict"}', '{"a": 1}'),
        ('{"!": "dict", "items": [1]}', '{"a": 1}'),
        ('{"!": "array", "size": "9"}', "1"),
        ('{"!": "fraction", "value": [1, 0]}', "1"),
        ('{"!": "decimal", "value": []}', "1"),
        ('{"!": "complex"}', "1"),
        ("{", "1"),
    ],
)
def test_a_forged_value_is_an_error_that_the_judge_expects(forged: str, wanted: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError)):
        same_value(forged, wanted)


def test_depth() -> None:
    deep = "[" * MOST_NESTED + "]" * MOST_NESTED
    assert parse_json(deep)
    assert is_too_deep(f"[{deep}]")
    assert not is_too_deep('"' + "[" * 5000 + '"')
    assert not is_too_deep("[],[]," * 5000)
    with pytest.raises(ValueError, match="deep"):
        parse_json(f"[{deep}]")
