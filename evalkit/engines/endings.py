"""Which tokens end a response, and whether a chat template's turns end with one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.engines.prompts import PromptRenderer
from evalkit.errors import EvalkitError
from evalkit.thinking import END_OF_TURN
from evalkit.types import Message

_MOST_IDS = 1 << 31
_SAID = "evalkit-looks-here"
_ASKED = "1 + 1?"
_TURN: tuple[Message, ...] = (Message(role="user", content=_ASKED), Message(role="assistant", content=_SAID))
_NEXT = Message(role="user", content="evalkit-and-here")


@dataclass(frozen=True, slots=True)
class Endings:
    """How responses end.

    tokens: the ids that end one, with their text.
    turn_end: what the chat template writes behind an answer; "" where it writes nothing, None where that is not known.
    fault: one sentence where no answer would end, "" where nothing is wrong.
    doubt: the same, where it is not certain.
    """

    tokens: Mapping[int, str]
    turn_end: str | None
    fault: str = ""
    doubt: str = ""

    def __str__(self) -> str:
        ends = ", ".join(f"{i} {text!r}" for i, text in sorted(self.tokens.items())) or "none"
        if self.turn_end is None:
            return ends
        return f"{ends}; the chat template ends a turn with {self.turn_end!r}"


def end_token_ids(*told: Any) -> list[int]:
    """The ids among `eos_token_id`s of configs and tokenizers: numbers, lists of them, or None.

    Raises EvalkitError where one is something else.
    """
    found: set[int] = set()
    for ids in told:
        each = list(ids) if isinstance(ids, list | tuple) else [] if ids is None else [ids]
        if not all(isinstance(i, int) and 0 <= i < _MOST_IDS for i in each):
            raise EvalkitError(
                f"The checkpoint's eos_token_id {str(ids)[:60]!r} is no token id.",
                "correct eos_token_id in generation_config.json or config.json.",
            )
        found.update(each)
    return sorted(found)


def token_id(tokenizer: Any, text: str) -> int:
    """The id of a token named by the user. Raises EvalkitError where the text is not one token."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise EvalkitError(
            f"The end token {text!r} is {len(ids)} tokens of this tokenizer, not one.",
            "--end-token takes a token such as <|im_end|>.",
        )
    return int(ids[0])


def find_endings(renderer: PromptRenderer, ids: Sequence[int]) -> Endings:
    """How responses end that `ids` end, given what the template writes at the end of a turn."""
    tokenizer = renderer.tokenizer
    tokens = {i: str(tokenizer.decode([i])) for i in ids}
    if not tokens:
        return Endings(tokens, None, "The checkpoint names no end token, so that no response would end.")
    turn_end = None if renderer.renders_by_itself or renderer.template is None else _turn_end(renderer)
    if not turn_end or not turn_end.strip():
        return Endings(tokens, turn_end)
    written = [int(i) for i in tokenizer(turn_end, add_special_tokens=False)["input_ids"]]
    added = set(getattr(tokenizer, "added_tokens_decoder", {})) | set(getattr(tokenizer, "all_special_ids", ()))
    if any(i in tokens for i in written):
        return Endings(tokens, turn_end)
    known = ", ".join(map(repr, tokens.values()))
    if marks := [i for i in written if i in added]:
        mark = tokenizer.decode([marks[0]])
        if len(set(marks)) == 1 and _is_header(renderer, mark):  # of the next question: a response may end before it
            doubt = f"the chat template writes no end of a turn, and the next header, {mark!r}, is no end token"
            return Endings(tokens, turn_end, doubt=f"{doubt}: responses may not end")
        fault = f"The chat template ends a turn with {mark!r}, which is not among the end tokens ({known})"
        return Endings(tokens, turn_end, f"{fault}: no response would end before max_tokens.")
    if mark := next((each for each in END_OF_TURN if turn_end.lstrip().startswith(each)), ""):
        doubt = (
            f"the chat template ends a turn with {mark!r}, which is no token of this tokenizer: responses may not end"
        )
        return Endings(tokens, turn_end, doubt=doubt)
    return Endings(tokens, turn_end)


def _turn_end(renderer: PromptRenderer) -> str | None:
    """What stands behind an answer: at the end of a conversation, or before the next question."""
    try:
        asked = {renderer.text(_TURN[:1], add_generation_prompt=flag).text for flag in (False, True)}
        ways = [(_TURN, None)] if len(asked) == 2 else []  # else the header of a response stands at every end
        for messages, stop in (*ways, ((*_TURN, _NEXT), _NEXT["content"])):
            _, said, behind = renderer.text(messages, add_generation_prompt=False).text.rpartition(_SAID)
            if not said:
                return None
            if stop is not None:
                behind = behind.partition(stop)[0]
            if behind.strip():
                return behind
    except EvalkitError:  # it takes no answers, or none at the end
        return None
    return ""


def _is_header(renderer: PromptRenderer, mark: str) -> bool:
    """Whether the template writes this right before a question and not behind one."""
    before, _, behind = renderer.text(_TURN[:1], add_generation_prompt=True).text.partition(_ASKED)
    return before.rstrip().endswith(mark) and mark not in behind


def require_end(endings: Endings | None) -> None:
    """Raises EvalkitError where no response would end."""
    if endings is not None and endings.fault:
        raise EvalkitError(
            endings.fault,
            "correct eos_token_id in generation_config.json, or name the token with --end-token '<|im_end|>'.",
        )
