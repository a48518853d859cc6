"""The engine's side of the contract: requests in, completions out as they finish."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from evalkit.engines.endings import Endings
from evalkit.engines.prompts import Opening, Prompt
from evalkit.types import Completion, Request, SampleKey

T = TypeVar("T")

REFUSED = "The server refuses the request: "
"""How the error of a completion begins that would be refused again: asking for it once more brings nothing."""

LoadedModel = tuple[Any, Any]
"""A causal language model and its tokenizer, as transformers has loaded them."""


def option(default: T, description: str, *, recorded: bool = True) -> T:
    """A field of an options dataclass: its default and the line that `evalkit engines show` prints for it.

    An option that `identity` does not name is recorded in run.json beside it, and compared when a run is resumed.
    `recorded=False` leaves it out: it changes no completion, such as a batch size, or `identity` has its meaning in
    another form, such as the hash of a file.
    """
    return field(default=default, metadata={"help": description, "recorded": recorded})


class Engine(Protocol):
    """What makes completions. A class is an engine if it has these members; inheriting brings the defaults.

    It is called with the model's name and an instance of `options_class`, and is cheap to make: weights are loaded by
    the first `generate`, so that a dry run needs none. Raises EvalkitError where it can already be said that it will
    not work.

    name: what `--engine` takes.
    options_class: a frozen dataclass; each field is an option, declared with `option(default, description)`.
    packages: the modules that have to be importable, and `install`, the command that installs them.
    takes_loaded_models: whether it can be called with a `LoadedModel` in place of a name.
    caps_at_context: whether a completion whose max_tokens do not fit beside its prompt ends where the context does.
    honours_seeds: whether equal `Request.seed` gives an equal completion, whatever else is in flight.
    """

    name: ClassVar[str]
    options_class: ClassVar[type[Any]]
    packages: ClassVar[tuple[str, ...]] = ()
    install: ClassVar[str] = ""
    takes_loaded_models: ClassVar[bool] = False
    caps_at_context: ClassVar[bool] = False
    honours_seeds: ClassVar[bool] = True

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What of the engine and the model can change a completion, as JSON: compared when a run is resumed."""

    @abstractmethod
    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        """Completions in the order in which they finish, exactly one for each request.

        Requests are drawn from the iterator when there is room for them and not before: it is the queue, and may
        reorder what is left meanwhile. A fault of one request is a completion with finish_reason "error"; a fault
        that ends the engine raises RunIncompleteError. May be called again when the iterator has ended or is closed.
        """

    def files(self) -> Sequence[Path] | None:
        """The files that `identity` depends on beside the options, None where it depends on more, such as a server."""
        return None

    def environment(self) -> dict[str, Any]:
        """Versions and hardware, as JSON: recorded in run.json, not compared."""
        return {}

    def trouble(self) -> str:
        """The faults so far in a few words, shown while a run goes on; "" where there were none."""
        return ""

    def verify_resumed(self, recorded: Mapping[str, Any]) -> None:
        """Raises EvalkitError where this is not the model that a run on disk was begun with.

        `recorded` is what `environment` gave then. Called before such a run is continued; what `identity` holds need
        not be compared.
        """
        return

    @property
    def gpus(self) -> int:
        """How many GPUs of this machine `generate` keeps busy: what GPU hours are counted by. 0 for none of its own."""
        return 0

    def context_length(self) -> int | None:
        """The tokens that prompt and completion may have together; None where it is not known."""
        return None

    def reserve(self, tokens: int) -> None:
        """Take note, before `generate`, that no prompt and its completion will need more than `tokens` together.

        An engine may size its memory by it. It changes neither `identity` nor any completion.
        """
        return

    def unanswerable(self, requests: Iterable[Request]) -> list[SampleKey]:
        """The requests that the engine knows it cannot answer, before any is generated: a recording has no more."""
        return []

    def render(self, request: Request) -> Prompt | None:
        """The prompt to the token; None where the engine (a server) renders it out of sight."""
        return None

    def opening(self, request: Request) -> Opening | None:
        """How the response to a request begins, and why; None where the engine cannot tell."""
        prompt = self.render(request)
        return prompt.opening if prompt is not None else None

    @property
    def endings(self) -> Endings | None:
        """Which tokens end a response; None where the engine (a server) decides that out of sight."""
        return None

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that `render` uses; None where `render` returns None."""
        return None

    def close(self) -> None:
        """Free the engine's memory and end its processes; a second call does nothing."""
        return
