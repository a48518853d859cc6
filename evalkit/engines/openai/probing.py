"""What a server is and what it takes, asked before a run: its models, its kind, a probe at temperature 0."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.engines.openai.addresses import displayed
from evalkit.engines.openai.dialects import RequestForm, find_preset
from evalkit.engines.openai.faults import GivenUpError, RefusedError, ServerError, tidy
from evalkit.engines.openai.http import Server, Servers
from evalkit.engines.openai.replies import choice_of, response_text
from evalkit.engines.openai.template import ServerTemplate
from evalkit.errors import EvalkitError

logger = logging.getLogger(__name__)

PROBE = "Name seven animals, and a number for each."
_PROBE_TOKENS = 24
_LESSONS = 16
_DAY = 86_400
_UNKNOWN_FIELD = re.compile(
    r"unexpected|unknown|unrecogni|extra|not permitted|not supported|unsupported", re.IGNORECASE
)
_NO_TOKENS_LEFT = re.compile(r"(?:max_tokens|max_completion_tokens|output limit) .{0,60}reached", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells one server's model from another's; None for what it does not tell.

    `answer` is its answer to a fixed probe at temperature 0, None where it gives another one each time. `created` is
    left out by servers that give the time of the request.
    """

    base_url: str
    root: str | None = None
    owned_by: str | None = None
    created: int | None = None
    answer: str | None = None

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """In words, what differs where both tell it; the address is no difference of the model."""
        found = []
        names = {"root": "root", "owned_by": "owner", "created": "creation time", "answer": "answer"}
        for name, words in names.items():
            mine, theirs = getattr(self, name), other.get(name)
            if mine is not None and theirs is not None and mine != theirs:
                found.append(f"{words} {tidy(str(theirs), 60)!r} became {tidy(str(mine), 60)!r}")
        return found

    def recognises(self, other: Mapping[str, Any]) -> bool:
        """Whether anything beside the address shows that it is the same model."""
        told = [(getattr(self, name), other.get(name)) for name in ("answer", "root")]
        return any(mine is not None and mine == theirs for mine, theirs in told)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the servers were found to be and to do."""

    context_length: int | None
    version: str | None
    continues: bool  # a response that the request has begun
    takes: frozenset[str]  # of the fields beyond OpenAI's that evalkit itself uses
    shows_prompts: bool  # whether it is known how its chat template begins a response
    marks: tuple[Marks, ...]

    def described_marks(self) -> list[dict[str, Any]]:
        return [asdict(mark) for mark in self.marks]


class Prober:
    """Asks the servers of a run. `path` is the endpoint, `prompted` what makes a payload of a text."""

    def __init__(self, servers: Servers, form: RequestForm, model: str, path: str, preset: str | None) -> None:
        self._servers = servers
        self._form = form
        self._model = model
        self._path = path
        self._preset = preset

    async def abilities(self, own_fields: Mapping[str, Any]) -> Abilities:
        """Everything, of every server. `own_fields` are fields beyond OpenAI's that are tried.

        Raises ServerError where none answers or the requests are refused, EvalkitError where two are not one model.
        """
        marks: list[Marks] = []
        entry: dict[str, Any] = {}
        for server in list(self._servers.members):
            listed = await self._servers.ask(server, "/models")
            found, names = entry_of(listed, self._model)
            if names and not found:
                _warn_of_the_name(self._model, names)
            if not marks:
                entry = found
                owner = str(found.get("owned_by") or next(iter(_owners(listed)), ""))
                self._form.reset(find_preset(self._preset, server.root, self._model, owner))
            try:
                answer = await self._answer(server)
            except ServerError as error:
                if len(self._servers.members) == 1:
                    raise
                logger.warning("%s It is left out of this run.", error.message)
                self._servers.leave_out(server)
                continue
            marks.append(_marks(server, found, answer))
        require_one_model(marks)
        first = self._servers.members[0]
        version = await self._servers.ask(first, "../version")
        context = entry.get("max_model_len") or entry.get("context_length") or entry.get("context_window")
        meta = entry.get("meta")
        if context is None and isinstance(meta, dict):
            context = meta.get("n_ctx") or meta.get("n_ctx_train")
        shown = self._path != "/completions" and await self._shows_prompts(first)
        return Abilities(
            context if isinstance(context, int) and 0 < context < 10**9 else None,
            tidy(str(version["version"]), 60) if isinstance(version, dict) and version.get("version") else None,
            self._path == "/completions" or await self._continues(),
            frozenset([name for name, value in own_fields.items() if await self._takes({name: value})]),
            shown,
            tuple(marks),
        )

    async def answer_again(self, server: Server) -> str | None:
        """The answer to the probe once more."""
        return await self._asked(server, {})

    def _payload(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        payload: dict[str, Any] = {"model": self._model, "max_tokens": _PROBE_TOKENS, "temperature": 0, "seed": 0}
        if self._path == "/completions":
            payload["prompt"] = PROBE
        else:
            payload["messages"] = [{"role": "user", "content": PROBE}]
        return {**payload, **extra}

    async def _answer(self, server: Server) -> str | None:
        """The server's answer to the probe, what it refuses learnt; None where it is not the same twice."""
        try:
            first = await self._asked(server, {})
        except RefusedError as error:
            if error.lasting or error.status in (404, 405, 410) or not self._form.neutral:
                raise self._servers.refusal(error) from None
            first = await self._without_extras(server, error)
        try:
            second = await self._asked(server, {})
        except (RefusedError, GivenUpError):
            return None
        if first and second and first != second:
            logger.info("the server's answers at temperature 0 differ each time: they do not tell which model it is")
        return first if first and first == second else None

    async def _asked(self, server: Server | None, extra: Mapping[str, Any]) -> str | None:
        """The text of a probe; the form learns from what is refused. Raises RefusedError where it learns nothing."""
        for _ in range(_LESSONS):
            sent = self._form.shape(self._payload(extra))
            try:
                reply, _seconds = await self._servers.post(self._path, sent, only=server)
            except RefusedError as error:
                if _NO_TOKENS_LEFT.search(error.said):  # its thinking took them all
                    return None
                lesson = self._form.learn(error, sent)
                if lesson is None:
                    raise
                for sentence in lesson.told:
                    logger.warning("%s", sentence)
                continue
            text, _prefix = response_text(choice_of(reply)[0], "")
            return self._servers.redacted(text) if text else None
        return None

    async def _without_extras(self, server: Server, refused: RefusedError) -> str | None:
        """The probe in OpenAI's own fields, for a server that refuses without saying what; then each field alone."""
        neutral = dict(self._form.neutral)
        self._form.without_extras()
        try:
            answer = await self._asked(server, {})
        except RefusedError:
            raise self._servers.refusal(refused) from None
        taken = {name: value for name, value in neutral.items() if await self._takes({name: value})}
        self._form.neutral = taken
        for name in neutral.keys() - taken.keys():
            logger.warning("the server does not take %s, it is not sent", name)
        return answer

    async def _takes(self, extra: Mapping[str, Any]) -> bool:
        try:
            await self._servers.post(self._path, self._form.shape(self._payload(extra)))
        except (RefusedError, GivenUpError):
            return False
        return True

    async def _continues(self) -> bool:
        """A server that knows both fields refuses them together; others do not know them or ignore them."""
        both = {"continue_final_message": True, "add_generation_prompt": True}
        begun = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "It"}]
        sent = self._form.shape(self._payload({**both, "messages": begun}))
        try:
            await self._servers.post(self._path, sent)
        except RefusedError as error:
            return "continue_final_message" in error.said and not _UNKNOWN_FIELD.search(error.said)
        except GivenUpError:
            pass
        return False

    async def _shows_prompts(self, server: Server) -> bool:
        """Whether the server shows what its chat template makes of a prompt."""

        async def ask(path: str, payload: Mapping[str, Any]) -> Any:
            return await self._servers.ask(server, path, payload)

        if not self._form.preset.shows_prompts:
            return False
        return await ServerTemplate(ask, self._model, {}, False).text([{"role": "user", "content": "1+1"}]) is not None


