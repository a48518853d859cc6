"""The problems of benchmarks by their word triples, the rare ones weighing most; and how alike a text is to one."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from evalkit.contamination.tokens import (
    GRAM,
    Hashes,
    Positions,
    Tokens,
    grams,
    numeric,
    squeezed,
    tokenize,
    visible,
)

Kind = Literal["exact", "near", "numbers"]
KINDS: tuple[Kind, ...] = ("exact", "near", "numbers")

# Phrases of problems in general: that two texts share them says nothing. N stands for any number.
BOILERPLATE = (
    "where m and n are relatively prime positive integers find m + n",
    "can be written as m/n where m and n are relatively prime positive integers",
    "can be expressed in the form a/b where a and b are relatively prime positive integers what is a + b",
    "where a b and c are positive integers and c is not divisible by the square of any prime find a + b + c",
    "and p is not divisible by the square of any prime number find m + n + p",
    "find the remainder when n is divided by 1000 find the remainder when the sum is divided by 1000",
    "express your answer as a common fraction in lowest terms in simplest radical form",
    "express your answer as a decimal to the nearest tenth in terms of pi in interval notation",
    "enter your answer in the form enter all the solutions separated by commas enter the letter of the correct option",
    "how many ways are there to in how many ways can how many different how many integers between 1 and 100",
    "find the number of ordered pairs of positive integers such that find the number of positive integers",
    "what is the value of find the value of what is the smallest positive integer such that",
    "what is the greatest possible value of find the maximum value of find the minimum value of",
    "let a b and c be positive real numbers such that let x y and z be real numbers such that for all real numbers x",
    "what is the probability that the probability that is the sum of all possible values of what is the sum of",
    "in the diagram shown below the figure shows in triangle abc let abc be a triangle with",
    "what is the area of the triangle find the area of what is the length of find the length of",
    "what is the perimeter of how many square units are in the area of the number of degrees in the measure of angle",
    "find the equation of the line the point of the form the graph of the function of the equation",
    "find the equation of the plane enter your answer in the form ax + by + cz + d = 0",
    "where a b c d are integers such that a > 0 and gcd |a| |b| |c| |d| = 1",
    "determine if the graph of the equation below is a parabola circle ellipse hyperbola point line two lines or empty",
    "find the curve defined by the equation find the shape described by the equation",
    "(a) line (b) circle (c) parabola (c) plane (d) ellipse (d) sphere (e) hyperbola (e) cylinder (f) cone "
    "enter the letter of the correct option",
    "the equation of the line can be expressed in the form y = mx + b enter the ordered pair (m, b)",
    "the equation of this hyperbola can be written as the equation of this ellipse can be written as",
    "enter your answer in the form (r, theta) where r > 0 and 0 <= theta < 2 pi",
    "reminder the number n! is the product of the integers from 1 to n for example 5! = 5 * 4 * 3 * 2 * 1 = 120",
    "solve enter your answer using interval notation find the domain of the function",
    "find the largest value of x that satisfies the equation find all solutions to the equation",
    "please reason step by step and put your final answer within boxed",
    "answer the following multiple choice question the last line of your response should be of the following format",
    "how much does how many more how many are left how old is how much money does she have in total altogether",
    "find the number of ordered pairs a b of integers such that determine the number of ordered triples a b c",
    "each of the there are on the of the is the of a in the and the to the if the at the that the for the",
)
_BOILERPLATE_WEIGHT = 0.15
_FILTER_BITS = 22
_NEEDED = 0.3  # of a problem's weight, at least, in the triples that it is found by
_SHORTEST = 4  # tokens of a problem, below which only sentences of their own count
NEAR, NUMBERS, ALIKE = 0.5, 0.6, 0.45  # coverage, masked coverage, and the Jaccard index of both
_TELLING = 5  # rare triples that a problem needs, to be told from others by less than nearly its whole text
_VERY_ALIKE = 0.75  # coverage and Jaccard index of a problem that has fewer


@dataclass(frozen=True, slots=True)
class Item:
    """One benchmark problem. `secret` problems are never written out."""

    task: str
    problem_id: str
    text: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a place in a text is to a problem.

    `coverage` in [0, 1] is the rarity-weighted share of the problem's word triples that stand there, `masked_coverage`
    the same where all numbers count as equal. `jaccard` is that of both sets of triples, which MinHash estimates.
    `start` and `end` are the tokens of the place.
    """

    kind: Kind | None
    coverage: float
    masked_coverage: float
    jaccard: float
    start: int
    end: int


