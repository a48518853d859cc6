"""One batch whose rows end and begin at any step: prefill, decode, compaction."""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from evalkit.engines.prompts import Prompt
from evalkit.engines.repetition import ends_in_loop
from evalkit.engines.transformers.attention import Group, group_rows, grouped
from evalkit.engines.transformers.graphs import RecordedSteps, Replay, shape_of
from evalkit.engines.transformers.kv_cache import Layers, RowCache
from evalkit.engines.transformers.model_loading import bytes_per_token
from evalkit.engines.transformers.sampling import RowSettings, uniforms
from evalkit.engines.transformers.stopping import Decoder
from evalkit.types import Request, SamplingParams

_WIDTH = 16  # the attended columns are rounded up to this: aligned masks are cheaper, and shapes repeat
_PREFILL_TOKENS = 8192  # padded prompt tokens in one prefill: what bounds its activations
_SORT_EVERY = 32  # steps: moving rows costs about as much as reading them twice
_READ_PER_LAUNCHES = 20e9  # bytes of keys and values read in the time that launching a step's kernels takes
_NOT_A_NUMBER = -1  # stands for the token of a row whose logits are NaN


@dataclass(slots=True)
class BatchRow:
    """A request in the making. `limit` is the number of tokens it may have."""

    request: Request
    prompt: Prompt
    limit: int
    started: float = field(default_factory=time.monotonic)
    tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FinishedRow:
    """A row that has finished. `stop_at` is where a stop string begins in its text, None where none does.

    With reason "error", `error` says what went wrong.
    """

    row: BatchRow
    reason: Literal["stop", "length", "repetition", "error"]
    ends_with_eos: bool = False
    stop_at: int | None = None
    error: str | None = None


