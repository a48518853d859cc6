"""Which rows run together, and what happens when memory runs out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch

from evalkit.engines.transformers.batching import BatchRow, FinishedRow, RowBatch

_WINDOW = 4  # static batches drawn at once, to be sorted by prompt length
_REFILL_SHARE = 8  # a refill waits for an eighth of the batch: each costs about as much as a step of a small model
_GROWTH_SHARE = 16  # of the full batch is regained each time that a batch's worth of completions came undisturbed


class RowQueue(Protocol):
    """What is still to be done."""

    def take(self, count: int) -> list[BatchRow]: ...

    def put_back(self, rows: list[BatchRow]) -> None: ...


def serve_refilling(queue: RowQueue, batch: RowBatch, most: int) -> Iterator[FinishedRow]:
    """Rows as they end, the batch of at most `most` rows refilled meanwhile.

    Out of memory halves the batch: the rows that have come least far go back to the queue and start anew. It grows
    again, slowly, as completions come without such a fault. A request that does not fit alone ends with an error.
    """
    limit, calm = most, 0
    while True:
        fresh: list[BatchRow] = []
        finished: list[FinishedRow] | None = None
        try:
            room = limit - len(batch)
            if room and (not len(batch) or room * _REFILL_SHARE >= limit):
                fresh = queue.take(room)
                if fresh:
                    batch.admit(fresh)
                    fresh = []
            if not len(batch):
                return
            finished = batch.step()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if finished is not None:
            yield from finished
            calm += len(finished)
            if limit < most and calm >= limit:
                limit, calm = min(most, limit + max(1, most // _GROWTH_SHARE)), 0
            continue
        calm = 0
        # Not inside the except clause: the traceback keeps the tensors of the failed step.
        attempted = len(batch) + len(fresh)
        if attempted > 1:
            limit = attempted // 2
            queue.put_back(_make_room(batch, limit) + fresh)
        else:
            limit = most  # it was this request's size, not the batch's
            yield from (_too_large(row) for row in [*batch.clear(), *fresh])
            _free()


def serve_static(
    queue: RowQueue, run: Callable[[Sequence[BatchRow]], Sequence[FinishedRow]], most: int
) -> Iterator[FinishedRow]:
    """Rows as their batches end; a batch has rows of similar prompt length, the longest first."""
    limit = most
    while window := queue.take(_WINDOW * limit):
        window.sort(key=lambda row: -len(row.prompt.token_ids))
        while window:
            rows, window = window[:limit], window[limit:]
            finished: Sequence[FinishedRow] | None = None
            try:
                finished = run(rows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            if finished is not None:
                yield from finished
                continue
            _free()
            if len(rows) == 1:
                limit = most
                yield _too_large(rows[0])
            else:
                limit = len(rows) // 2
                for row in rows:
                    row.tokens = []
                window = rows + window


def is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an exception of its own; the CPU's and Apple's allocators say it in words."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def _make_room(batch: RowBatch, limit: int) -> list[BatchRow]:
    """Take rows out until `limit` are left, or all of them where even moving rows lacks memory."""
    _free()
    try:
        return batch.evict(max(0, len(batch) - limit))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return batch.clear()
    finally:
        _free()


def _free() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _too_large(row: BatchRow) -> FinishedRow:
    error = f"Out of memory, with this request alone, after {len(row.tokens)} tokens."
    return FinishedRow(row, "error", error=error)
