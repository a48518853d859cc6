"""Batches that end together, through `model.generate`: for architectures whose cache has no rows to exchange."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from evalkit.engines.repetition import ends_in_loop
from evalkit.engines.transformers.batching import BatchRow, FinishedRow
from evalkit.engines.transformers.sampling import RowSettings, uniforms
from evalkit.engines.transformers.stopping import Decoder


@torch.inference_mode()
def run_static(
    model: Any, decoder: Decoder, end_tokens: Sequence[int], stop_repetition: bool, rows: Sequence[BatchRow]
) -> list[FinishedRow]:
    """Complete all `rows`, padded at the left. Tokens are drawn as in a RowBatch, with equal texts."""
    device = model.get_input_embeddings().weight.device
    width = max(len(row.prompt.token_ids) for row in rows)
    pads = [width - len(row.prompt.token_ids) for row in rows]
    ids = [[0] * pad + list(row.prompt.token_ids) for pad, row in zip(pads, rows, strict=True)]
    mask = [[0] * pad + [1] * (width - pad) for pad in pads]
    watch = _Watch(rows, decoder, end_tokens, stop_repetition)
    model.generate(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        generation_config=GenerationConfig(max_new_tokens=max(row.limit for row in rows), pad_token_id=0),
        logits_processor=LogitsProcessorList([_Chooser(rows, device)]),
        stopping_criteria=StoppingCriteriaList([watch]),
    )
    return [watch.finished[place] for place in range(len(rows))]


class _Chooser(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that it draws, so that `generate`, being greedy, takes it."""

    def __init__(self, rows: Sequence[BatchRow], device: torch.device) -> None:
        self._params = [row.request.params for row in rows]
        self._seeds = np.array([row.request.seed for row in rows], dtype=np.uint64)
        self._step = np.zeros(len(rows), dtype=np.int64)
        self._settings: RowSettings | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        if self._settings is None:
            self._settings = RowSettings(len(self._seeds), scores.shape[-1], scores.device)
            self._settings.write(0, self._params)
        tokens = self._settings.choose(scores, len(self._seeds), uniforms(self._seeds, self._step))
        self._step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class _Watch(StoppingCriteria):  # type: ignore[misc]
    """Collects every row's tokens and says which rows have ended."""

    def __init__(
        self, rows: Sequence[BatchRow], decoder: Decoder, end_tokens: Sequence[int], stop_repetition: bool
    ) -> None:
        self._rows = rows
        self._stop_repetition = stop_repetition
        self._decoder = decoder
        self._end_tokens = frozenset(end_tokens)
        self.finished: dict[int, FinishedRow] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.Tensor:
        for place, token in enumerate(input_ids[:, -1].tolist()):
            if place in self.finished:
                continue
            row = self._rows[place]
            row.tokens.append(token)
            stops = row.request.params.stop
            stop_at = self._decoder.stop_at(row.tokens, stops) if stops else None
            if token in self._end_tokens or stop_at is not None:
                self.finished[place] = FinishedRow(row, "stop", token in self._end_tokens, stop_at)
            elif len(row.tokens) >= row.limit:
                self.finished[place] = FinishedRow(row, "length")
            elif self._stop_repetition and ends_in_loop(row.tokens):
                self.finished[place] = FinishedRow(row, "repetition")
        return torch.tensor([place in self.finished for place in range(len(self._rows))], device=input_ids.device)
