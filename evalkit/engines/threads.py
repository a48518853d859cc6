"""From an engine, in a thread of its own, to the iterator that the run loop reads.

The engine draws its next request when it has room for it, whatever the run loop is doing meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from evalkit.types import Completion

Emit = Callable[[Completion], None]
T = TypeVar("T")


def iterate(work: Callable[[Emit, threading.Event], None]) -> Iterator[Completion]:
    """What `work` emits in its own thread, until it returns; what it raises is raised here.

    Closing the iterator sets the event, which tells the work to return, and waits for its end.
    """
    finished: SimpleQueue[Completion | BaseException | None] = SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        try:
            work(finished.put, stop)
        except BaseException as error:  # handed to the reader, whatever it is
            finished.put(error)
        else:
            finished.put(None)

    thread = threading.Thread(target=run, name="engine", daemon=True)
    thread.start()
    try:
        while True:
            item = finished.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def iterate_async(work: Callable[[Emit], Coroutine[Any, Any, None]]) -> Iterator[Completion]:
    """`iterate` for a coroutine, in an event loop of its own; it is cancelled when the iterator is closed."""

    async def main(emit: Emit, stop: threading.Event) -> None:
        task = asyncio.ensure_future(work(emit))
        stopped = asyncio.ensure_future(asyncio.to_thread(stop.wait))
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            while not task.done():  # asyncio.wait_for can lose a cancellation (Python before 3.12)
                task.cancel()
                await asyncio.wait({task}, timeout=0.5)
            await task
        finally:
            stop.set()  # the thread that waits for it ends too

    return iterate(lambda emit, stop: asyncio.run(main(emit, stop)))


def run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine, run in a thread of its own: the caller's may have an event loop, as Jupyter's has."""
    result: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            result.put((asyncio.run(work()), None))
        except BaseException as error:  # handed to the caller, whatever it is
            result.put((None, error))

    threading.Thread(target=run, name="engine", daemon=True).start()
    value, error = result.get()
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is the coroutine's
