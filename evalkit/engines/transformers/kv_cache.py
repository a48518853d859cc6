"""A key-value cache whose rows stand at different positions, so that a row can end and another begin at any step."""

from typing import Any

import torch
from transformers import DynamicCache

_COLUMNS = 64  # buffers grow to multiples of this many tokens

Layers = list[tuple[torch.Tensor, torch.Tensor]]


class RowCache(DynamicCache):  # type: ignore[misc]
    """Row r of every layer holds its own tokens in the columns 0 .. length(r) - 1; the columns after them are masked.

    Buffers are (rows, columns, heads, width) and grow now and then, in place of being concatenated at every step.
    They are filled with zeros at first: what is masked still has to be finite, as 0 x NaN is NaN.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: Layers = []
        self.positions = torch.empty(0, dtype=torch.long)  # where the next token of each live row goes
        self.columns = 0  # what the longest live row needs, the token of the coming step included
        self.version = 0  # changes when a buffer does: what was recorded of the old ones is void
        self._index = torch.arange(0)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        """Write one token a row, shape (rows, heads, 1, width); return all keys and values up to `columns`."""
        rows, device = len(key_states), key_states.device
        self._make_room(layer_idx, rows, self.columns, key_states.transpose(1, 2), value_states.transpose(1, 2))
        if len(self._index) < rows or self._index.device != device:
            self._index = torch.arange(2 * rows, device=device)
            self.version += 1
        index, positions = self._index[:rows], self.positions.to(device)
        keys, values = self.buffers[layer_idx]
        keys[index, positions] = key_states.squeeze(2)
        values[index, positions] = value_states.squeeze(2)
        return keys[:rows, : self.columns].transpose(1, 2), values[:rows, : self.columns].transpose(1, 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.columns - 1

    def get_mask_sizes(self, query_length: Any, layer_idx: int = 0) -> tuple[int, int]:
        return self.columns, 0

    def fill(self, targets: list[int], layers: Layers, sources: list[int]) -> None:
        """Copy rows `sources` of a prefilled cache, each layer (rows, heads, tokens, width), to the rows `targets`."""
        there, here = torch.tensor(targets), torch.tensor(sources)
        for number, (keys, values) in enumerate(layers):
            keys, values = keys.transpose(1, 2), values.transpose(1, 2)
            tokens = keys.shape[1]
            self._make_room(number, max(targets) + 1, tokens, keys, values)
            there, here = there.to(keys.device), here.to(keys.device)  # nothing, where it is the last layer's
            for buffer, new in zip(self.buffers[number], (keys, values), strict=True):
                buffer[there, :tokens] = new[here]

    def copy_rows(self, sources: list[int], targets: list[int], tokens: int) -> None:
        """Give the rows `targets` the first `tokens` columns of the rows `sources`."""
        there, here = torch.tensor(targets), torch.tensor(sources)
        for number, (keys, values) in enumerate(self.buffers):
            self._make_room(number, max(targets) + 1, tokens, keys, values)
            there, here = there.to(keys.device), here.to(keys.device)
            for buffer in self.buffers[number]:
                buffer[there, :tokens] = buffer[here, :tokens]

    def make_room(self, rows: int, columns: int) -> None:
        """Let every layer that has been filled hold `rows` and `columns`."""
        for number, (keys, values) in enumerate(self.buffers):
            self._make_room(number, rows, columns, keys, values)

    def shrink(self, rows: int) -> None:
        """Give back the memory of all rows from `rows` on, a layer at a time."""
        self.version += 1
        for number, (keys, values) in enumerate(self.buffers):
            self.buffers[number] = (keys[:rows].clone(), values[:rows].clone())

    def _make_room(self, layer: int, rows: int, columns: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Let a layer hold `rows` and `columns`. A fault midway leaves every layer whole, grown or not."""
        columns = -(-columns // _COLUMNS) * _COLUMNS
        if layer == len(self.buffers):
            self.version += 1
            made = [each.new_zeros(rows, columns, *each.shape[2:]) for each in (keys, values)]
            self.buffers.append((made[0], made[1]))
            return
        had_rows, had_columns = self.buffers[layer][0].shape[:2]
        if had_rows >= rows and had_columns >= columns:
            return
        self.version += 1
        if had_columns < columns:
            columns = max(columns, min(2 * had_columns, columns + 16 * _COLUMNS))
        rows, columns = max(rows, had_rows), max(columns, had_columns)
        grown = [each.new_zeros(rows, columns, *each.shape[2:]) for each in self.buffers[layer]]
        for old, new in zip(self.buffers[layer], grown, strict=True):
            new[:had_rows, :had_columns] = old
        self.buffers[layer] = (grown[0], grown[1])
