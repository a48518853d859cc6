"""Percentiles: which share of the active users a rating exceeds, from a histogram with a date."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.files import read_file

from .api import Api
from .contests import user_folder
from .elo import Floats, Ints

FILE_NAME = "active_users.csv"


@dataclass(frozen=True)
class Histogram:
    """`users` (counts) at each of `ratings` (rising); `date` says when they were counted, "" if unknown."""

    ratings: Floats
    users: Ints
    date: str

    def percentile(self, rating: float) -> float:
        """The share of users below `rating`, in percent."""
        return 100 * float(self.users[self.ratings < rating].sum()) / float(self.users.sum())


def load_histogram(path: Path) -> Histogram:
    """A CSV file of `rating,users`; a first line `# date: 2024-11-01` dates it, else a year in its name does.

    Raises EvalkitError where it is not there or of another format.
    """
    hint = "a CSV file with the columns rating,users; `evalkit codeforces histogram` makes one."
    try:
        lines = read_file(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The histogram {path} cannot be read: {error}.", hint) from error
    named = re.search(r"20\d\d", path.name)
    date = named.group() if named else ""
    rows: list[tuple[float, int]] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            date = line.partition(":")[2].strip() if "date" in line else date
        elif line.strip() and line.strip() != "rating,users":
            try:
                rating, users = line.split(",")
                rows.append((float(rating), int(users)))
            except ValueError as error:
                raise EvalkitError(f"Line {number} of {path} is not rating,users: {line[:60]!r}.", hint) from error
    if sum(users for _, users in rows) <= 0 or any(users < 0 for _, users in rows):
        raise EvalkitError(f"The histogram {path} counts no users.", hint)
    rows.sort()
    return Histogram(np.array([r for r, _ in rows]), np.array([u for _, u in rows], dtype=np.int64), date)


def find_histogram(given: str | None, data_root: Path | None = None) -> Histogram | None:
    """The one that was given, else the fetched one, else one beside the problems (codeforces/active_users*.csv)."""
    if given:
        return load_histogram(Path(given))
    fetched = user_folder() / FILE_NAME
    if fetched.exists():
        return load_histogram(fetched)
    beside = sorted((data_root / "codeforces").glob("active_users*.csv")) if data_root else []
    return load_histogram(beside[-1]) if beside else None


def fetch_histogram(api: Api, path: Path, today: str) -> int:
    """Count the active rated users by rating (user.ratedList) and write the file; returns how many there are."""
    people = api.get("user.ratedList", activeOnly="true", includeRetired="false")
    ratings = [p.get("rating") for p in people] if isinstance(people, list) else []
    known = np.array([r for r in ratings if isinstance(r, int)], dtype=np.int64)
    if not known.size:
        raise EvalkitError("The answer to user.ratedList names no rated user.", "try again later.")
    values, counts = np.unique(known, return_counts=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(f"{v},{c}\n" for v, c in zip(values.tolist(), counts.tolist(), strict=True))
    path.write_text(f"# date: {today}\nrating,users\n{body}", "utf-8")
    return int(known.size)
