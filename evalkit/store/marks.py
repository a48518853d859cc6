"""One small number for each sample of a task, in about a byte: which were seen, and how they were graded."""

from evalkit.types import STATUSES, Status

_SPREAD = 4096  # how far beyond twice the known indices a byte is kept for each; farther ones are kept one by one


class SampleMarks:
    """A number from 1 to 255 for each (problem id, sample index), 0 for those without one.

    Examples:
        >>> marks = SampleMarks()
        >>> marks.set("p-1", 3, 7)
        >>> marks.get("p-1", 3), marks.get("p-1", 2)
        (7, 0)
    """

    def __init__(self) -> None:
        self._near: dict[str, bytearray] = {}
        self._far: dict[tuple[str, int], int] = {}

    def get(self, problem_id: str, sample_index: int) -> int:
        near = self._near.get(problem_id)
        if near is not None and sample_index < len(near) and near[sample_index]:
            return near[sample_index]
        return self._far.get((problem_id, sample_index), 0) if self._far else 0

    def set(self, problem_id: str, sample_index: int, mark: int) -> None:
        near = self._near.setdefault(problem_id, bytearray())
        if sample_index >= 2 * len(near) + _SPREAD:
            self._far[problem_id, sample_index] = mark
            return
        if sample_index >= len(near):
            near.extend(bytes(sample_index + 1 - len(near)))
        near[sample_index] = mark
        if self._far:
            self._far.pop((problem_id, sample_index), None)


class SampleStatuses:
    """The status of each sample that has one."""

    def __init__(self) -> None:
        self._marks = SampleMarks()

    def get(self, problem_id: str, sample_index: int) -> Status | None:
        mark = self._marks.get(problem_id, sample_index)
        return STATUSES[mark - 1] if mark else None

    def set(self, problem_id: str, sample_index: int, status: Status) -> None:
        self._marks.set(problem_id, sample_index, 1 + STATUSES.index(status))
