"""From texts to token ids: whether two tokenizers are one, and which part of a completion is thinking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.engines.prompts import render_prompt
from evalkit.errors import EvalkitError
from evalkit.fidelity.forward import ForcedText
from evalkit.fidelity.traces import Trace
from evalkit.thinking import split_thinking

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class SharedVocabulary:
    """What two tokenizers have in common.

    `size` is the number of token ids that both have. `reason` says why their distributions cannot be compared, empty
    where they can. `renamed` are added tokens (such as `<think>`) that one id stands for in only one of the two.
    """

    size: int
    reason: str = ""
    renamed: tuple[str, ...] = ()


def shared_vocabulary(teacher: Any, student: Any) -> SharedVocabulary:
    """Compare two tokenizers token by token. Rows of a model beyond its tokenizer's tokens are padding, not tokens.

    Added tokens may have another name (DeepSeek-R1's distilled models renamed some of Qwen's); ordinary ones may not.
    """
    first, second = teacher.get_vocab(), student.get_vocab()
    size = min(max(first.values()), max(second.values())) + 1
    by_id: Mapping[int, str] = {i: token for token, i in second.items()}
    added = {*teacher.get_added_vocab().values(), *student.get_added_vocab().values()}
    different = sorted((i, token) for token, i in first.items() if i < size and by_id.get(i) != token)
    ordinary = [(i, token) for i, token in different if i not in added]
    beyond = [
        token for vocabulary in (first, second) for token, i in vocabulary.items() if i >= size and i not in added
    ]
    if ordinary:
        i, token = ordinary[0]
        told = f"token {i} is {token!r} for the teacher and {by_id.get(i)!r} for the student"
        return SharedVocabulary(size, f"the tokenizers differ in {len(ordinary):,} tokens ({told})")
    if beyond:
        return SharedVocabulary(size, f"one tokenizer has {len(beyond):,} ordinary tokens more ({beyond[0]!r})")
    return SharedVocabulary(size, "", tuple(f"{token} / {by_id.get(i)}" for i, token in different))


@dataclass(frozen=True, slots=True)
class TokenizedTrace:
    """A completion of a trace as token ids, after one model's rendering of its prompt.

    `answer_from` is the first token that is not thinking: the closing tag. `ended` says whether the last token is the
    one that ends a response.
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    answer_from: int
    ended: bool


def tokenize(tokenizer: Any, trace: Trace) -> TokenizedTrace:
    """The trace as `tokenizer`'s model reads it: its own chat template, then what was written, token by token.

    Raises EvalkitError where the template fails or the prompt has no token.
    """
    if trace.messages:
        prompt = render_prompt(tokenizer, trace.messages, trace.prefix).token_ids
    else:
        prompt = tuple(tokenizer(trace.prompt + trace.prefix)["input_ids"])
    if not prompt:
        raise EvalkitError(f"The prompt of {trace.name} has no token.", "a model needs at least one to begin with.")
    encoded = tokenizer(trace.text, add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    completion = list(encoded["input_ids"])
    starts = [span[0] for span in encoded["offset_mapping"]] if tokenizer.is_fast else None
    ended = trace.finished and tokenizer.eos_token_id is not None
    if ended:
        completion.append(tokenizer.eos_token_id)
    return TokenizedTrace(prompt, tuple(completion), _answer_from(trace, starts, len(completion)), ended)


def _answer_from(trace: Trace, starts: Sequence[int] | None, total: int) -> int:
    parts = split_thinking(trace.prefix + trace.text)
    if parts.response is None:
        return total
    boundary = len(parts.thinking) - len(trace.prefix)
    if boundary <= 0 or starts is None:
        return 0
    return next((i for i, start in enumerate(starts) if start >= boundary), total)


def forced_text(teacher: TokenizedTrace, student: TokenizedTrace, size: int) -> ForcedText | None:
    """The text as both models read it; None where they cut it into other tokens, or one is not among the first `size`.

    The token that ends a response is left out where it is not one token for both.
    """
    first, second = teacher.completion, student.completion
    if teacher.ended != student.ended or (teacher.ended and first[-1] != second[-1]):
        first, second = (t.completion[:-1] if t.ended else t.completion for t in (teacher, student))
    if first != second or not first or max(first) >= size:
        return None
    return ForcedText(teacher.prompt, student.prompt, first)
