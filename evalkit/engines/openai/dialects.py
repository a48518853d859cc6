"""What servers take: presets, and what is learnt from their refusals.

`PRESETS` is the only table of servers. A new one is one entry in it, and one in docs/servers.md.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.engines.openai.faults import RefusedError
from evalkit.errors import EvalkitError

NEUTRAL: Mapping[str, object] = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Sampling that changes nothing: sent so that a server adds none of its own, such as its checkpoint's defaults."""

_OWN_FIELDS = ("model", "messages", "prompt", "n", "stream", "temperature", "top_p", "max_tokens", "seed", "stop")
_LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
_NEVER_DROPPED = ("model", "messages", "prompt", "max_tokens")
_PENALTIES = {"presence_penalty": 0.0, "frequency_penalty": 0.0}


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of server: how it is found, and how requests to it differ.

    `url`, `model` and `owner` are regular expressions over the base URL, the model's name and what `/models` says of
    its owner; those that are given have to match. `neutral` is None where what it takes is found by trying.
    """

    name: str
    url: str = ""
    model: str = ""
    owner: str = ""
    neutral: Mapping[str, object] | None = None
    drops: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def shows_prompts(self) -> bool:
        """Whether servers of this kind have a path that shows what their chat template makes of messages."""
        return self.name in ("vllm", "sglang", "llama.cpp")

    @property
    def thinks_unseen(self) -> bool:
        """Whether nothing comes of a stream while the model thinks."""
        return self.name in ("o-series", "gemini", "xai")

    def matches(self, url: str, model: str, owner: str) -> bool:
        given = [(self.url, url), (self.model, model), (self.owner, owner)]
        asked = [(pattern, value) for pattern, value in given if pattern]
        return bool(asked) and all(re.search(pattern, value, re.IGNORECASE) for pattern, value in asked)


_TO_COMPLETION_TOKENS = {"max_tokens": "max_completion_tokens"}
_REASONING_DROPS = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty")
_LLAMA = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "typical_p": 1.0, **_PENALTIES}
_OPENAI = r"//(?:[a-z]{2}\.)?api\.openai\.com|\.azure\.com"
_OLLAMA_NOTE = (
    "its API takes no top_k, min_p and repeat_penalty, and no context: those of the model's Modelfile stay "
    "(top_k 40 and a context of a few thousand tokens unless it says otherwise; num_ctx sets the context)"
)
_SAMPLES_ITSELF = "its reasoning models sample by settings of their own: temperature and top_p are not the protocol's"

PRESETS: tuple[Preset, ...] = (
    Preset("vllm", owner=r"^vllm$", neutral=NEUTRAL),
    Preset("sglang", owner=r"^sglang$", neutral=NEUTRAL),
    Preset("llama.cpp", owner=r"^llama\.?cpp$", neutral=_LLAMA),
    Preset("ollama", owner=r"^(?:library|ollama)$", neutral=_PENALTIES, note=_OLLAMA_NOTE),
    Preset("ollama", url=r":11434(?:/|$)", neutral=_PENALTIES, note=_OLLAMA_NOTE),
    Preset("lmstudio", owner=r"^organization[-_]owner$", neutral={"top_k": 0, "repeat_penalty": 1.0, **_PENALTIES}),
    Preset(
        "o-series",
        url=_OPENAI,
        model=r"(?:^|/)(?:o\d|gpt-5)",
        neutral={},
        drops=_REASONING_DROPS,
        renames=_TO_COMPLETION_TOKENS,
        note=_SAMPLES_ITSELF,
    ),
    Preset("openai", url=_OPENAI, neutral=_PENALTIES),
    Preset(
        "claude",
        url=r"//api\.anthropic\.com",
        neutral={},
        drops=("seed", "top_p"),
        note="it takes temperature or top_p, not both, no temperature above 1 and no seed; thinking is not shown",
    ),
    Preset(
        "mistral",
        url=r"//api\.mistral\.ai",
        neutral=_PENALTIES,
        renames={"seed": "random_seed"},
        drops=("stream_options",),
    ),
    Preset("deepseek", url=r"//api\.deepseek\.com", neutral={}, drops=("seed",), note=_SAMPLES_ITSELF),
    Preset("gemini", url=r"//generativelanguage\.googleapis\.com", neutral={}, drops=("seed",)),
    Preset(
        "openrouter",
        url=r"//openrouter\.ai",
        neutral={**_PENALTIES, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    ),
    Preset("groq", url=r"//api\.groq\.com", neutral={}, renames=_TO_COMPLETION_TOKENS),
    Preset(
        "together", url=r"//api\.together\.(?:xyz|ai)", neutral={"repetition_penalty": 1.0, "min_p": 0.0, **_PENALTIES}
    ),
    Preset("fireworks", url=r"//api\.fireworks\.ai", neutral={**NEUTRAL, "top_k": 0}),
    Preset("xai", url=r"//api\.x\.ai", neutral={}, drops=("stop",)),
)
UNKNOWN = Preset("unknown")


def preset_names() -> list[str]:
    """The names that --server-preset takes."""
    return list(dict.fromkeys(preset.name for preset in PRESETS))


def find_preset(name: str | None, url: str, model: str, owner: str) -> Preset:
    """The preset of that name, else the first that matches. Raises EvalkitError for an unknown name."""
    if name is None:
        return next((preset for preset in PRESETS if preset.matches(url, model, owner)), UNKNOWN)
    for preset in (*PRESETS, UNKNOWN):
        if preset.name == name:
            return preset
    raise EvalkitError(f"There is no server preset {name!r}.", f"available: {', '.join(preset_names())}, unknown.")


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What the user wants of the requests: fields, names that are not sent, names that are sent otherwise."""

    fields: Mapping[str, object] = field(default_factory=dict)
    drops: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Sequence[str], drops: Sequence[str], renames: Sequence[str]) -> "RequestOptions":
        """From `NAME=JSON`, `NAME` and `OLD=NEW`. Raises EvalkitError for what is none."""
        found: dict[str, object] = {}
        for text in fields:
            name, equals, value = text.partition("=")
            if not equals or not name.strip():
                raise EvalkitError(f"The request field {text!r} has no value.", "write it as NAME=JSON.")
            if name.strip() in _OWN_FIELDS:
                raise EvalkitError(
                    f"The request field {name.strip()!r} is set by evalkit.",
                    "use the option of `evalkit run` for it, or --drop-field or --rename-field.",
                )
            try:
                found[name.strip()] = json.loads(value)
            except ValueError:
                found[name.strip()] = value  # a word is text
        for name in drops:
            if name in ("model", "messages", "prompt"):
                raise EvalkitError(f"A request without {name!r} asks for nothing.", "drop another field.")
        pairs = [text.partition("=") for text in renames]
        for old, _, new in pairs:
            if not old.strip() or not new.strip():
                raise EvalkitError(f"The renaming {old!r} has no new name.", "write it as OLD=NEW.")
        return cls(found, tuple(drops), {old.strip(): new.strip() for old, _, new in pairs})

    def identity(self) -> dict[str, Any]:
        """What of it was given, for run.json."""
        given = {"fields": dict(self.fields), "drops": sorted(self.drops), "renames": dict(self.renames)}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a refusal has taught: sentences to tell (none where another request's refusal taught it), and room left."""

    told: tuple[str, ...] = ()
    room: int | None = None


class RequestForm:
    """The fields of a request as this server takes them. It changes as refusals teach it."""

    def __init__(self, options: RequestOptions, preset: Preset = UNKNOWN) -> None:
        self._options = options
        self.neutral: dict[str, object] = {}
        self.dropped: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self.most_tokens: int | None = None
        self.streams = True
        self._tried_both_names = False
        self.reset(preset)

    def reset(self, preset: Preset) -> None:
        """Begin with what is known of such a server."""
        self.preset = preset
        self.neutral = dict(NEUTRAL if preset.neutral is None else preset.neutral)
        self.renamed = {**preset.renames, **self._options.renames}
        self.dropped = dict.fromkeys(preset.drops, f"{preset.name} does not take it")
        self.dropped |= dict.fromkeys(self._options.drops, "--drop-field")
        for name in self._options.renames:  # a name that the user gives is sent
            self.dropped.pop(name, None)

    def shape(self, payload: Mapping[str, Any], room: int | None = None) -> dict[str, Any]:
        """A request in this server's form. `room` are the tokens that its context leaves, where that is known."""
        whole = {**self.neutral, **payload}
        if self.streams:
            whole |= {"stream": True, "stream_options": {"include_usage": True}}
        if "max_tokens" in whole:
            whole["max_tokens"] = min(n for n in (whole["max_tokens"], self.most_tokens, room) if n is not None)
        kept = {self.renamed.get(name, name): value for name, value in whole.items() if name not in self.dropped}
        return {**kept, **self._options.fields}

    def without_extras(self) -> None:
        """Send only OpenAI's own fields."""
        self.neutral = {}

    def describe(self) -> dict[str, Any]:
        """What is sent and what is not, for run.json."""
        sent = {name: value for name, value in self.neutral.items() if name not in self.dropped}
        found: dict[str, Any] = {"preset": self.preset.name, "streamed": self.streams, "neutral": sent}
        if self.dropped:
            found["not_sent"] = dict(sorted(self.dropped.items()))
        if self.renamed:
            found["renamed"] = dict(self.renamed)
        if self.most_tokens is not None:
            found["most_tokens"] = self.most_tokens
        return found

    def learn(self, error: RefusedError, sent: Mapping[str, Any]) -> Lesson | None:
        """What a refusal teaches about the request `sent`; None where nothing can be changed."""
        said = error.said
        about_the_model = error.status == 404 and re.search(r"model", said, re.IGNORECASE) and "param" not in said
        if error.lasting or about_the_model:
            return None
        limit_name = next((name for name in _LIMIT_NAMES if isinstance(sent.get(name), int)), None)
        if limit_name is not None:
            if limit_name != self.renamed.get("max_tokens", "max_tokens"):
                return Lesson()  # another request's refusal has taught its name meanwhile
            most = int(sent[limit_name])
            if (lesson := self._learn_limit(said, most)) is not None:
                return lesson
            if (room := room_left(said, most)) is not None:
                return Lesson(room=room)
        names = refused_fields(said, sent)
        if limit_name in names and (sentence := self._learn_name(limit_name)) is not None:
            return Lesson((sentence,))
        found = [sentence for name in names if (sentence := self._learn_field(name, sent[name])) is not None]
        return Lesson(tuple(filter(None, found))) if found else None

    def _learn_name(self, name: str) -> str | None:
        """A server that calls the limit otherwise; None where both names were tried."""
        if "max_tokens" in self._options.renames or self._tried_both_names:
            return None
        self._tried_both_names = name == "max_completion_tokens"
        other = _LIMIT_NAMES[1 - _LIMIT_NAMES.index(name)]
        self.renamed["max_tokens"] = other
        return f"the server does not take {name}, it is sent as {other}"

    def _learn_limit(self, said: str, most: int) -> Lesson | None:
        """A server that generates fewer tokens than max_tokens."""
        limit = completion_limit(said, most)
        if limit is None:
            return None
        if self.most_tokens is not None and self.most_tokens <= limit:
            return Lesson()
        self.most_tokens = limit
        return Lesson((f"the server generates at most {limit} tokens, fewer than max_tokens; what ends there is cut",))

    def _learn_field(self, name: str, value: object) -> str | None:
        """Stop sending a field, or send its other neutral value: what to tell, "" where that is nothing.

        None where the field has to be sent.
        """
        own = {new: old for old, new in self.renamed.items()}.get(name, name)
        if name in self._options.fields or own in _NEVER_DROPPED:
            return None
        if own == "stream":
            was, self.streams = self.streams, False
            return "the server does not stream" if was else ""
        if own == "top_k" and value == -1:
            self.neutral["top_k"] = 0  # the other value that switches it off
            return ""
        if own in self.dropped:
            return ""
        self.dropped[own] = "the server refuses it"
        return f"the server does not take {name}, it is not sent"


_REFUSING = (
    r"un(?:expected|known|recogni[sz]ed|supported)|extra|forbidden|not[ _](?:be[ _])?(?:supported|permitted|allowed"
    r"|accepted|implemented|available|enabled)|no longer|does(?: not|n't) (?:support|accept)|do(?: not|n't) support"
    r"|cannot (?:be|both|find)|can't be|invalid|incompatible|deprecated|must be|should be|only (?:the )?default"
)


def refused_fields(said: str, sent: Mapping[str, Any]) -> list[str]:
    """The fields of a request that a refusal names, beside a word of refusal; in quotes where others stand about."""
    found = []
    for name in sent:
        if name in ("model", "messages", "prompt"):
            continue
        spelt = "|".join({re.escape(name), re.escape(_camel(name))})
        word = rf"(?<![\w.])(?:{spelt})(?!\w)"
        near = rf"(?:{_REFUSING})[^\n]{{0,120}}?{word}|{word}[^\n]{{0,120}}?(?:{_REFUSING})"
        if re.search(near, said, re.IGNORECASE):
            found.append(name)
    quoted = [name for name in found if re.search(rf"['\"`]{re.escape(name)}['\"`]", said)]
    by_param = [name for name in found if re.search(rf"\bparam: '{re.escape(name)}'|field '{re.escape(name)}'", said)]
    both = {"temperature", "top_p"} <= set(found) and re.search(r"both|only one|not both", said, re.IGNORECASE)
    if both:
        return ["top_p"]
    if len(said) > 600 and len(found) > 3:  # it repeats the whole request
        return by_param
    return by_param or quoted or found


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


_NUMBER = r"\D{0,20}?(\d[\d,]*)"
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"at most{_NUMBER} (?:completion|output|new|generated) tokens",
        r"valid range of max_tokens is \[\d+,\s*(\d+)\]",
        r"max_tokens: \d+ > (\d+)",
        r"range is from \d+ \(inclusive\) to (?P<above>\d+) \(exclusive\)",
        r"range is from \d+ \(inclusive\) to (\d+) \(inclusive\)",
        rf"max(?:_\w+)?_tokens\b.{{0,60}}?(?:at most|less than or equal to|<=|not exceed|no more than|up to){_NUMBER}",
        rf"max(?:_\w+)?_tokens\b.{{0,60}}?(?:maximum|limit|largest)[a-z ]{{0,30}}?(?:is|of|:|=){_NUMBER}",
        rf"(?:maximum|limit)[a-z ]{{0,20}}\b(?:output|completion) tokens?[a-z ]{{0,30}}{_NUMBER}",
    )
)


