"""Where a response's thinking ends: what a model tried out is never its answer.

`TAGS` is the only list of thinking tags: prompts, graders and the reader of server replies use it. A new family is one
line in it, and one in docs/thinking.md.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Tag(NamedTuple):
    """What opens and closes thinking, as the models of the families write it.

    `*` stands for a name and `…` for the rest of a message header. A `leading` opening counts only where a response
    begins, and a closing that is `paired` only where its opening was seen: both are words of everyday language.
    """

    opening: str
    closing: str
    families: str
    source: str
    leading: bool = False
    paired: bool = False


_VLLM = "vLLM, vllm/reasoning/"
_SGLANG = "SGLang, srt/parser/reasoning_parser.py"
_LLAMA_CPP = "llama.cpp, models/templates/"

TAGS: tuple[Tag, ...] = (
    Tag(
        "<think>",
        "</think>",
        "DeepSeek-R1 and V3.1, QwQ, Qwen3, GLM-4.5, Kimi K2, MiniMax M1 and M2, Nemotron, Hunyuan A13B, EXAONE 4,"
        " Step3, MiMo, Ring, Phi-4-reasoning, Olmo 3, ERNIE 4.5, TeleChat, HyperCLOVA X SEED Think, Falcon H1R",
        f"{_SGLANG}; {_VLLM}",
    ),
    Tag("<thinking>", "</thinking>", "prompted models, Apriel with tools", f"{_LLAMA_CPP}unsloth-Apriel-1.5.jinja"),
    Tag("<reasoning>", "</reasoning>", "prompted models, LLaVA-CoT", "common in training data"),
    Tag("<analysis>", "</analysis>", "prompted models", "huggingface/trl#6661"),
    Tag("<thought>", "</thought>", "EXAONE Deep, Marco-o1", "llama.cpp, common/chat.cpp"),
    Tag("<thoughts>", "</thoughts>", "prompted models", "common in training data"),
    Tag("<scratchpad>", "</scratchpad>", "prompted models", "common in training data"),
    Tag("<*:think>", "</*:think>", "Seed-OSS, MiniMax M3", f"{_LLAMA_CPP}ByteDance-Seed-OSS.jinja; {_SGLANG}"),
    Tag("<think:*>", "</think:*>", "Hunyuan 3", f"{_VLLM}hy_v3_reasoning_parser.py"),
    Tag("<longcat_think>", "</longcat_think>", "LongCat", f"{_VLLM}longcat_reasoning_parser.py"),
    Tag("<ifm|think>", "</ifm|think>", "K2 Horizon", f"{_VLLM}k2_horizon_reasoning_parser.py"),
    Tag("<ifm|think_*>", "</ifm|think_*>", "K2 Horizon, lower effort", f"{_VLLM}k2_horizon_reasoning_parser.py"),
    Tag("◁think▷", "◁/think▷", "Kimi K1.5 and VL", _SGLANG),
    Tag(
        "<|open|>think<|sep|>",
        "<|close|>think<|sep|>",
        "Kimi K3",
        _SGLANG,
    ),
    Tag("[THINK]", "[/THINK]", "Magistral, Ministral 3, Mistral Small 4", _SGLANG),
    Tag("<|begin_of_thought|>", "<|end_of_thought|>", "Sky-T1, OpenThinker, Bespoke-Stratos", "Sky-T1's system prompt"),
    Tag("<|START_THINKING|>", "<|END_THINKING|>", "Command A and R7B", _SGLANG),
    Tag("<|channel|>analysis…<|message|>", "<|channel|>final…<|message|>", "gpt-oss", "OpenAI, harmony format"),
    Tag("<|channel|>commentary…<|message|>", "<|channel|>final…<|message|>", "gpt-oss", "OpenAI, harmony format"),
    Tag("analysis", "assistantfinal", "gpt-oss without special tokens", "allenai/olmo-eval#398", leading=True),
    Tag("<|channel>thought", "<channel|>", "Gemma 4", f"{_LLAMA_CPP}gemma4.jinja; {_SGLANG}"),
    Tag("<unused94>thought", "<unused95>", "MedGemma 1.5", "outputs of MedGemma 1.5"),
    Tag("[unused16]", "[unused17]", "openPangu", f"{_VLLM}pangu_reasoning_parser.py"),
    Tag("<|inner_prefix|>", "<|inner_suffix|>", "Apertus", f"{_VLLM}apertus_reasoning_parser.py"),
    Tag("<|think:start|>", "<|think:end|>", "Solar Open 2", f"{_VLLM}solar_open2_reasoning_parser.py"),
    Tag("<|think|>", "<|end|><|begin|>assistant", "Solar Open", "vLLM's and transformers' tests of Solar Open"),
    Tag("<|content_thinking|>", "<|content_text|>", "Inkling", _SGLANG),
    Tag("to=self<|message|>", "to=user<|message|>", "Muse Glimmer", f"{_VLLM}muse_glimmer_utils.py"),
    Tag("<|im_start|>think", "<|im_start|>answer", "s1", "simplescaling/s1, its evaluation"),
    Tag(
        "Here is my thought process:",
        "Here is my response:",
        "Granite 3.2 and 3.3",
        f"{_VLLM}granite_reasoning_parser.py",
        leading=True,
        paired=True,
    ),
    Tag(
        "Here's my thought process:",
        "Here's my response:",
        "Granite 3.2, quantized",
        f"{_VLLM}granite_reasoning_parser.py",
        leading=True,
        paired=True,
    ),
    Tag(
        "Here are my reasoning steps:",
        "[BEGIN FINAL RESPONSE]",
        "Apriel 1.5 and 1.6",
        f"{_LLAMA_CPP}unsloth-Apriel-1.5.jinja",
        leading=True,
    ),
)

# What ends a model's turn, or begins somebody else's, as far as the tokens stand in the text.
END_OF_TURN: tuple[str, ...] = (
    "<|im_end|>",  # Qwen, Kimi K2, Phi-4, Nemotron, HyperCLOVA X
    "<|im_start|>",
    "<|eot_id|>",  # Llama 3
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|eot|>",  # Llama 4, Muse Glimmer
    "<|eom|>",
    "<|header_start|>",
    "<|endoftext|>",
    "<|end_of_text|>",  # Llama 3, Granite
    "<|start_of_role|>",
    "<|end|>",  # gpt-oss, Solar Open, Phi-3, Apriel
    "<|return|>",
    "<|call|>",
    "<|endofturn|>",
    "<|stop|>",
    "<|user|>",  # GLM
    "<|observation|>",
    "<|role_end|>",  # Ring, Ling
    "<role>HUMAN</role>",
    "<|assistant_end|>",  # Apertus
    "<|user_start|>",
    "<|END_OF_TURN_TOKEN|>",  # Command A
    "<|START_OF_TURN_TOKEN|>",
    "<|end_of_msg|>",  # Kimi K3
    "<|end_message|>",  # Inkling
    "<|content_model_end_sampling|>",
    "<|end_of_sentence|>",  # ERNIE
    "<seed:eos>",  # Seed-OSS
    "<seed:bos>",
    "[e~[",  # MiniMax
    "]~b]",
    "[|endofturn|]",  # EXAONE
    "[|user|]",
    "<end_of_turn>",  # Gemma 2 and 3
    "<start_of_turn>",
    "<turn|>",  # Gemma 4
    "<|turn>",
    "</longcat_s>",  # LongCat
    "<longcat_user>",
    "<eos>",
    "[EOS]",
    "[EOT]",
    "[INST]",
    "</s>",  # Llama 2, Mistral
)
# what a family puts around its answer
_WRAPPERS = (
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
    "<|open|>response<|sep|>",
    "<|close|>response<|sep|>",
    "<|close|>message<|sep|>",
    "<|content|>",
    "[END FINAL RESPONSE]",
)


def _pattern(written: str) -> str:
    escaped = re.escape(written).replace(r"\*", r"\w{1,40}")
    return escaped.replace("…", r"[^<]{0,100}(?:<\|constrain\|>[^<]{0,100})?")


def _opening(tag: Tag) -> str:
    # without its special tokens gpt-oss writes "analysisWe need …"; "analysis of" and "analysis:" are words
    return r"(?-i:analysis)(?=[^\s:.,;!?'’)\]-])" if tag.opening == "analysis" else _pattern(tag.opening)


def _closing(tag: Tag) -> str:
    if tag.closing == "assistantfinal":
        return r"(?-i:assistantfinal)(?:\s?json(?=\s*[\[{]))?"
    return _pattern(tag.closing)


def _any_tag(tags: Sequence[Tag]) -> str:
    return "|".join(
        f"(?P<o{number}>{_opening(tag)})|(?P<c{number}>{_closing(tag)})"
        for number, tag in enumerate(TAGS)
        if tag in tags and tag not in TAGS[:number]
    )


_WORDED = tuple(tag for tag in TAGS if tag.opening[0].isalpha())
_BRACKETED = tuple(tag for tag in TAGS if tag not in _WORDED)
_END = "|".join([*map(re.escape, END_OF_TURN), r"<｜[^｜>]{1,40}｜>"])  # the last: DeepSeek's tokens
# `<|end|>` ends a message, and no turn where the same speaker goes on
_MARK = re.compile(
    rf"""
    (?=<[\w|/｜]|◁|`{{3}}|~{{3}}|\[[\w/|]|\]~)
    (?:
        {_any_tag(_BRACKETED)}
        |(?P<end>(?!<\|(?:end|eom|end_message)\|>\s*<\|(?:start|begin|message_model)\|>)(?:{_END}))
        |(?P<fence>`{{3,}}|~{{3,}})
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORDED_MARK = re.compile(_any_tag(_WORDED), re.IGNORECASE)
_FIRST_OF_MARK = "<◁`~[]"  # every mark begins with one of these, and they are found far sooner
_WORDED_HINTS = (b"analysis", b"assistantfinal", b"[begin final", b"to=self<", b"to=user<", b"process:", b"steps:")
_HAS_WORDED = re.compile(
    r"""
    (?:\A\s*|[>\]▷]\s{0,20})analysis|assistantfinal|\[BEGIN\ FINAL|to=(?:self|user)<|thought\ process:
    |reasoning\ steps:
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WRAPPER = re.compile(
    rf"""
    {"|".join(map(re.escape, _WRAPPERS))}|<\|end\|>\s*\Z|\A\s*<response>|</response>\s*\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AT_END = re.compile(
    rf"""
    (?:
        (?P<open>{"|".join(_opening(tag) for tag in TAGS if tag.opening != "analysis")})
        |(?:{"|".join(_closing(tag) for tag in TAGS)})
    )\s*\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
# what a template may open behind thinking that it has closed
_ANSWER_OPENED = re.compile(
    rf"""
    (?:
        {"|".join(re.escape(each) for each in _WRAPPERS if "end" not in each.lower() and "close" not in each)}
    )\s*\Z
    """,
    re.VERBOSE,
)
_NEAR = 200  # characters of a line that are looked at for quotes around a tag


@dataclass(frozen=True, slots=True)
class Thinking:
    """A response taken apart. `response` is None where a thinking block was never closed: nothing was answered.

    Examples:
        >>> Thinking("<think>1 + 1", "It is 2.").response
        'It is 2.'
    """

    thinking: str
    response: str | None


class _Mark(NamedTuple):
    kind: str  # open, close, end (of a turn), fence
    start: int
    end: int
    tag: int


def split_thinking(text: str) -> Thinking:
    r"""Take `text` (the prefix included, such as `<think>\n`) apart into thinking and what the model answers.

    The answer is what follows the last closing tag; where nothing follows it, what stands between it and the closing
    tag before. Tags in code and in quotes are text, and so is what stands behind the end of the turn. Text without any
    tag is all answer, so splitting an answer again changes nothing.

    Examples:
        >>> split_thinking("<think>1 + 1</think>It is 2.")
        Thinking(thinking='<think>1 + 1', response='It is 2.')
        >>> split_thinking("<think>1 + 1 is").response is None
        True
    """
    begins = closed_at = skip_to = 0  # where the answer begins, where thinking ends, where a block of code ends
    before: tuple[int, int] | None = None  # the answer that a second closing tag ended
    opened: int | None = None  # the tag of the thinking that is open
    marks = _marks(text)
    code = _clean_blocks(text, marks)
    for mark in marks:
        if opened is not None:
            # closing tags count wherever they stand: blocks of code in thinking are often never closed
            if mark.kind != "close" or (TAGS[mark.tag].paired and opened != mark.tag):
                continue
            before = None
            begins, closed_at, opened = mark.end, mark.start, None
        elif mark.start < skip_to:
            continue
        elif mark.kind == "fence":
            skip_to = code.get(mark.start, skip_to)
        elif mark.kind == "close" and not TAGS[mark.tag].paired:
            before = (begins, mark.start) if begins else None
            begins, closed_at = mark.end, mark.start
        elif mark.kind == "open" and (not TAGS[mark.tag].leading or _is_blank(text[begins : mark.start])):
            opened = mark.tag
        elif mark.kind == "end" and not _is_blank(text[begins : mark.start]):
            break
    if opened is not None:
        return Thinking(text, None)
    if before is not None and not text[begins:].strip():
        return Thinking(text[: before[0]], _unwrap(text[before[0] : before[1]]))
    return Thinking(text[:closed_at], _unwrap(text[begins:]))


def until_end_of_turn(text: str) -> str:
    """The text up to the first token that ends the turn, those at its very start passed over.

    Examples:
        >>> until_end_of_turn("The answer is 17.<|im_end|>\\n<|im_start|>user")
        'The answer is 17.'
    """
    marks = _marks(text)
    code = _clean_blocks(text, marks)
    skip_to = 0
    for mark in marks:
        if mark.start < skip_to:
            continue
        if mark.kind == "fence":
            skip_to = code.get(mark.start, skip_to)
        elif mark.kind == "end" and text[: mark.start].strip():
            return text[: mark.start]
    return text


def opened_thinking(prompt: str) -> str | None:
    """What opens thinking at the end of a prompt, the space behind it included; "" where thinking was closed there.

    None where the prompt ends with neither.
    """
    tail = prompt[-300:]
    found = _AT_END.search(tail) or _AT_END.search(_ANSWER_OPENED.sub("", tail))
    if found is None:
        return None
    return found.group() if found["open"] else ""


def opens_thinking(prefix: str) -> bool:
    """Whether a response prefix ends with a tag that opens thinking."""
    return closing_of(prefix)[0]


def has_thinking(text: str) -> bool:
    """Whether a response (its prefix included) has thinking, finished or cut.

    Examples:
        >>> has_thinking("<think>1 + 1 is"), has_thinking("It is 2.")
        (True, False)
    """
    parts = split_thinking(text)
    return parts.response is None or bool(parts.thinking.strip())


def closing_of(prefix: str) -> tuple[bool, str]:
    """Whether `prefix` opens thinking, and the tag that closes it; `</think>` where it opens none."""
    for tag in TAGS:
        if found := re.search(_opening(tag) + r"\s*\Z", prefix, re.IGNORECASE):
            name = (
                re.search(re.escape(tag.opening).replace(r"\*", r"(\w+)"), found.group())
                if "*" in tag.opening
                else None
            )
            return True, tag.closing.replace("*", name[1] if name else "").replace("…", "")
    return False, "</think>"


# <p>, <answer>, <|begin_of_box|>, [1]: markup that says nothing about thinking
_KNOWN_MARKUP = re.compile(
    r"""
    </?
    (?:
        answer|final_answer|output|result|response|solution|code|pre|p|b|i|u|em|strong|h\d|ul|ol|li|div
        |span|table|html|body|br|hr|math|svg|sub|sup|tool_call|tool_calls|function_call
    )\b
    |<\|(?:begin|end)_of_box\|>|\[\W*\w?\W*\]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DELIMITER = re.compile(
    r"""\s*(<\|?[A-Za-z_/][^<>\n]{1,40}\|?>(?:[a-z]{4,12}(?=\n))?  # <tag>, <|tag|>, <|channel>name
        |\[/?[A-Z][A-Z_\ ]{2,30}\]                              # [TAG]
        |◁[^◁▷\n]{1,30}▷|【[^【】\n]{1,30}】)""",
    re.VERBOSE,
)


def unknown_opening(responses: Sequence[str]) -> str | None:
    """The delimiter with which most of a run's responses open and which `TAGS` does not know; None where there is none.

    `responses` are whole, prefix and thinking included. Three of them are needed at least.

    Examples:
        >>> unknown_opening(["<ponder>a", "<ponder>b", "<ponder>c"])
        '<ponder>'
    """
    written = [response for response in responses if response.strip()]
    counts: Counter[str] = Counter()
    for response in written:
        found = _DELIMITER.match(response)
        if found and not any(known.match(response, found.start(1)) for known in (_KNOWN_MARKUP, _MARK, _WRAPPER)):
            counts[found[1]] += 1
    if len(written) < 3 or not counts:
        return None
    opening, count = counts.most_common(1)[0]
    return opening if 2 * count > len(written) else None


def _unwrap(answer: str) -> str:
    return _WRAPPER.sub("", answer)


def _is_blank(answer: str) -> bool:
    return not _unwrap(answer).strip()


def _marks(text: str) -> list[_Mark]:
    """Every tag, end of a turn and fence in order, tags in quotes left out."""
    found: list[re.Match[str]] = []
    for first in _places(text, _FIRST_OF_MARK):
        if (not found or first >= found[-1].end()) and (match := _MARK.match(text, first)):
            found.append(match)
    lowered = text.encode("utf-8", "surrogatepass").lower()  # the letters of ASCII alone, which is far faster
    if any(hint in lowered for hint in _WORDED_HINTS) and _HAS_WORDED.search(text):
        found = sorted([*found, *_WORDED_MARK.finditer(text)], key=lambda match: match.start())
    marks: list[_Mark] = []
    for match in found:
        name = match.lastgroup or ""
        if name == "fence":
            marks.append(_Mark("fence", *match.span(), -1))
        elif _is_quoted(text, *match.span()) or (
            match[0] == "</s>" and "<s>" in text[max(0, match.start() - 2000) : match.start()]
        ):
            continue  # `<s>…</s>` is struck-through text
        else:
            kind = {"e": "end", "o": "open", "c": "close"}[name[0]]
            marks.append(_Mark(kind, *match.span(), int(name[1:]) if kind != "end" else -1))
    return marks


def _places(text: str, characters: str) -> list[int]:
    """Where any of the characters stands."""
    places = []
    for character in characters:
        at = text.find(character)
        while at >= 0:
            places.append(at)
            at = text.find(character, at + 1)
    return sorted(places)


def _clean_blocks(text: str, marks: Sequence[_Mark]) -> dict[int, int]:
    """Start of a fenced block -> its end, for the blocks whose next fence closes them."""
    fences: list[tuple[_Mark, str]] = []
    for number, mark in enumerate(marks):
        if mark.kind != "fence":
            continue
        line = text.rfind("\n", max(0, mark.start - _NEAR), mark.start) + 1
        behind_tag = (
            number > 0 and marks[number - 1].kind != "fence" and not text[marks[number - 1].end : mark.start].strip()
        )
        if not behind_tag and text[max(line, mark.start - _NEAR) : mark.start].strip(" \t>"):
            continue
        info = text[mark.end : mark.end + _NEAR].split("\n", 1)[0].strip()
        if "`" not in info:
            fences.append((mark, "" if info.startswith(("<", "[")) else info))
    blocks = {}
    for (first, _), (second, info) in pairwise(fences):
        if (
            not info
            and text[first.start] == text[second.start]
            and second.end - second.start >= first.end - first.start
        ):
            blocks[first.start] = second.end
    return blocks


def _is_quoted(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before and before in "'\"`" and (after in (before, "\\")):
        return True
    line = text.rfind("\n", max(0, start - _NEAR), start) + 1
    left = text[max(line, start - _NEAR) : start]
    if left.count("`") % 2 == 0:
        return False
    tick = left.rfind("`")
    right = text[end : end + _NEAR].split("\n", 1)[0]
    opens = (tick == 0 or left[tick - 1] in " \t(") and left[tick + 1 : tick + 2] != " "
    return opens and "`" in right
