"""From logits to tokens, row by row: draws depend on a row's own seed and logits, never on the rest of the batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from evalkit.types import SamplingParams

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_FEW, _MORE = 64, 1024  # tokens: nearly every nucleus of a trained model is smaller; the others are not sorted


def uniforms(seeds: npt.NDArray[np.uint64], steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """For every row the `steps`-th number in [0, 1) of the row's own stream.

    SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA): the stream is a
    function of its position, so a batch needs no generator objects and a row may be moved or started anew.
    """
    z = seeds + (steps.astype(np.uint64) + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    z ^= z >> np.uint64(31)
    uniform: npt.NDArray[np.float64] = (z >> np.uint64(11)) * 2.0**-53
    return uniform


def draw(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor | None = None,
    top_k: torch.Tensor | None = None,
) -> torch.Tensor:
    """One token a row, shape (rows,), from logits of shape (rows, vocabulary).

    Temperature first, then top-k, then top-p on what is left (Holtzman et al. 2020, section 3.1: the smallest set of
    most probable tokens whose probability reaches p); tokens tied with the last one kept are kept too. `top_p` 1
    and `top_k` of the vocabulary's size switch a row's filter off. The distribution is inverted in the order of
    token ids: rounding differences between two batches then move the bounds by as much as they move the
    probabilities, where the order by probability would swap whole tokens.
    """
    draws = _Draws(logits, uniform, temperature, top_p, top_k)
    if top_p is None and top_k is None:
        return _draw_from_all(draws)
    tokens = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    rest = torch.arange(len(logits), device=logits.device)
    for few in (_FEW, _MORE) if logits.shape[-1] > 8 * _MORE else (_FEW,):
        tokens[rest], served = _draw_from_few(few, draws.of(rest))
        rest = rest[~served]
        if not len(rest):
            return tokens
    tokens[rest] = _draw_from_all(draws.of(rest))
    return tokens


class _Draws(NamedTuple):
    """One draw for each row, as `draw` is asked for them."""

    logits: torch.Tensor
    uniform: torch.Tensor
    temperature: torch.Tensor
    top_p: torch.Tensor | None = None
    top_k: torch.Tensor | None = None

    def of(self, rows: torch.Tensor) -> "_Draws":
        """Those of some rows; nothing is copied where they are all."""
        if len(rows) == len(self.logits):
            return self
        top_p, top_k = (None if each is None else each[rows] for each in (self.top_p, self.top_k))
        return _Draws(self.logits[rows], self.uniform[rows], self.temperature[rows], top_p, top_k)


def _draw_from_few(few: int, draws: _Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """As `draw`, from the `few` most probable tokens; and which rows that serves, those whose filters keep no other."""
    logits, uniform, temperature, top_p, top_k = draws
    precise, vocabulary = _precise(logits), logits.shape[-1]
    few = min(few, vocabulary)
    best, tokens = logits.topk(few, dim=-1)
    divisor = temperature.to(precise)[:, None]
    highest = best[:, :1].to(precise) / divisor
    weights = (best.to(precise) / divisor).sub_(highest).exp_()  # relative to the most probable token's
    kept = torch.ones_like(weights, dtype=torch.bool)
    narrow, unfiltered = torch.zeros_like(temperature, dtype=torch.bool), torch.ones_like(temperature, dtype=torch.bool)
    if top_k is not None:
        narrow, unfiltered = top_k <= few, top_k >= vocabulary
        kept = best >= best.gather(1, top_k.clamp(max=few)[:, None] - 1)
        kept |= ~narrow[:, None]
    total = (weights * kept).sum(dim=-1)
    if top_k is None or not bool(narrow.all()):
        whole = (logits.to(precise) / divisor).sub_(highest).exp_().sum(dim=-1)
        total = torch.where(narrow, total, whole)
    probabilities = weights.masked_fill(~kept, 0).div_(total[:, None])
    served = narrow
    if top_p is not None:
        cumulated = probabilities.cumsum(dim=-1)
        wanted = top_p.to(precise)
        inside = kept & ((cumulated - probabilities < wanted[:, None]) | (wanted >= 1)[:, None])
        served = narrow | (unfiltered & (cumulated[:, -1] >= wanted) & (wanted < 1))
        kept &= best >= best.masked_fill(~inside, torch.inf).amin(dim=-1, keepdim=True)
    if few < vocabulary:  # a token tied with the last one kept may be missing
        served = served & ~kept[:, -1]
    tokens, order = tokens.sort(dim=-1)
    cumulated = probabilities.masked_fill_(~kept, 0).gather(1, order).cumsum(dim=-1)
    place = torch.searchsorted(cumulated, _target(uniform, cumulated), right=True).clamp_(max=few - 1)
    return tokens.gather(1, place).squeeze(1), served


def _draw_from_all(draws: _Draws) -> torch.Tensor:
    logits, uniform, temperature, top_p, top_k = draws
    precise = _precise(logits)
    scaled = logits.to(precise) / temperature.to(precise)[:, None]
    if top_k is not None:
        best = scaled.topk(int(top_k.max()), dim=-1).values
        scaled = scaled.masked_fill(scaled < best.gather(1, top_k[:, None] - 1), -torch.inf)
    probabilities = scaled.softmax(dim=-1)
    if top_p is not None and bool((top_p < 1).any()):
        floor = _nucleus_floor(probabilities, top_p.to(precise))
        probabilities = probabilities.masked_fill(probabilities < floor[:, None], 0)
    cumulated = probabilities.cumsum(dim=-1)
    place = torch.searchsorted(cumulated, _target(uniform, cumulated), right=True)
    return place.squeeze(1).clamp_(max=logits.shape[-1] - 1)


def _target(uniform: torch.Tensor, cumulated: torch.Tensor) -> torch.Tensor:
    """Where each row's draw falls on the line of its cumulated probabilities, shape (rows, 1)."""
    precise = cumulated.dtype
    return uniform.to(precise)[:, None] * cumulated[:, -1:] * (1 - torch.finfo(precise).eps)


