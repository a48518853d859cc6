"""What is still to be generated, over the death of an engine."""

from collections import deque
from collections.abc import Iterator, Sequence

from evalkit.types import Request


class PendingRequests:
    """The requests that have not been given out; those of an engine that died come first."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._returned: deque[Request] = deque()

    def draw(self) -> Request | None:
        """The next request; None where no more are left."""
        return self._returned.popleft() if self._returned else next(self._requests, None)

    def put_back(self, requests: Sequence[Request]) -> None:
        """Take requests back from an engine that has not answered them."""
        self._returned.extend(requests)