class Index:
    """The benchmark problems, ready to be looked for.

    >>> index = Index([Item("sums", "1", "Find the sum of the first twenty odd primes below ninety.")])
    >>> index.likeness(0, "So: find the sum of the first twenty  odd primes below $ninety$!").kind
    'exact'
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)
        found = tokenize([item.text for item in items])
        each = [slice(a, b - 1) for a, b in zip(found.firsts[:-1], found.firsts[1:], strict=True)]
        self._words = [found.words[part] for part in each]
        self._grams = [grams(found.words[part]) for part in each]
        self._masked = [grams(found.masked[part]) for part in each]
        counts: Counter[int] = Counter()
        for own in self._masked:
            counts.update(np.unique(own).tolist())
        common = set(_boilerplate().tolist()).union(
            *(own[numeric(found.masked[part])].tolist() for own, part in zip(self._masked, each, strict=True))
        )
        total = max(len(items), 30)
        self._weight = {
            g: math.log((total + 1) / n) * (_BOILERPLATE_WEIGHT if g in common else 1.0) for g, n in counts.items()
        }
        self._weights = [np.array([self._weight[g] for g in own.tolist()]) for own in self._masked]
        self._sorted = [self._weighed(own) for own in self._masked]
        self._tiny: dict[str, list[int]] = {}
        for number, (item, own) in enumerate(zip(items, self._words, strict=True)):
            if len(own) < GRAM:
                self._tiny.setdefault(squeezed(item.text), []).append(number)
        self.least = min((len(squeezed(item.text)) for item in items), default=0)
        self.lengths = np.array([len(own) for own in self._words])
        self.totals = np.array([sum(self._weight[g] for g in set(own.tolist())) for own in self._masked])
        rare = math.log((total + 1) / max(2, total // 100))
        self._telling = [sum(self._weight[g] >= rare for g in set(own.tolist())) for own in self._masked]
        self._build_postings(counts)

    def _build_postings(self, counts: Counter[int]) -> None:
        """For each triple, sorted, the problems that are found by it.

        A problem's most common triples are left out, up to a share of its weight: they cost most and tell least.
        `needed` is the weight that a place has to have of the others for a coverage of `NEAR`.
        """
        shares = [NEAR if telling >= _TELLING else _VERY_ALIKE for telling in self._telling]
        own, self.needed = [], np.array(shares) * self.totals
        for problem, masked in enumerate(self._masked):
            common = sorted(set(masked.tolist()), key=lambda g: (-counts[g], g))
            least = _NEEDED if self._telling[problem] >= _TELLING else NEAR
            left_out = 0
            for g in common:
                rest = self.needed[problem] - self._weight[g]
                if counts[g] < 3 or rest < least * self.totals[problem]:
                    break
                self.needed[problem] -= self._weight[g]
                left_out += 1
            own.append(np.array(common[left_out:], dtype=np.uint64))
        every = np.concatenate([*own, np.zeros(0, dtype=np.uint64)])
        problems = np.repeat(np.arange(len(own)), [len(g) for g in own])
        order = np.argsort(every, kind="stable")
        self._posted = problems[order]
        self.known, first, number = np.unique(every[order], return_index=True, return_counts=True)
        self._first, self._number = first.astype(np.int64), number.astype(np.int64)
        self.known_weights = np.array([self._weight[g] for g in self.known.tolist()])
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._filter[self.known >> np.uint64(64 - _FILTER_BITS)] = True

    def _weighed(self, masked: Hashes) -> tuple[Hashes, npt.NDArray[np.float64]]:
        """The distinct triples of a problem, sorted, each with its weight times how often it is there."""
        known, times = np.unique(masked, return_counts=True)
        return known, np.array([self._weight[g] for g in known.tolist()]) * times

    def hits(self, found: Hashes) -> tuple[Positions, Positions, Positions]:
        """(position, problem, triple) for every triple of a text that a problem has; `known_weights` weighs them."""
        at = np.flatnonzero(self._filter[found >> np.uint64(64 - _FILTER_BITS)])
        where = np.searchsorted(self.known, found[at])
        where[where == len(self.known)] = 0
        right = self.known[where] == found[at] if len(self.known) else np.zeros(len(at), dtype=bool)
        at, where = at[right], where[right]
        number = self._number[where]
        ends = np.cumsum(number)
        inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - number, number)
        problem = self._posted[np.repeat(self._first[where], number) + inside]
        return np.repeat(at, number), problem, np.repeat(where, number)

    def tiny(self, texts: Sequence[str], found: Tokens) -> Iterator[tuple[int, int]]:
        """(text, problem) for every text that is nothing but a problem too short for a triple."""
        if self._tiny:
            for text in np.flatnonzero(np.diff(found.firsts) <= GRAM).tolist():
                yield from ((text, problem) for problem in self._tiny.get(squeezed(texts[text]), ()))

    def likeness(self, problem: int, text: str) -> Likeness:
        """How alike the most similar place of a text is to a problem."""
        found = tokenize([text])
        return self.place(problem, found, 0, len(found.words) - 1)

    def place(self, problem: int, found: Tokens, first: int, last: int) -> Likeness:
        """As `likeness`, for the tokens `first` to `last` of texts; its places are counted from `first`."""
        own_words, words, masked = self._words[problem], found.words[first:last], found.masked[first:last]
        for begin in _places(own_words, words):
            end = begin + len(own_words)
            if len(own_words) >= _SHORTEST or found.stands_alone(first + begin, first + end):
                return Likeness("exact", 1.0, 1.0, 1.0, begin, end)
        theirs, exactly = grams(masked), grams(words)
        if len(own_words) < _SHORTEST or not len(theirs):
            return Likeness(None, 0.0, 0.0, 0.0, 0, 0)
        known, weights = self._sorted[problem]
        where = np.minimum(np.searchsorted(known, theirs), len(known) - 1)
        shared = known[where] == theirs
        weight = np.where(shared, weights[where], 0.0)
        length = math.ceil(1.4 * len(self._masked[problem])) + 6
        sums = np.concatenate([[0.0], np.cumsum(weight)])
        after = np.minimum(np.arange(len(theirs)) + length, len(theirs))
        inside_weight = sums[after] - sums[:-1]  # with repeats: at least what is covered
        start = int(np.argmax(inside_weight))
        if inside_weight[start] < min(NEAR, NUMBERS) * weights.sum():
            return Likeness(None, 0.0, 0.0, 0.0, 0, 0)
        inside = np.flatnonzero(shared[start : start + length]) + start
        start, end = int(inside[0]), int(inside[-1]) + 1
        return self._judged(problem, start, end, theirs[start:end], exactly[start:end])

    def _judged(self, problem: int, start: int, end: int, masked: Hashes, plain: Hashes) -> Likeness:
        known, known_weights = self._sorted[problem]
        total = float(known_weights.sum()) or 1.0
        masked = np.unique(masked)
        masked_coverage = float(known_weights[_among(known, masked)].sum()) / total
        if masked_coverage < min(NEAR, NUMBERS):
            return Likeness(None, 0.0, masked_coverage, 0.0, start, end + GRAM - 1)
        plain = np.unique(plain)
        coverage = float(self._weights[problem][_among(self._grams[problem], plain)].sum()) / total
        jaccard, masked_jaccard = _jaccard(self._grams[problem], plain), _jaccard(self._masked[problem], masked)
        kind: Kind | None = None
        if min(coverage, jaccard) >= _VERY_ALIKE:
            kind = "near"
        elif masked_jaccard >= ALIKE and self._telling[problem] >= _TELLING:
            kind = "near" if coverage >= NEAR else "numbers" if masked_coverage >= NUMBERS else None
        return Likeness(kind, coverage, masked_coverage, jaccard, start, end + GRAM - 1)


def _places(words: Hashes, text: Hashes) -> Iterator[int]:
    """Where the words stand in a row in the text."""
    sought, content = words.tobytes(), text.tobytes()
    at = content.find(sought) if sought else -1
    while at >= 0:
        if at % words.itemsize == 0:
            yield at // words.itemsize
        at = content.find(sought, at + 1)


def _among(values: Hashes, ordered: Hashes) -> npt.NDArray[np.bool_]:
    """Which of the values are among the sorted ones, of which there is at least one."""
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values)


def _jaccard(one: Hashes, ordered: Hashes) -> float:
    """The Jaccard index of two sets of triples, the second sorted and without repeats."""
    first = np.unique(one)
    both = int(_among(first, ordered).sum())
    return both / max(len(first) + len(ordered) - both, 1)


def _boilerplate() -> Hashes:
    found = tokenize([visible(phrase) for phrase in BOILERPLATE])
    return np.unique(grams(found.masked))