def _nucleus_floor(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The probability of each row's least probable token inside the nucleus, shape (rows,); 0 where `top_p` is 1."""
    descending = probabilities.sort(dim=-1, descending=True).values
    cumulated = descending.cumsum(dim=-1)
    inside = cumulated - descending < top_p[:, None]
    return descending.masked_fill(~inside, torch.inf).amin(dim=-1).masked_fill_(top_p >= 1, 0)


class RowSettings:
    """How each row of a batch is sampled: columns on the device, one entry a row."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        self.vocabulary = vocabulary
        self.temperature = torch.zeros(rows, device=device)
        self.top_p = torch.ones(rows, device=device)
        self.top_k = torch.full((rows,), vocabulary, device=device)
        self.columns = (self.temperature, self.top_p, self.top_k)
        # Whether any row written since the start samples, or needs a filter: known here without asking the device.
        self._greedy = self._samples = self._filters_p = self._filters_k = False

    def write(self, first: int, params: Sequence[SamplingParams]) -> None:
        """The settings of the rows from `first` on."""
        rows = slice(first, first + len(params))
        top_k = [min(each.top_k or self.vocabulary, self.vocabulary) for each in params]
        for column, values in (
            (self.temperature, [each.temperature for each in params]),
            (self.top_p, [each.top_p for each in params]),
            (self.top_k, top_k),
        ):
            column[rows] = torch.tensor(values, dtype=column.dtype, device=column.device)
        self._greedy |= any(each.temperature == 0 for each in params)
        self._samples |= any(each.temperature > 0 for each in params)
        self._filters_p |= any(each.top_p < 1 for each in params)
        self._filters_k |= any(each < self.vocabulary for each in top_k)

    def choose(self, logits: torch.Tensor, rows: int, uniform: npt.NDArray[np.float64]) -> torch.Tensor:
        """The next token of the first `rows` rows, shape (rows,): the most probable one where temperature is 0."""
        if not self._samples:
            return logits.argmax(dim=-1)
        temperature = self.temperature[:rows]
        greedy = temperature == 0
        drawn = draw(
            logits,
            torch.from_numpy(uniform).to(_precise(logits)).to(logits.device),
            temperature.masked_fill(greedy, 1),
            self.top_p[:rows] if self._filters_p else None,
            self.top_k[:rows] if self._filters_k else None,
        )
        return torch.where(greedy, logits.argmax(dim=-1), drawn) if self._greedy else drawn


def _precise(logits: torch.Tensor) -> torch.dtype:
    return torch.float32 if logits.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
