"""What a reply says: the response as the model wrote it, why it ended, how many tokens it has."""

from dataclasses import dataclass
from typing import Any, Literal

from evalkit.thinking import TAGS, closing_of, opened_thinking, split_thinking
from evalkit.types import FinishReason

_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THINKING_PARTS = ("thinking", "reasoning", "reasoning_content", "reasoning_text", "reasoning.text", "thought")

Ending = FinishReason | Literal["filtered", "failed"]
"""Why a completion ended; `filtered` by what watches over the model, `failed` by a fault of the server."""

_ENDINGS: dict[Ending, tuple[str, ...]] = {
    "stop": (
        *("stop", "eos", "eos_token", "end", "end_turn", "end_of_turn", "stop_sequence", "stop_token", "stop_str"),
        *("stop_word", "complete", "completed", "finish", "finished", "done", "natural_stop", "success"),
        *("tool_calls", "tool_call", "tool_use", "function_call"),
    ),
    "length": (
        *("length", "max_tokens", "max_token", "max_length", "model_length", "max_output_tokens", "token_limit"),
        *("max_completion_tokens", "max_new_tokens", "context_length", "context_window", "context_length_exceeded"),
        *("model_context_window_exceeded", "limit", "incomplete", "max_seq_len", "truncated"),
    ),
    "repetition": ("repetition", "repetition_truncation", "repeat"),
    "filtered": (
        *("content_filter", "content_filtered", "safety", "refusal", "recitation", "blocklist", "sensitive"),
        *("prohibited_content", "spii", "guardrail_intervened", "moderation", "blocked", "language"),
    ),
    "failed": (
        *("error", "abort", "aborted", "cancelled", "canceled", "insufficient_system_resource", "timeout"),
        *("network_error", "internal_error", "malformed_function_call"),
    ),
}
_ENDING_OF = {name: ending for ending, names in _ENDINGS.items() for name in names}


def ending(reason: Any) -> Ending:
    """Why a completion ended, by the finish reason of any server; `unknown` for none and for one that is not known."""
    if not isinstance(reason, str):
        return "unknown"
    name = reason.strip().lower().replace("-", "_").replace(" ", "_").rpartition(".")[2]
    return _ENDING_OF.get(name.removeprefix("finish_reason_"), "unknown")


def join_surrogates(text: str) -> str:
    """Halves of a character that came in two pieces put together; what stays a half becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def parts_of(content: Any) -> tuple[str, str, str]:
    """Thinking, answer and refusal of a message's content: text, one part, or a list of parts."""
    if isinstance(content, str):
        return "", content, ""
    thinking, answer, refusal = "", "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            answer += part
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in _THINKING_PARTS:
                thinking += _plain(
                    next((part[n] for n in ("thinking", "reasoning", "text", "content", "summary") if part.get(n)), "")
                )
            elif kind == "refusal":
                refusal += _plain(part.get("refusal") or part.get("text"))
            else:
                answer += _plain(part.get("text"))
    return thinking, answer, refusal


def _plain(value: Any) -> str:
    """The text of a part's value: a string, or text within parts once more."""
    if isinstance(value, dict):
        return _plain(value.get("value") or value.get("text"))
    if isinstance(value, list):
        return "".join(_plain(each) for each in value[:10_000])
    return value if isinstance(value, str) else ""


def thinking_of(message: dict[str, Any]) -> str:
    """The thinking that stands beside the content, by the first of its names that has any."""
    for name in _THINKING_FIELDS:
        value = message.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list | dict) and (found := "".join(_plain_details(value))):
            return found
    return ""


def _plain_details(value: list[Any] | dict[str, Any]) -> list[str]:
    return [
        _plain(part.get("text") or part.get("content")) if isinstance(part, dict) else _plain(part)
        for part in (value if isinstance(value, list) else [value])
    ]