class RowBatch:
    """The live rows of one model: rows 0 .. len - 1 of the cache; the last ones take the places of finished ones.

    A prompt's last token is the input of the row's first decode step, so the prefill needs no logits, and rows that
    share a prompt share one prefill. A fault inside `admit` or `step` leaves the rows as they were.
    """

    def __init__(
        self,
        model: Any,
        decoder: Decoder,
        end_tokens: Sequence[int],
        max_rows: int,
        stop_repetition: bool = False,
        record: Callable[[Callable[[], None]], Replay] | None = None,
    ) -> None:
        self.model = model
        self.stop_repetition = stop_repetition
        self.decoder = decoder
        self.device: torch.device = model.get_input_embeddings().weight.device
        self.rows: list[BatchRow] = []
        vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self._is_end = np.zeros(vocabulary, dtype=bool)
        self._is_end[[token for token in end_tokens if token < vocabulary]] = True
        self._cache = RowCache()
        self._cache_argument = cache_argument(model)
        self._steps = 0
        self._input = torch.zeros(max_rows, dtype=torch.long, device=self.device)
        self._positions = torch.zeros(max_rows, dtype=torch.long, device=self.device)
        self._settings = RowSettings(max_rows, vocabulary, self.device)
        self._columns = torch.arange(0, device=self.device)
        self._prompts = np.zeros(max_rows, dtype=np.int64)  # lengths, in tokens
        self._counts = np.zeros(max_rows, dtype=np.int64)
        self._limits = np.zeros(max_rows, dtype=np.int64)
        self._seeds = np.zeros(max_rows, dtype=np.uint64)
        self._bytes_per_token = bytes_per_token(model)
        self.recorded = RecordedSteps(self._one_group, record, self._bytes_per_token) if record else None

    def __len__(self) -> int:
        return len(self.rows)

    @torch.inference_mode()
    def admit(self, fresh: Sequence[BatchRow]) -> None:
        """Prefill the prompts of new rows and append the rows; what an interrupted attempt had written is undone."""
        first = len(self.rows)
        targets: dict[tuple[int, ...], list[int]] = {}
        for place, row in enumerate(fresh, first):
            targets.setdefault(row.prompt.token_ids, []).append(place)
        live = {row.prompt.token_ids: place for place, row in enumerate(self.rows)}
        for prompt in [prompt for prompt in targets if prompt in live]:
            places = targets.pop(prompt)
            self._cache.copy_rows([live[prompt]] * len(places), places, len(prompt) - 1)
        for prompts in _chunks(sorted(targets, key=len)):
            if len(prompts[-1]) > 1:
                sources = [number for number, prompt in enumerate(prompts) for _ in targets[prompt]]
                self._cache.fill(
                    [place for prompt in prompts for place in targets[prompt]], self._prefill(prompts), sources
                )
        new = slice(first, first + len(fresh))
        lengths = [len(row.prompt.token_ids) for row in fresh]
        self._input[new] = torch.tensor([row.prompt.token_ids[-1] for row in fresh], device=self.device)
        self._positions[new] = torch.tensor(lengths, device=self.device) - 1
        self._settings.write(first, [row.request.params for row in fresh])
        self._prompts[new], self._counts[new] = lengths, 0
        self._limits[new] = [row.limit for row in fresh]
        self._seeds[new] = [row.request.seed for row in fresh]
        self.rows.extend(fresh)

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> Layers:
        """Keys and values of all but the last token of each prompt.

        Padded at the right: a causal model's tokens do not see what follows them, so no mask is needed.
        """
        width = len(prompts[-1]) - 1
        tokens = torch.tensor(
            [[*prompt[:-1], *[0] * (width + 1 - len(prompt))] for prompt in prompts], device=self.device
        )
        positions = torch.arange(width, device=self.device).expand(len(prompts), -1)
        cache = DynamicCache()
        named = {self._cache_argument: cache}
        self.model(input_ids=tokens, position_ids=positions, use_cache=True, logits_to_keep=1, **named)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def logits(self) -> torch.Tensor:
        """Of the next token of every live row, shape (rows, vocabulary)."""
        groups = group_rows(self._lengths(), _WIDTH)
        rows, columns = len(self.rows), max(group.columns for group in groups)
        if self.recorded is not None and self.recorded.works:
            shape = shape_of(rows, columns, len(self._input))
            saved = shape[0] * shape[1] - sum((group.last - group.first) * group.columns for group in groups)
            if saved * self._bytes_per_token < _READ_PER_LAUNCHES:
                self._make_room(*shape)
                return self.recorded.logits(*shape, (id(self._cache), self._cache.version, len(self._columns)))[:rows]
        self._make_room(rows, columns)
        return self._forward(rows, columns, groups)

    def _make_room(self, rows: int, columns: int) -> None:
        if len(self._columns) < columns:
            self._columns = torch.arange(2 * columns, device=self.device)
        self._cache.make_room(rows, columns)

    def _one_group(self, rows: int, columns: int) -> torch.Tensor:
        return self._forward(rows, columns, [Group(0, rows, columns)])

    def _forward(self, rows: int, columns: int, groups: Sequence[Group]) -> torch.Tensor:
        positions = self._positions[:rows, None]
        mask = torch.zeros(rows, columns, dtype=self.model.dtype, device=self.device)
        mask.masked_fill_(self._columns[:columns] > positions, -torch.inf)
        self._cache.columns, self._cache.positions = columns, self._positions[:rows]
        with grouped(groups):
            output = self.model(
                input_ids=self._input[:rows, None],
                position_ids=positions,
                attention_mask=mask[:, None, None, :],
                use_cache=True,
                **{self._cache_argument: self._cache},
            )
        return output.logits[:, -1]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def step(self) -> list[FinishedRow]:
        """One token more for every row; returns the rows that finished with it."""
        rows = len(self.rows)
        self._steps += 1
        if self._steps % _SORT_EVERY == 0:
            self._sort()
        logits = self.logits()
        tokens = self._settings.choose(logits, rows, uniforms(self._seeds[:rows], self._counts[:rows]))
        tokens = tokens.masked_fill(logits.isnan().any(dim=-1), _NOT_A_NUMBER)
        chosen = tokens.cpu().numpy()
        self._input[:rows] = tokens
        self._positions[:rows] += 1
        self._counts[:rows] += 1
        for row, token in zip(self.rows, chosen.tolist(), strict=True):
            row.tokens.append(token)
        at_end, broken = self._is_end[chosen], chosen == _NOT_A_NUMBER
        stop_at = self._stops()
        over = at_end | broken | (self._counts[:rows] >= self._limits[:rows])
        over[list(stop_at)] = True
        looping = [place for place, row in enumerate(self.rows) if self.stop_repetition and ends_in_loop(row.tokens)]
        over[looping] = True
        if not over.any():
            return []
        finished = []
        for place in np.flatnonzero(over).tolist():
            row = self.rows[place]
            if broken[place]:
                row.tokens.pop()
                finished.append(FinishedRow(row, "error", error="The model's logits are not numbers (NaN)."))
            elif at_end[place] or place in stop_at:
                finished.append(FinishedRow(row, "stop", bool(at_end[place]), stop_at.get(place)))
            else:
                finished.append(FinishedRow(row, "repetition" if place in looping else "length"))
        self._remove(np.flatnonzero(over).tolist())
        return finished

    def _stops(self) -> dict[int, int]:
        """Where the text of a row that has just reached a stop string is to be cut, by row."""
        found = {}
        for place, row in enumerate(self.rows):
            if stops := row.request.params.stop:
                at = self.decoder.stop_at(row.tokens, stops)
                if at is not None:
                    found[place] = at
        return found

    @torch.inference_mode()
    def evict(self, count: int) -> list[BatchRow]:
        """Take out the `count` rows that have come least far, and their memory; they would start anew."""
        places = np.argsort(self._counts[: len(self.rows)], kind="stable")[:count].tolist()
        evicted = [self.rows[place] for place in places]
        self._remove(places)
        if self.recorded is not None:
            self.recorded.forget()
        self._cache.shrink(len(self.rows))
        return evicted

    def clear(self) -> list[BatchRow]:
        """Take out every row and free the cache."""
        if self.recorded is not None:
            self.recorded.forget()
        rows, self.rows, self._cache = self.rows, [], RowCache()
        return rows

    def _lengths(self) -> npt.NDArray[np.int64]:
        """The tokens of every live row, the coming step's included."""
        return self._prompts[: len(self.rows)] + self._counts[: len(self.rows)]

    def _sort(self) -> None:
        """The longest rows first, if they have got mixed up: groups of rows of equal length read the least."""
        lengths = self._lengths()
        order = np.argsort(-lengths, kind="stable")
        mixed, sorted_ = (
            sum((g.last - g.first) * g.columns for g in group_rows(each, _WIDTH)) for each in (lengths, lengths[order])
        )
        if mixed > 1.1 * sorted_:
            self._move(order.tolist(), list(range(len(self.rows))))

    def _remove(self, places: Sequence[int]) -> None:
        stay = len(self.rows) - len(places)
        gone = set(places)
        holes = [place for place in places if place < stay]
        movers = [place for place in range(stay, len(self.rows)) if place not in gone]
        if holes:
            self._move(movers, holes)
        self._positions[stay : len(self.rows)] = 0  # a recorded step computes rows beyond the live ones
        del self.rows[stay:]

    def _move(self, sources: list[int], targets: list[int]) -> None:
        """Rows `sources` take the places `targets`."""
        self._cache.copy_rows(sources, targets, int(self._lengths()[sources].max()))
        there, here = (torch.tensor(rows, device=self.device) for rows in (targets, sources))
        for column in (self._input, self._positions, *self._settings.columns):
            column[there] = column[here]
        for array in (self._prompts, self._counts, self._limits, self._seeds):
            array[targets] = array[sources]
        moved = [self.rows[source] for source in sources]
        for target, row in zip(targets, moved, strict=True):
            self.rows[target] = row


