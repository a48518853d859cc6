"""Teacher-forced logits of both models, position by position, without ever holding those of a long text at once."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.transformers.batching import cache_argument

_LOGITS_CPU = 1 << 24  # elements of one model's logits at a time: 64 MiB in float32
_LOGITS_GPU = 1 << 28
_TOKENS_CPU = 1 << 12  # tokens of a batch of short texts
_TOKENS_GPU = 1 << 16
_ATTENTION_CPU = 1 << 21  # pairs of positions that one chunk attends to
_ATTENTION_GPU = 1 << 26


@dataclass(frozen=True, slots=True)
class ForcedText:
    """One text as both models read it: each after its own rendering of the prompt."""

    teacher_prompt: tuple[int, ...]
    student_prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def length(self) -> int:
        return max(len(self.teacher_prompt), len(self.student_prompt)) + len(self.completion)


@dataclass(frozen=True, slots=True)
class LogitsBlock:
    """The logits (tokens, rows) of both models before consecutive tokens of one or more texts.

    `parts` tells for each text its number and how many of the tokens are its.
    """

    parts: tuple[tuple[int, int], ...]
    teacher: Tensor
    student: Tensor
    labels: Tensor


class Reader:
    """A causal language model that reads texts. `budget` is the number of logits that it may hold at a time."""

    def __init__(self, model: Any, budget: int | None = None) -> None:
        self.model = model
        self.device: torch.device = model.device
        self.rows = int(model.get_output_embeddings().weight.shape[0])
        on_cpu = self.device.type == "cpu"
        self.budget = budget or (_LOGITS_CPU if on_cpu else _LOGITS_GPU)
        self.tokens = _TOKENS_CPU if on_cpu else _TOKENS_GPU
        self.attention = _ATTENTION_CPU if on_cpu else _ATTENTION_GPU
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._cache = cache_argument(model)
        self._in_chunks = _cache_grows_by_chunks(model)

    def together(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[Tensor]:
        """The logits before each token of each completion, from one forward pass of a batch padded on the right.

        A causal model does not see what stands on the right, so no mask is needed.
        """
        rows = [[*prompt, *completion[:-1]] for prompt, completion in zip(prompts, completions, strict=True)]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.device)
        first = min(map(len, prompts)) - 1 if self._keeps else 0
        keep = {"logits_to_keep": longest - first} if first else {}
        logits = self.model(input_ids=ids, use_cache=False, **keep).logits
        spans = [(len(p) - 1 - first, len(row) - first) for p, row in zip(prompts, rows, strict=True)]
        return [logits[i, start:end] for i, (start, end) in enumerate(spans)]

    def in_chunks(self, prompt: Sequence[int], completion: Sequence[int], chunk: int) -> Iterator[Tensor]:
        """The logits before each token of one completion, `chunk` tokens at a time, the cache carried along.

        An architecture whose cache does not grow by chunks reads the text at once.
        """
        ids = torch.tensor([[*prompt, *completion[:-1]]], device=self.device)
        if not self._in_chunks:
            yield from self.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :].split(chunk)
            return
        cache = None
        for start, end, wanted in _spans(len(prompt) - 1, ids.shape[1], chunk):
            keep = {} if wanted or not self._keeps else {"logits_to_keep": 1}
            out = self.model(input_ids=ids[:, start:end], use_cache=True, **{self._cache: cache}, **keep)
            cache = out[self._cache]
            if wanted:
                yield out.logits[0]


def _spans(first: int, total: int, chunk: int) -> Iterator[tuple[int, int, bool]]:
    """Chunks of the `total` tokens as (start, end, whether their logits are wanted): from `first` on they are."""
    for low, high, wanted in ((0, first, False), (first, total, True)):
        for start in range(low, high, chunk):
            yield start, min(start + chunk, high), wanted


def _cache_grows_by_chunks(model: Any) -> bool:
    """Whether a text can be read in chunks: every layer is attention, whose cache is its keys and values."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=model.config.get_text_config()).layers
    return bool(layers) and all(isinstance(layer, DynamicLayer) for layer in layers)


def batches(texts: Sequence[ForcedText], teacher: Reader, student: Reader) -> list[list[int]]:
    """The texts' numbers in batches of like length whose logits fit the budget; a text that does not is alone.

    Depends on the texts alone, so that a text resumed later is read in the same batch.
    """
    logits = min(teacher.budget // teacher.rows, student.budget // student.rows)
    most = min(logits, teacher.tokens, student.tokens)
    made: list[list[int]] = []
    for number in sorted(range(len(texts)), key=lambda i: (texts[i].length, i)):
        if made and (len(made[-1]) + 1) * texts[number].length <= most:
            made[-1].append(number)
        else:
            made.append([number])
    return made


def paired_logits(
    texts: Sequence[ForcedText], batch: Sequence[int], teacher: Reader, student: Reader
) -> Iterator[LogitsBlock]:
    """Both models' logits for the texts of one batch, aligned by completion token. Run it under inference_mode."""
    chosen = [texts[i] for i in batch]
    most = max(1, min(teacher.budget // teacher.rows, student.budget // student.rows))
    if len(batch) > 1 or chosen[0].length <= most:
        completions = [text.completion for text in chosen]
        of_teacher = teacher.together([text.teacher_prompt for text in chosen], completions)
        of_student = student.together([text.student_prompt for text in chosen], completions)
        labels = torch.tensor([token for completion in completions for token in completion], device=teacher.device)
        parts = tuple((i, len(completion)) for i, completion in zip(batch, completions, strict=True))
        yield LogitsBlock(parts, torch.cat(of_teacher), torch.cat(of_student), labels)
        return
    text = chosen[0]
    chunk = max(1, min(most, teacher.attention // text.length, student.attention // text.length))
    start = 0
    labels = torch.tensor(text.completion, device=teacher.device)
    for first, second in zip(
        teacher.in_chunks(text.teacher_prompt, text.completion, chunk),
        student.in_chunks(text.student_prompt, text.completion, chunk),
        strict=True,
    ):
        yield LogitsBlock(((batch[0], len(first)),), first, second, labels[start : start + len(first)])
        start += len(first)
