"""Requests to a server that says nothing: how long they wait, and what is told before they are given up."""

import time
from dataclasses import dataclass, field

from evalkit.engines.openai.wire import Deadline

FIRST_WORD = 4.0  # seconds of failure or silence after which it is told
LEAST_SILENCE = 5.0  # seconds, however small the patience is
LOOK = 0.5  # seconds between two looks at what is out


@dataclass(slots=True, eq=False)
class Flight:
    """One request that is out. `streamed`: its response is asked for as it is made."""

    streamed: bool
    begun: float = field(default_factory=time.monotonic)
    deadline: Deadline | None = None  # None: its own time limit is enough
    silent: bool = False  # ended because its server said nothing

    def end(self) -> None:
        """End it now, where that can be done."""
        if self.deadline is not None and not self.silent:
            self.silent = True
            self.deadline.within(0.0)


@dataclass(slots=True)
class Hearing:
    """What is heard of one server, and what is out there."""

    flights: set[Flight] = field(default_factory=set)
    last: float = float("-inf")
    longest: float = 0.0  # silence that ended with a token
    told: bool = False  # of the present silence

    def hear(self, flight: Flight, token: bool) -> None:
        """Something has come: a token, or a sign of life."""
        now = time.monotonic()
        if token:
            self.longest = max(self.longest, now - max(self.last, flight.begun))
        self.last, self.told, flight.silent = now, False, False

    def silence(self, flight: Flight) -> float:
        """Seconds that a request has waited with nothing for any request."""
        return time.monotonic() - max(self.last, flight.begun)
