"""How many requests a server gets at once: raised until its throughput stops rising, cut when it is overloaded."""

import time
from collections.abc import Callable

_FIRST = 32
_GROWTH = 1.5
_CAREFUL_GROWTH = 1.1  # once the server has been overloaded
_CUT = 0.7
_GAIN = 1.05  # by which the throughput has to rise for a higher level to be kept
_QUIET = 5.0  # seconds: a full server that has answered nothing for so long may have room for more
_SMALLEST_WINDOW = 16  # answers
_WINDOWS_UNTIL_RETRY = 20


class ConcurrencyLimit:
    """The number of requests in flight to one server; `fixed` keeps it where it is."""

    def __init__(self, most: int, fixed: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = most if fixed else min(most, _FIRST)
        self._most = most
        self._fixed = fixed
        self._clock = clock
        self._growth = _GROWTH
        self._best_speed = 0.0
        self._best_limit = self.limit
        self._settled = 0
        self._last_cut = float("-inf")
        self._begin_window()

    def _begin_window(self) -> None:
        self._began = self._clock()
        self._answers = 0
        self._tokens = 0.0
        self._full = False

    def answered(self, tokens: float, in_flight: int) -> None:
        """An answer of that many tokens came while `in_flight` requests were out, itself included."""
        self._answers += 1
        self._tokens += tokens
        self._full |= in_flight >= self.limit
        if self._fixed or self._answers < max(self.limit, _SMALLEST_WINDOW):
            return
        speed = self._tokens / max(self._clock() - self._began, 1e-9)
        if not self._full:
            pass
        elif speed > _GAIN * self._best_speed:
            self._best_speed, self._best_limit = speed, self.limit
            self._raise()
        elif self._settled < _WINDOWS_UNTIL_RETRY:
            self.limit = self._best_limit
            self._settled += 1
        else:
            self._best_speed, self._settled = speed, 0
            self._raise()
        self._begin_window()

    def waited(self, in_flight: int) -> None:
        """Time has passed. A server that is full and silent gets more, as long completions tell nothing for long."""
        if not self._answers and in_flight >= self.limit and self._clock() - self._began > _QUIET and not self._fixed:
            self._raise()
            self._best_limit = self.limit
            self._begin_window()

    def overloaded(self) -> None:
        """The server has said that it has too much (429, 5xx): cut once for all that it says within a second."""
        now = self._clock()
        if now - self._last_cut < 1:
            return
        self._last_cut = now
        self.limit = self._best_limit = max(1, int(self.limit * _CUT))
        self._growth = _CAREFUL_GROWTH
        self._best_speed, self._settled = 0.0, 0
        self._begin_window()

    def _raise(self) -> None:
        self.limit = min(self._most, max(self.limit + 1, int(self.limit * self._growth)))