def completion_limit(said: str, most: int) -> int | None:
    """The most tokens that the server generates, by its refusal of `most`."""
    if re.search(r"context", said, re.IGNORECASE) and _context_length(said) is not None:
        return None
    for pattern in _LIMITS:
        if found := pattern.search(said):
            above = found.groupdict().get("above")
            limit = _integer(above) - 1 if above else _integer(found[1])
            if 0 < limit < most:
                return limit
    return None


_CONTEXT = re.compile(rf"context[ _](?:length|window|size)[a-z ()]{{0,30}}{_NUMBER}", re.IGNORECASE)
_PROMPT = re.compile(
    r"""
    (\d[\d,]*)\s*(?:tokens?\ )?(?:in|from|of|for)\ (?:the\ |your\ )?(?:input|messages?|prompt)
    |(\d[\d,]*)\ (?:input|prompt)\ tokens
    |(?:prompt|request|input|messages?)(?:\ \w+){0,3}\ (?:has|have|contains?|is|of|with)(?:\ at\ least)?
    \ (\d[\d,]*)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _context_length(said: str) -> int | None:
    found = _CONTEXT.search(said)
    return _integer(found[1]) if found else None


def room_left(said: str, most: int) -> int | None:
    """The tokens that the context leaves, by a refusal that gives the context and the prompt; None without these."""
    context, prompt = _context_length(said), _PROMPT.search(said)
    if context is None or prompt is None:
        return None
    room = context - _integer(next(filter(None, prompt.groups())))
    return room if 0 < room < most else None


def _integer(digits: str) -> int:
    return int(digits.replace(",", "")[:12])
