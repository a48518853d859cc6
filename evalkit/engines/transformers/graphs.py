"""Decoding steps recorded as CUDA graphs: a step of a small model is bound by launching its kernels one by one."""

import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger(__name__)

Forward = Callable[[int, int], torch.Tensor]
Replay = Callable[[], None]

_MOST_GRAPHS = 64
_SEEN_BEFORE = 2  # steps of one shape before it is recorded: recording takes as long as some steps
_SEEN_OFTEN = 48  # the same, where a recorded step of more rows or columns does in the meantime
_MOST_EXTRA = 3e9  # bytes of keys and values that such a step may read for nothing
_FEWEST_COLUMNS = 256  # reading so many for nothing takes less than recording steps of more shapes
_TOLERANCE = 0.02  # of the logits' norm: between a recorded step and the same step launched kernel by kernel


class CudaRecorder:
    """Records what a function does on the device; the graphs share one pool of memory, as one runs at a time."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, work: Callable[[], None]) -> Replay:
        if not self._graphs:  # torch gives a pool up with its last graph and refuses to record into it again
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        self._graphs.add(graph)
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        return graph.replay


class RecordedSteps:
    """Decoding steps of a few shapes, recorded when a shape comes again and replayed from then on.

    `forward(rows, columns)` gives the logits, shape (rows, vocabulary), of the first `rows` rows, each attending to
    `columns` columns; it reads and writes tensors that stay where they are while `version` stays. Rows beyond the
    live ones are computed and not used, so a recorded step of a somewhat larger shape serves a shape that has not
    come often. A row's token is `bytes_per_token` of keys and values. The first fault, or a replay that gives other
    logits than the step itself, ends the recording; steps are then launched kernel by kernel.
    """

    def __init__(
        self, forward: Forward, record: Callable[[Callable[[], None]], Replay], bytes_per_token: float
    ) -> None:
        self._forward = forward
        self._record = record
        self._bytes_per_token = bytes_per_token
        self._version: Any = None
        self._seen: dict[tuple[int, int], int] = {}
        self._replays: dict[tuple[int, int], Replay] = {}
        self._logits: torch.Tensor | None = None
        self.recorded = 0
        self.works = True

    def logits(self, rows: int, columns: int, version: object) -> torch.Tensor:
        """As `forward`, of `rows` and `columns` as `shape_of` gives them."""
        if version != self._version:
            self._version = version
            self.forget()
        shape = (rows, columns)
        self._seen[shape] = self._seen.get(shape, 0) + 1
        if replay := self._replays.get(shape) or (self._larger(shape) if self._seen[shape] < _SEEN_OFTEN else None):
            replay()
            assert self._logits is not None
            return self._logits[:rows]
        logits = self._forward(rows, columns)
        if self._seen[shape] >= _SEEN_BEFORE:
            self._try_to_record(shape, logits)
        return logits

    def _larger(self, shape: tuple[int, int]) -> Replay | None:
        """The recorded step that covers `shape` with the fewest tokens, where they are few enough."""
        covers = [each for each in self._replays if each[0] >= shape[0] and each[1] >= shape[1]]
        smallest = min(covers, key=lambda each: each[0] * each[1], default=None)
        if smallest is None:
            return None
        extra = (smallest[0] * smallest[1] - shape[0] * shape[1]) * self._bytes_per_token
        return self._replays[smallest] if extra <= _MOST_EXTRA else None

    def forget(self) -> None:
        """Give back the memory of what was recorded."""
        self._replays.clear()
        self._seen.clear()

    def _try_to_record(self, shape: tuple[int, int], logits: torch.Tensor) -> None:
        if self._logits is None or len(self._logits) < shape[0]:
            self.forget()
            self._logits = torch.full_like(logits, torch.nan)
        if len(self._replays) >= _MOST_GRAPHS:
            self._replays.pop(next(iter(self._replays)))
        out = self._logits

        def work() -> None:
            out[: shape[0]].copy_(self._forward(*shape))

        try:
            replay = self._record(work)
            replay()  # writes the same keys and values to the same places once more
            difference = float((out[: shape[0]].float() - logits.float()).norm() / logits.float().norm())
            fault = f"a recorded step differs by {difference:.1%}" if not difference <= _TOLERANCE else None
        except Exception as error:  # CUDA, a model's own code and torch's capture each raise what they like
            fault = (str(error).splitlines() or [type(error).__name__])[0]
        if fault is None:
            self._replays[shape] = replay
            self.recorded += 1
            return
        logger.warning("CUDA graphs are off, since %s", fault)
        self.works = False
        self._logits = None
        self.forget()


def shape_of(rows: int, columns: int, most_rows: int) -> tuple[int, int]:
    """Rows and columns rounded up by about an eighth at most, so that few shapes come."""
    return min(_rounded(rows, 1), most_rows), _rounded(columns, _FEWEST_COLUMNS)


def _rounded(number: int, unit: int) -> int:
    step = max(unit, 1 << max(0, (number - 1).bit_length() - 4))
    return -(-number // step) * step
