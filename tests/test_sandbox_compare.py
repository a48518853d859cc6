"""Comparing outputs: as one would by lists of all lines and words, in bounded memory."""

import json
import random
import tracemalloc
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.sandbox import compare
from evalkit.sandbox.child.values import encode
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


@pytest.mark.slow
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


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 0.5, -0.5, 1.5]), st.text("ab1"))
_EIGHTHS = st.integers(-12, 12)
OWN = st.one_of(
    _EIGHTHS.map(lambda n: Fraction(n, 8)),
    _EIGHTHS.map(lambda n: Decimal(n) / 8),
    _EIGHTHS.map(lambda n: np.float64(n / 8)),
    st.integers(-3, 3).map(np.int64),
    st.booleans().map(np.bool_),
    st.builds(complex, st.integers(-2, 2), st.integers(-1, 1)),
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "1"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(names, inner, max_size=3),
            st.dictionaries(names, inner, max_size=3).map(lambda d: defaultdict(int, d)),
        ),
        max_leaves=8,
    )


def as_json(value: Any) -> Any:
    """The value that a test's author would expect of one that is right."""
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, complex):
        return value.real
    return float(value) if isinstance(value, Fraction | Decimal) else value


@settings(max_examples=250)
@given(nested(st.one_of(PLAIN, OWN)), nested(PLAIN), st.booleans())
def test_a_value_is_right_where_python_says_that_both_are_equal(returned: Any, other: Any, alike: bool) -> None:
    """Numbers of every kind, alone and inside lists and dictionaries, of either order of keys."""
    expected = as_json(returned) if alike else other
    found = same_value(encode(returned).decode(), json.dumps(expected))
    assert (found is None) is bool(returned == expected), found


@pytest.mark.parametrize(
    ("returned", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, '{"b": 2, "a": 1}', True),
        ({"a": 1}, '{"a": 1, "b": 2}', False),
        ({"a": 1, "b": 2}, '{"a": 1}', False),
        ({"a": {"b": [Fraction(1, 2)]}}, '{"a": {"b": [0.5]}}', True),
        ({1: 2}, '{"1": 2}', False),
        ([1], "[1, 2]", False),
        ([1, 2], "[1]", False),
        (Fraction(6, 2), "3", True),
        (Fraction(2, 6), "3", False),
        (Decimal("0.1"), "0.1", False),
        (complex(3, 0), "3", True),
        (complex(0, 3), "3", False),
        (complex(3, 1), "3", False),
        (np.array([3]), "3", True),
        (np.array([3]), "[3]", True),
        (np.array([[3]]), "[[3]]", True),
        (np.array([[3]]), "[[4]]", False),
        (np.array([]), "[]", False),
        (np.array([]), "null", False),
        (np.int64(3), '{"!": "decimal", "value": "3"}', False),
        (3, '{"!": "decimal", "value": "3"}', False),
        ([np.int64(3), np.array(2)], "[3, 2]", True),
        (np.float64(0.5), "0.5", True),
    ],
)
def test_values_of_other_types(returned: Any, wanted: str, same: bool) -> None:
    assert (same_value(encode(returned).decode(), wanted) is None) is same


@pytest.mark.parametrize("length", [2, 3])
def test_the_truth_of_an_array_is_ambiguous(length: int) -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        same_value(encode(np.zeros(length)).decode(), json.dumps([0.0] * length))


def test_what_differs_names_both_sides_in_their_order() -> None:
    assert same_value("[1, 2]", "[1, 3]") == "[1, 2] instead of [1, 3]"
    assert same_value(encode({"a": 1}).decode(), "{}") == "[['a', 1]] instead of {}"
    assert same_lines("1\n2", "1\n3") == "line 2: 2 instead of 3"
    assert same_tokens("1 2", "1 3") == "word 2: 2 instead of 3"
    assert same_lines("1", "1\n2") == "1 lines, expected 2"