def entry_of(listed: Any, model: str) -> tuple[dict[str, Any], list[str]]:
    """What `/models` says of a model ({} where it is not listed), and the names that it lists ([] where not all)."""
    entries = listed.get("data", listed.get("models")) if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        return {}, []
    named: dict[str, dict[str, Any]] = {}
    for entry in entries[:10_000]:
        name = entry.get("id", entry.get("name")) if isinstance(entry, dict) else entry
        if isinstance(name, str):
            named[name] = entry if isinstance(entry, dict) else {"id": name}
    for name in (model, f"models/{model}", f"{model}:latest"):
        if name in named:
            return named[name], list(named)
    more = isinstance(listed, dict) and (listed.get("has_more") or listed.get("next") or listed.get("nextPageToken"))
    return {}, [] if more else list(named)


def _owners(listed: Any) -> list[str]:
    """The owners that a list names: all models of a local server have the same."""
    entries = listed.get("data") if isinstance(listed, dict) else listed
    owners = [e.get("owned_by") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    found = {owner for owner in owners if isinstance(owner, str)}
    return list(found) if len(found) == 1 else []


def _warn_of_the_name(model: str, names: Sequence[str]) -> None:
    shown = ", ".join(tidy(name, 80) for name in names[:5])
    logger.warning("the server does not list a model %r: it lists %s; --served-model names one", model, shown)


def _marks(server: Server, entry: Mapping[str, Any], answer: str | None) -> Marks:
    created = entry.get("created")
    known = isinstance(created, int) and not isinstance(created, bool) and created > 0
    stable = known and abs(time.time() - float(created or 0)) > _DAY  # else it may be the time of the request
    root, owner = entry.get("root"), entry.get("owned_by")
    return Marks(
        displayed(server.root),
        tidy(root, 200) if isinstance(root, str) else None,
        tidy(owner, 80) if isinstance(owner, str) else None,
        created if stable else None,
        answer,
    )


def require_one_model(marks: Sequence[Marks]) -> None:
    """Raises EvalkitError where two of the servers of a run are not the same model."""
    for mark in marks[1:]:
        if differing := mark.differences(asdict(marks[0])):
            raise EvalkitError(
                f"The servers {marks[0].base_url} and {mark.base_url} are not one model: {'; '.join(differing)}.",
                "a run has one model: give it the servers of one.",
            )
