"""The statuses of a task's samples, in about a byte each."""

import random
import tracemalloc

from evalkit.store.marks import SampleMarks, SampleStatuses
from evalkit.types import STATUSES


def test_marks_are_those_of_a_dictionary_however_far_apart() -> None:
    random_ = random.Random(1)
    marks: dict[tuple[str, int], int] = {}
    kept = SampleMarks()
    for _ in range(20_000):
        spread = random_.choice([3, 300, 30_000, 1 << 30])
        key = random_.choice("abc"), random_.randrange(spread)
        assert kept.get(*key) == marks.get(key, 0)
        marks[key] = random_.randrange(1, 256)
        kept.set(*key, marks[key])
    assert all(kept.get(*key) == mark for key, mark in marks.items())


def test_a_hundred_thousand_statuses_take_little_memory() -> None:
    tracemalloc.start()
    statuses = SampleStatuses()
    for problem in range(1000):
        for sample in range(100):
            statuses.set(f"problem-{problem}", sample, STATUSES[sample % 5])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statuses.get("problem-999", 99) == STATUSES[4]
    assert statuses.get("problem-999", 100) is None
    assert held < 1_000_000


def test_a_strangers_index_takes_no_room() -> None:
    tracemalloc.start()
    marks = SampleMarks()
    for problem in range(100):
        marks.set(f"problem-{problem}", (1 << 31) - 1, 1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert marks.get("problem-5", (1 << 31) - 1) == 1
    assert held < 1_000_000