def _chunks(prompts: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Prompts of ascending length in lists that fit one prefill; one alone may be longer."""
    chunks: list[list[tuple[int, ...]]] = []
    for prompt in prompts:
        if chunks and (len(chunks[-1]) + 1) * len(prompt) <= _PREFILL_TOKENS:
            chunks[-1].append(prompt)
        else:
            chunks.append([prompt])
    return chunks


def cache_argument(model: Any) -> str:
    """What the model's forward pass calls the key-value cache: transformers 5.24 has renamed it."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


@torch.inference_mode()
def takes_rows(model: Any) -> bool:
    """Whether a RowBatch serves this architecture: plain attention in every layer, and the proof of the pudding.

    Tokens of two short sequences are decoded together and their logits compared with those of a plain forward pass
    of each: an architecture that ignores the positions, the mask or the cache it is given shows there.
    """
    config = model.config.get_text_config()
    if not {"position_ids", cache_argument(model), "logits_to_keep"} <= set(
        inspect.signature(model.forward).parameters
    ):
        return False
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return False
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, min(config.vocab_size, 1000), (2, 12), generator=generator).tolist()
    params = SamplingParams(temperature=0)
    rows = [
        BatchRow(Request("probe", str(number), 0, (), params), Prompt("", tuple(ids[: 4 + 3 * number]), ""), 99)
        for number, ids in enumerate(tokens)
    ]
    batch = RowBatch(model, Decoder(None), [], 2)
    try:
        batch.admit(rows)
        for _ in range(3):
            batch.step()
        own = batch.logits().float()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):  # not made for such a cache
        return False
    for number, row in enumerate(batch.rows):
        ids = torch.tensor([[*row.prompt.token_ids, *row.tokens]], device=batch.device)
        plain = model(input_ids=ids).logits[0, -1].float()
        tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
        if float((own[number] - plain).norm()) > tolerance * float(plain.norm()):
            return False
    return True
