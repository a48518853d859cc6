"""Protocols: named presets of sampling settings and prompts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, cast

from evalkit.benchmark.registry import did_you_mean, load_plugins, load_typed, not_installed, plugins
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.files import is_finite, is_single_name, parse_json, read_file
from evalkit.types import Message, SamplingParams

DEFAULT_PROTOCOL = "deepseek-r1"
GROUP = "evalkit.protocols"
AUTO_PREFIX = "auto"
_PREFIX_OF_AUTO = "<think>\n"  # what run.json has always called it
_ASSERTED = " (asserted)"


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a model is prompted and how its completions are sampled.

    `prompts` replaces the prompt of every task of a kind. `n` sets the completions per problem by task name, and
    `options` sets task options by task name. `source` documents where the values come from.

    `response_prefix` is the text that opens the response where the chat template leaves thinking open to the caller.
    "auto" is `<think>\n` for templates of DeepSeek-R1's family and nothing for others; "" or "none" is never any.
    `system_prompt` is None for no system message, and "" where a chat template's own shall be left out too.

    Examples:
        >>> greedy = Protocol("greedy", source="my group's default", temperature=0, n={"math500": 1})
        >>> greedy.overridden({"max_tokens": 1024, "top_p": None}).name
        'greedy+max_tokens=1024'
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    source: str
    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int | None = None
    max_tokens: int = 32768
    system_prompt: str | None = None
    response_prefix: str = AUTO_PREFIX
    prompts: Mapping[str, str] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name and not is_single_name(self.name):
            raise EvalkitError(f"{self.name!r} cannot be a protocol's name.", "it is part of a folder's name.")
        if self.response_prefix == "none":
            object.__setattr__(self, "response_prefix", "")

    def fixed_settings(self) -> dict[str, Any]:
        """The settings that all tasks of a run share, as its identity records them.

        Whether a prefix that is left to "auto" was added depends on the chat template, which is the engine's.
        """
        left_out = ("n", "prompts", "options", "source")
        found = {k: v for k, v in asdict(self).items() if k not in left_out}
        if self.response_prefix == AUTO_PREFIX:
            found["response_prefix"] = _PREFIX_OF_AUTO
        return found

    def sampling(self, task: Task, seed: int, n: int | None = None) -> SamplingParams:
        """The sampling settings of one task. Without `n`, the protocol's n for the task is used, or else the task's."""
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
            n=n if n is not None else self.n.get(task.name, task.n),
            seed=seed,
        )

    def overridden(self, values: Mapping[str, Any]) -> "Protocol":
        """A copy with the values that are not None. Its name lists the changed settings."""
        values = {k: "" if k == "response_prefix" and v == "none" else v for k, v in values.items()}
        changed = {k: v for k, v in values.items() if v is not None and v != getattr(self, k)}
        marks = [f"{k}={v:g}" if isinstance(v, int | float) else k for k, v in changed.items()]
        return replace(self, name="+".join([self.name, *marks]), **changed) if changed else self

    def of_recorded(self, is_said: bool) -> "Protocol":
        """The protocol of recorded completions. Without somebody's word (`is_said`) it is not known: `replayed`."""
        return replace(self, name=f"{self.name}{_ASSERTED}" if is_said else "replayed")

    @property
    def is_asserted(self) -> bool:
        """Whether somebody said that recorded completions were drawn under this protocol."""
        return self.name.endswith(_ASSERTED)

    def system_messages(self) -> tuple[Message, ...]:
        """The protocol's system message. One without content asks for no system prompt, a template's own neither."""
        return () if self.system_prompt is None else ({"role": "system", "content": self.system_prompt},)


def available_protocols() -> dict[str, Protocol]:
    """Every preset registered in the entry-point group `evalkit.protocols`, by name.

    A preset that cannot be imported is skipped with a warning.
    """
    return load_plugins(GROUP, _load_protocol)


def installed_protocol(name: str) -> Protocol | None:
    """The preset with exactly this name, or None. Raises EvalkitError if it cannot be imported."""
    entry = plugins(GROUP).get(name)
    return None if entry is None else _load_protocol(entry)


def _load_protocol(entry: EntryPoint) -> Protocol:
    return cast(Protocol, load_typed(entry, "protocol", Protocol))


def find_protocol(name_or_file: str) -> Protocol:
    """A preset by name, or a JSON file with the same fields. Raises EvalkitError if it is neither."""
    if name_or_file.endswith(".json"):
        return _read_protocol(Path(name_or_file))
    if (found := installed_protocol(name_or_file)) is not None:
        return found
    names = list(plugins(GROUP))
    if not names:
        raise not_installed()
    raise EvalkitError(
        f"There is no protocol {name_or_file!r}.{did_you_mean(name_or_file, names)}",
        f"available: {', '.join(names)}; or pass a JSON file, such as my-protocol.json.",
    )


def _read_protocol(path: Path) -> Protocol:
    from pydantic import TypeAdapter, ValidationError

    try:
        content = parse_json(read_file(path))
        if not is_finite(content):
            raise ValueError("a number in it is not finite")
        if isinstance(content, dict):
            content = {"name": path.stem, "source": path.name, **content}
        adapter: TypeAdapter[Any] = TypeAdapter(Protocol)
        protocol: Protocol = adapter.validate_json(json.dumps(content), strict=True)
    except FileNotFoundError:
        raise EvalkitError(f"There is no protocol file {path}.", "`evalkit protocols` lists the presets.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(map(str, first["loc"])) or "the file"
        raise EvalkitError(
            f"The protocol file {path} is invalid at {field_name}: {first['msg']}.",
            "it has the fields that `evalkit protocols NAME --json` prints for a preset.",
        ) from error
    except (OSError, ValueError) as error:
        raise EvalkitError(
            f"The protocol file {path} cannot be read: {error}.", "it has to be one JSON object."
        ) from error
    return protocol