def choice_of(reply: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The choice that answers the request, and how many the reply has: the first of index 0, else the first."""
    choices = reply.get("choices")
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    first = next((choice for choice in found if choice.get("index") == 0), found[0] if found else {})
    return first, len(found)


def response_text(choice: Any, prefix: str) -> tuple[str | None, str]:
    """The response as the model wrote it, and its prefix; thinking that a parser took out is joined back.

    None where the reply has no text at all. The tags are those of the prefix, else `<think>` and `</think>`. A parser
    may drop the line breaks around them; where it has, those that DeepSeek-R1 writes are put there.
    """
    if not isinstance(choice, dict):
        return None, prefix
    if isinstance(choice.get("text"), str):
        return join_surrogates(choice["text"]), prefix
    message = choice.get("message")
    if not isinstance(message, dict):
        return None, prefix
    in_parts, content, refusal = parts_of(message.get("content"))
    refusal += message["refusal"] if isinstance(message.get("refusal"), str) else ""
    thinking = join_surrogates(thinking_of(message) or in_parts)
    content = join_surrogates(content or refusal)
    if not thinking or (content.lstrip().startswith("<") and thinking.strip() in content):  # there twice
        some = content or isinstance(message.get("content"), str | list) or message.get("tool_calls")
        return (content if some or message.get("function_call") else None), prefix
    is_open, closing = closing_of(prefix)
    opening = "" if is_open else "<think>\n"
    if not content:
        return opening + thinking, prefix
    before = "" if thinking.endswith("\n") else "\n"
    after = "" if content.startswith("\n") else "\n\n"
    return f"{opening}{thinking}{before}{closing}{after}{content}", prefix


def usage_tokens(usage: Any, text: str, max_tokens: int) -> tuple[int | None, int | None]:
    """Prompt and completion tokens of a server's `usage`; None for what is missing or what cannot be.

    Thinking that a server counts beside the completion (`reasoning_tokens`, with a total of all three) is added.
    """
    if not isinstance(usage, dict):
        return None, None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None, None
    total, details = usage.get("total_tokens"), usage.get("completion_tokens_details")
    apart = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    if apart and total == prompt + completion + apart:
        completion += apart
    if not min(1, len(text)) <= completion <= max_tokens + 1 or total not in (None, prompt + completion):
        return None, None
    return prompt or None, completion


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


@dataclass(slots=True)
class OpenThinking:
    """Whether the server's chat template opens thinking, learnt from responses that ended by themselves.

    A response that was cut has no closing tag, and without the template nothing in it tells thinking from an answer.
    """

    closed: int = 0  # responses with a closing tag that nothing in them opened
    plain: int = 0  # responses without any tag
    opening: str = "<think>\n"

    def described(self) -> dict[str, Any]:
        """What was learnt, for run.json; {} where that is nothing."""
        return {"closed": self.closed, "plain": self.plain, "opening": self.opening} if self.closed + self.plain else {}

    def restore(self, described: Any) -> bool:
        """Take over what an earlier command of the run has learnt; return whether there is any."""
        counts = [_count(described.get(name)) for name in ("closed", "plain")] if isinstance(described, dict) else []
        if None in counts or not any(counts) or not isinstance(described.get("opening"), str):
            return False
        self.closed, self.plain, self.opening = counts[0] or 0, counts[1] or 0, described["opening"]
        return True

    def note(self, text: str) -> None:
        """A whole response, without a prefix."""
        thinking = split_thinking(text).thinking
        if not thinking:
            self.plain += bool(text.strip())
        elif not opened_at_start(text):
            self.closed += 1
            rest = text[len(thinking) : len(thinking) + 80].lower()
            for tag in TAGS:
                if rest.startswith(tag.closing.lower()) and not set("*…") & set(tag.opening):
                    self.opening = tag.opening + "\n"
                    return

    def prefix_of_cut(self, text: str, protocol_prefix: str) -> str:
        """What opened the thinking of a cut response without any tag; "" where it is an answer, as far as is known."""
        split = split_thinking(text)
        if split.response is None or split.thinking or not text.strip():
            return ""
        if self.closed > self.plain:
            return self.opening
        if not self.closed and not self.plain and opened_thinking(protocol_prefix):
            return protocol_prefix
        return ""


def opened_at_start(text: str) -> bool:
    """Whether a response opens its thinking itself."""
    start = text.lstrip()[:60].lower()
    return any(start.startswith(tag.opening.split("*")[0].split("…")[0].lower()) for tag in TAGS)
