"""Looks at a run's first responses, and says early what would make its numbers worthless."""

import logging
import time
from collections.abc import Callable

from evalkit.thinking import has_thinking, opens_thinking, unknown_opening
from evalkit.types import Completion, Score

logger = logging.getLogger(__name__)

_ENOUGH = 16
_FEW = 4
_SECONDS = 45.0  # after the first response, a few are enough
_LENGTH = 2000  # characters of a response
_MANY = 0.1  # of the responses


class EarlyWatch:
    """Warns once of each kind: responses without thinking, empty ones, all cut, none with an answer, unknown tags.

    `prefix` is the protocol's response prefix: where it opens thinking, responses are expected to think.
    """

    def __init__(self, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._expects_thinking = prefix == "auto" or opens_thinking(prefix)
        self._clock = clock
        self._begun: float | None = None
        self._responses: list[str] | None = []
        self._cut = self._empty = 0
        self._statuses: list[str] | None = []

    def add_completion(self, completion: Completion) -> None:
        if self._responses is None or completion.error is not None:
            return
        self._responses.append((completion.prefix + completion.text)[:_LENGTH])
        self._cut += completion.truncated
        self._empty += not completion.text.strip()
        if self._is_enough(len(self._responses)):
            self._look_at_responses()

    def add_score(self, score: Score) -> None:
        if self._statuses is None or score.status == "error":
            return
        self._statuses.append(score.status)
        if self._is_enough(len(self._statuses)):
            self._look_at_statuses()

    def finish(self) -> None:
        """Look at the few that a short run has."""
        if self._responses is not None and len(self._responses) >= _FEW:
            self._look_at_responses()
        if self._statuses is not None and len(self._statuses) >= _FEW:
            self._look_at_statuses()

    def _is_enough(self, count: int) -> bool:
        now = self._clock()
        self._begun = now if self._begun is None else self._begun
        return count >= _ENOUGH or (count >= _FEW and now - self._begun > _SECONDS)

    def _look_at_responses(self) -> None:
        responses, self._responses = self._responses or [], None
        count = len(responses)
        if (tag := unknown_opening(responses)) is not None:
            logger.warning(
                "most responses open with %r, which evalkit does not know as a thinking tag: thinking that is cut "
                "would be read as the answer; look at them with `evalkit samples`, and see docs/thinking.md",
                tag,
            )
        elif self._expects_thinking and not any(map(has_thinking, responses)):
            logger.warning(
                "none of the first %d responses thinks, and the response prefix (%r) is for models that do: see what "
                "the model gets with --dry-run; --chat-template-arg sets what a chat template asks for, and "
                "--response-prefix none is for models that do not think",
                count,
                self._prefix,
            )
        if self._empty > count * _MANY:
            logger.warning(
                "%d of the first %d responses are empty and count as no_answer: see what the model gets with "
                "--dry-run, and whether the server's parser takes the text away",
                self._empty,
                count,
            )
        if self._cut == count:
            logger.warning("all of the first %d responses were cut at max_tokens or the end of the context", count)

    def _look_at_statuses(self) -> None:
        statuses, self._statuses = self._statuses or [], None
        if all(status == "no_answer" for status in statuses):
            logger.warning(
                "none of the first %d responses has an answer: look at them with `evalkit samples`", len(statuses)
            )
