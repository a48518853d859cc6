"""Where a response's thinking ends: what a model tried out is never its answer."""

import re
from dataclasses import dataclass

# name -> (opening tag, closing tag), as written by the models named
_TAGS: tuple[tuple[str, str], ...] = (
    (r"<think(?:ing)?>", r"</think(?:ing)?>"),  # DeepSeek-R1, QwQ, Qwen3, Nemotron, GLM
    (r"<reasoning>", r"</reasoning>"),
    (r"<thoughts?>", r"</thoughts?>"),  # EXAONE Deep
    (r"<(?:\w+):think>", r"</(?:\w+):think>"),  # Seed-OSS, Hunyuan
    (r"◁think▷", r"◁/think▷"),  # Kimi
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # Sky-T1, OpenThoughts
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|channel\|>(?:analysis|commentary)\b[^<]*<\|message\|>", r"<\|channel\|>final\b[^<]*<\|message\|>"),  # gpt-oss
)
_OPEN = "|".join(tag[0] for tag in _TAGS)
_CLOSE = "|".join(tag[1] for tag in _TAGS)
# a tag that is quoted or stands in code is talked about, not used
_TAG = re.compile(rf"(?<![`'\"])(?:(?P<open>{_OPEN})|(?P<close>{_CLOSE}))")
_OPENED = re.compile(rf"(?:{_OPEN})\s*\Z")
_SOLUTION = re.compile(r"<\|(?:begin|end)_of_solution\|>|<\|(?:START|END)_RESPONSE\|>")


@dataclass(frozen=True, slots=True)
class Thinking:
    """A response taken apart. `response` is None where a thinking block was never closed: nothing was answered."""

    thinking: str
    response: str | None


def split_thinking(text: str) -> Thinking:
    """Take `text` (the prefix included, such as `<think>\\n`) apart into thinking and what the model answers.

    The answer is what follows the last closing tag; where nothing follows it, what stands between it and the closing
    tag before. Text without any tag is all answer, so splitting an answer again changes nothing.
    """
    tags = list(_TAG.finditer(text))
    if not tags:
        return Thinking("", text)
    if tags[-1]["open"] is not None:
        return Thinking(text, None)
    last = tags[-1]
    answer = text[last.end() :]
    if answer.strip() or len(tags) < 2 or tags[-2]["open"] is not None:
        return Thinking(text[: last.start()], _unwrap(answer))
    previous = tags[-2]  # a stray closing tag at the very end
    return Thinking(text[: previous.start()], _unwrap(text[previous.end() : last.start()]))


def opened_by(prompt: str) -> str:
    """The opening tag that ends a prompt, with the white space after it: `<think>\\n`; "" where there is none."""
    found = _OPENED.search(prompt, max(0, len(prompt) - 100))
    return found[0] if found else ""


def _unwrap(answer: str) -> str:
    return _SOLUTION.sub("", answer)
