"""Mirzayanov's rating formula: performance of a rank, official rating changes, CodeElo's rule. Plain numpy.

Source: M. Mirzayanov, "Open Codeforces Rating System" (codeforces.com/blog/entry/20762) and the code there;
CodeElo: Quan et al. 2025, arXiv:2501.01257, and the script of its repository.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ELO_SCALE = math.log(10) / 400
"""Log odds for each rating point."""

NEWCOMER_BONUS = (1400, 900, 550, 300, 150, 50)
"""What is added to the displayed rating of an account with 0, 1, ... 5 rated contests so far (since May 2020)."""

LEGACY_NEWCOMER = 1500
"""The rating of an account without a rated contest before May 2020."""

MOST_RATING = 100_000
"""No rating lies further from 0 than this."""

_MARGIN = 4000


class InvalidStandingsError(ValueError):
    """Ranks or ratings that the formula has no answer for."""


def calculation_rating(displayed: npt.ArrayLike, contests: npt.ArrayLike) -> Ints:
    """The rating that the formula sees: displayed + 1400, 900, 550, 300, 150, 50, 0 by rated contests so far.

    Both arguments broadcast; the result has their shape.
    """
    shown, played = np.asarray(displayed, dtype=np.float64), np.asarray(contests, dtype=np.float64)
    for values in (shown, played):
        if not np.array_equal(values, np.rint(values)) or np.isinf(values).any():
            raise InvalidStandingsError("displayed ratings and numbers of contests have to be integers")
    if (played < 0).any():
        raise InvalidStandingsError("a number of rated contests is negative")
    bonus = np.array([*NEWCOMER_BONUS, 0])
    return np.asarray(shown.astype(np.int64) + bonus[np.minimum(played, len(NEWCOMER_BONUS)).astype(np.int64)])


def _checked(ratings: npt.ArrayLike) -> Floats:
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 1:
        raise InvalidStandingsError(f"ratings have to be one-dimensional, not of shape {values.shape}")
    if values.size == 0:
        raise InvalidStandingsError("there is no rated participant")
    if not np.isfinite(values).all():
        raise InvalidStandingsError(f"{int((~np.isfinite(values)).sum())} of {values.size} ratings are missing")
    if np.abs(values).max() > MOST_RATING:
        raise InvalidStandingsError(f"a rating is {values[np.abs(values).argmax()]:g}, beyond {MOST_RATING}")
    return values


def _checked_ranks(ranks: npt.ArrayLike, last: int) -> Floats:
    places = np.asarray(ranks, dtype=np.float64)
    wrong = ~((places >= 1) & (places <= last))
    if wrong.any():
        raise InvalidStandingsError(f"ranks go from 1 to {last}, {int(wrong.sum())} of {places.size} do not")
    return places


def win_probability(rating: npt.ArrayLike, opponent: npt.ArrayLike) -> Floats:
    """P(rating beats opponent) = 1 / (1 + 10^((opponent - rating) / 400)); broadcasts."""
    difference = np.asarray(opponent, dtype=np.float64) - np.asarray(rating, dtype=np.float64)
    return np.asarray(1 / (1 + np.power(10.0, difference / 400)))


class Seeds:
    """The expected rank of a rating among a fixed field: seed(R) = 1 + sum_i 1 / (1 + 10^((R - r_i)/400)).

    `grid` are the integer ratings from 4,000 below to 4,000 above the field, `values` the seeds there (decreasing).
    """

    def __init__(self, ratings: npt.ArrayLike) -> None:
        self.ratings = _checked(ratings)
        rounded = np.rint(self.ratings)
        low, high = int(rounded.min()) - _MARGIN, int(rounded.max()) + _MARGIN
        self.grid = np.arange(low, high + 1, dtype=np.float64)
        levels, counts = np.unique(self.ratings, return_counts=True)
        if np.array_equal(self.ratings, rounded) and levels.size > 64:
            self.values = 1 + self._convolve(levels, counts, low)
        else:
            self.values = 1 + np.add.reduce(
                [n * win_probability(r, self.grid) for r, n in zip(levels, counts, strict=True)]
            )

    def _convolve(self, levels: Floats, counts: npt.NDArray[np.int64], low: int) -> Floats:
        """Ratings are integers, so the sum over people is a convolution of their histogram with the logistic."""
        from scipy.signal import fftconvolve

        first = int(levels[0])
        histogram = np.zeros(int(levels[-1]) - first + 1)
        histogram[(levels - first).astype(np.int64)] = counts
        span = self.grid.size + histogram.size - 1
        kernel = win_probability(0.0, np.arange(span) + low - int(levels[-1]))
        return np.asarray(fftconvolve(kernel, histogram, mode="valid"), dtype=np.float64)

    def at(self, rating: npt.ArrayLike) -> Floats:
        """The expected rank (from 1) of each rating, linear between integers."""
        return np.asarray(np.interp(np.asarray(rating, dtype=np.float64), self.grid, self.values))

    def performance(self, rank: npt.ArrayLike) -> Floats:
        """The rating whose expected rank is `rank`: inf at rank 1, -inf at rank len(ratings) + 1."""
        last = self.ratings.size + 1
        wanted = _checked_ranks(rank, last)
        inside = np.interp(-wanted, -self.values, self.grid)
        with np.errstate(divide="ignore", invalid="ignore"):
            # far outside the field the logistic is an exponential, which has a closed inverse
            above = (np.logaddexp.reduce(self.ratings * ELO_SCALE) - np.log(wanted - 1)) / ELO_SCALE
            below = (np.log(last - wanted) - np.logaddexp.reduce(-self.ratings * ELO_SCALE)) / ELO_SCALE
        result = np.where(wanted < self.values[-1], above, np.where(wanted > self.values[0], below, inside))
        return np.where(wanted == 1, np.inf, np.where(wanted == last, -np.inf, result))


def performance(rank: npt.ArrayLike, ratings: npt.ArrayLike) -> Floats:
    """The Elo performance R of a rank among `ratings`: rank = 1 + sum_i 1 / (1 + 10^((R - r_i)/400)).

    `rank` counts from 1 and may be fractional: a participant tied with t others gets 1 + better + t / 2. Any shape; the
    result has the same. `ratings` are the field's without the participant. Rank 1 gives inf, the last place -inf.
    Raises InvalidStandingsError (a ValueError) where there is no rating, one is not finite, or a rank is outside
    [1, len(ratings) + 1].
    """
    return Seeds(ratings).performance(rank)


def performances(ranks: npt.ArrayLike, ratings: npt.ArrayLike) -> Floats:
    """Leave-one-out: each participant's performance among all the others. Ranks and ratings are of the same length.

    Ranks count from 1; those tied share their mean rank. Raises InvalidStandingsError as `performance` does.
    """
    field = Seeds(ratings)
    count = field.ratings.size
    places = _checked_ranks(ranks, count)
    if places.shape != (count,):
        raise InvalidStandingsError(f"there are {count} ratings but ranks of shape {places.shape}")
    if count < 2:
        raise InvalidStandingsError("a performance needs at least one other rated participant")

    def seed_without_self(assumed: Floats) -> Floats:
        return field.at(assumed) - win_probability(field.ratings, assumed)

    low, high = np.full(places.shape, field.grid[0]), np.full(places.shape, field.grid[-1])
    for _ in range(40):
        middle = (low + high) / 2
        too_high = seed_without_self(middle) < places
        low, high = np.where(too_high, low, middle), np.where(too_high, middle, high)
    result = (low + high) / 2
    return np.where(places == 1, np.inf, np.where(places == count, -np.inf, result))


def worst_ranks(ranks: npt.ArrayLike, count: int) -> Floats:
    """Ranks as standings show them (tied participants share the best place) to the worst place of each tie."""
    places = np.asarray(ranks, dtype=np.float64)
    if places.shape != (count,):
        raise InvalidStandingsError(f"there are {count} ratings but ranks of shape {places.shape}")
    if not np.isfinite(places).all() or (places < 1).any():
        raise InvalidStandingsError("ranks have to be numbers from 1")
    _, inverse, sizes = np.unique(places, return_inverse=True, return_counts=True)
    return np.cumsum(sizes)[inverse].astype(np.float64)


def raw_changes(worst: Floats, assumed: Ints, opponents: Ints, field: Seeds) -> Ints:
    """Half the way from each assumed rating to the rating of the geometric mean of rank and seed, truncated.

    The field holds `opponents` (each participant's own rating as the others see it), which is left out of its own seed.
    """
    offset = int(field.grid[0])

    def seed(rating: Ints) -> Floats:
        return field.values[rating - offset] - win_probability(opponents, rating)

    wanted = np.sqrt(worst * seed(assumed))
    low, high = np.full(assumed.shape, 1), np.full(assumed.shape, 8000)
    high = np.minimum(high, int(field.grid[-1]))
    while (high - low > 1).any():
        middle = (low + high) // 2
        below = seed(middle) < wanted
        low, high = np.where(below, low, middle), np.where(below, middle, high)
    return np.trunc((low - assumed) / 2).astype(np.int64)


def deflation(raw: Ints, ratings: Ints) -> int:
    """What is added to every change against inflation: the sum of all below 0, that of the top about 0."""
    count = raw.size
    shift = math.trunc(-int(raw.sum()) / count) - 1
    # of equal ratings the better place is the first, as in standings; its change is the higher one
    strongest = np.lexsort((-raw, -ratings))[: min(int(4 * math.floor(math.sqrt(count) + 0.5)), count)]
    top_sum = int((raw[strongest] + shift).sum())
    return shift + min(max(math.trunc(-top_sum / strongest.size), -10), 0)


def _integers(ratings: npt.ArrayLike) -> Ints:
    values = _checked(ratings)
    if not np.array_equal(values, np.rint(values)):
        raise InvalidStandingsError("official rating changes are defined for integer ratings")
    return values.astype(np.int64)


def rating_changes(ranks: npt.ArrayLike, ratings: npt.ArrayLike) -> Ints:
    """The official rating change of every participant of one contest, in rating points.

    `ranks` as standings show them: tied participants share the best place; the formula's worst place of a tie is taken
    inside. `ratings` are integers as the contest saw them (`calculation_rating`). Raises InvalidStandingsError.
    """
    field = _integers(ratings)
    raw = raw_changes(worst_ranks(ranks, field.size), field, field, Seeds(field))
    return np.asarray(raw + deflation(raw, field))


def break_even_ratings(ranks: npt.ArrayLike, ratings: npt.ArrayLike) -> Floats:
    """The old rating at which each participant's official change would have been 0; inf for the first place.

    This is what the predictor carrot calls performance. It lies below `performance` by about four times the contest's
    correction against inflation, and takes the worst place of a tie.
    """
    field = _integers(ratings)
    worst, seeds = worst_ranks(ranks, field.size), Seeds(field)
    shift = deflation(raw_changes(worst, field, field, seeds), field)
    low, high = np.full(field.shape, int(seeds.grid[0])), np.full(field.shape, 6000)
    high = np.minimum(high, int(seeds.grid[-1]))
    while (high - low > 1).any():
        middle = (low + high) // 2
        loses = raw_changes(worst, middle, field, seeds) + shift <= 0
        low, high = np.where(loses, low, middle), np.where(loses, middle, high)
    return np.where(worst == 1, np.inf, high.astype(np.float64))


def virtual_change(rank: float, rating: int, ranks: npt.ArrayLike, ratings: npt.ArrayLike) -> int:
    """The official change of a participant of `rating` who had come in at place `rank` of these standings.

    It stands before whoever has that place (a fractional rank stands between places); they move down.
    """
    places, field = np.asarray(ranks, dtype=np.float64), _integers(ratings)
    moved = np.where(places >= rank, places + 1, places)
    return int(rating_changes([*moved, rank], [*field, rating])[-1])


def codeelo_rating(
    points: Sequence[float] | Floats, penalties: Sequence[float] | Floats, displayed: npt.ArrayLike,
    score: float, penalty: float,
) -> int:  # fmt: skip
    """One contest's rating by the published script of CodeElo (arXiv:2501.01257), its defects included.

    Standings from best to worst. The rank is the 0-based place of the first row that the score beats, so the model is
    the fastest of its score; ratings are the displayed ones; the result is clamped to [0, highest + 99].
    """
    field = _checked(displayed)
    row_points, row_penalties = np.asarray(points, dtype=np.float64), np.asarray(penalties, dtype=np.float64)
    beaten = (row_points < score) | ((row_points == score) & (row_penalties > penalty))
    rank = int(beaten.argmax()) if beaten.any() else field.size
    low, high = 0, int(field.max()) + 100
    while high - low > 1:
        middle = (low + high) // 2
        if 1 + win_probability(field, middle).sum() < rank:
            high = middle
        else:
            low = middle
    return low
