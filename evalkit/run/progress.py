"""Shows the progress of a run on stderr: a live table on a terminal or by ipywidgets, else a line every 30 s."""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from evalkit.stats.percent import in_percent
from evalkit.types import Completion, SampleKey, Score
from evalkit.visible import visible_line
from evalkit.words import counted

PIPE_INTERVAL = 30.0
_TOO_EARLY = 10.0  # seconds of generating, before which nothing is said of how long it takes
_SPEED_WINDOW = 60.0


@dataclass(slots=True)
class TaskProgress:
    """The running figures of one task."""

    total: int
    done: int = 0
    graded: int = 0
    truncated: int = 0
    _failed: set[SampleKey] = field(default_factory=set)
    _sums: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add_score(self, score: Score) -> None:
        assert score.key is not None
        sums = self._sums[score.key.problem_id]
        sums[0] += score.value
        sums[1] += 1
        self.graded += 1
        if score.status == "error":
            self._failed.add(score.key)

    def add_completion(self, completion: Completion) -> None:
        self.done += 1
        self.truncated += completion.truncated
        if completion.error is not None:  # before it is graded, which the end of a run may prevent
            self._failed.add(completion.key)

    @property
    def errors(self) -> int:
        """The samples on which the engine or the grader failed."""
        return len(self._failed)

    def score(self) -> float | None:
        """The mean over problems of their mean score so far, in percent. None before any score.

        It has no interval: short completions end first, so that what there is so far is not a random part of the run.
        """
        sums = list(self._sums.values())  # a copy: the live table draws from a thread of its own
        return in_percent(sum(total / count for total, count in sums) / len(sums)) if sums else None


def _in_notebook_with_widgets() -> bool:
    """Whether this is a notebook that can show rich's live table, which needs ipywidgets there."""
    shell = sys.modules.get("IPython")
    if shell is None or getattr(shell.get_ipython(), "kernel", None) is None:
        return False
    return find_spec("ipywidgets") is not None


class Progress:
    """Counts completions and scores, and shows them: twice a second on a terminal, else every `interval` seconds."""

    def __init__(self, totals: dict[str, int], quiet: bool = False, interval: float = PIPE_INTERVAL) -> None:
        self.tasks = {name: TaskProgress(total) for name, total in totals.items()}
        self._quiet = quiet
        self._interval = interval
        self._tokens = 0
        self._recent: list[tuple[float, int]] = []
        self._seconds_left: Callable[[], float | None] | None = None
        self._first_draw: Callable[[], float | None] = lambda: None
        self._trouble: Callable[[], str] | None = None
        self._live: Any = None
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        if self._quiet:
            return self
        if (sys.stderr is not None and sys.stderr.isatty()) or _in_notebook_with_widgets():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), get_renderable=self._table, refresh_per_second=2)
            self._live.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif not self._quiet:
            self._ended.set()
            self._ticker.join()
            self._print_line()

    def _tick(self) -> None:
        while not self._ended.wait(self._interval):
            self._print_line()

    def extend(self, totals: dict[str, int]) -> None:
        """Set the number of completions of each task, for a further phase."""
        for name, total in totals.items():
            self.tasks[name].total = total

    def follow(
        self,
        first_draw: Callable[[], float | None],
        seconds_left: Callable[[], float | None],
        trouble: Callable[[], str] | None = None,
    ) -> None:
        """Set the functions that give the time of the first request (None before it), the seconds left, the faults."""
        self._first_draw, self._seconds_left, self._trouble = first_draw, seconds_left, trouble

    def add_finished(self, task: str, completion: Completion) -> None:
        """Count a completion that is already on disk."""
        self.tasks[task].add_completion(completion)

    def add_completion(self, completion: Completion) -> None:
        self.add_finished(completion.task, completion)
        self._tokens += completion.completion_tokens or 0
        now = time.monotonic()
        if not self._recent or now - self._recent[-1][0] >= 1:
            self._recent.append((now, self._tokens))
            while now - self._recent[0][0] > _SPEED_WINDOW:
                self._recent.pop(0)

    def add_score(self, score: Score) -> None:
        assert score.key is not None
        self.tasks[score.key.task].add_score(score)

    def speed(self) -> float | None:
        """Tokens per second of the completions of the last minute. None before the first completion."""
        begun = self._first_draw()
        if not self._recent or begun is None:
            return None
        now = time.monotonic()
        then, tokens = self._recent[0] if now - begun > _SPEED_WINDOW else (begun, 0)
        return (self._tokens - tokens) / max(now - then, 1e-9)

    def _cells(self, name: str) -> tuple[str, str, str, str]:
        task = self.tasks[name]
        value = task.score()
        score = f"{value:.1f}" if value is not None else "–"
        cut = f"{100 * task.truncated / task.done:.1f}%" if task.done else "–"
        return f"{task.done}/{task.total}", score, cut, str(task.errors)

    def _state(self) -> str:
        """The state of the run: loading, generating (with speed and time left), grading, or done."""
        done = sum(task.done for task in self.tasks.values())
        ungraded = done - sum(task.graded for task in self.tasks.values())
        if done < sum(task.total for task in self.tasks.values()):
            if self._seconds_left is None or (begun := self._first_draw()) is None:
                return "the engine is loading"
            speed, left = self.speed(), self._seconds_left()
            if speed is None or left is None:
                return "no completion has finished yet"
            if left >= 1:
                return f"{speed:,.0f} tokens/s, ETA {timedelta(seconds=round(left))}"
            late = ", longer than expected" if time.monotonic() - begun >= _TOO_EARLY else ""
            return f"{speed:,.0f} tokens/s{late}"
        return f"{ungraded} left to grade" if ungraded else "done"

    def _print_line(self) -> None:
        if sys.stderr is None:  # `print` would take stdout
            return
        parts = []
        for name in self.tasks:
            done, score, cut, errors = self._cells(name)
            failed = f", {counted(int(errors), 'error')}" if errors != "0" else ""
            parts.append(f"{name} {done}, score {score}, cut {cut}{failed}")
        print(visible_line(" | ".join([*parts, self._state(), *self._faults()])), file=sys.stderr, flush=True)

    def _faults(self) -> list[str]:
        """The faults that the engine tells of, as the last part of a line."""
        told = self._trouble() if self._trouble is not None else ""
        return [told] if told else []

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(caption="\n".join([self._state(), *self._faults()]).replace("[", "\\["))
        for heading in ("task", "done", "score", "cut", "errors"):
            table.add_column(heading, justify="left" if heading == "task" else "right")
        for name in self.tasks:
            table.add_row(Text(visible_line(name)), *self._cells(name))
        return table
