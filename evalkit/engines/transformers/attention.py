"""Attention over rows of different lengths in groups, so that a short row does not read as far as the longest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "evalkit_groups"
_MOST_GROUPS = 8
_FEWEST_ROWS = 8
_SIMILAR = 0.75  # neighbours whose widths are this close are one group: a call costs as much as it would save


class Group(NamedTuple):
    """Rows `first` .. `last` - 1, none longer than `columns` tokens."""

    first: int
    last: int
    columns: int


_groups: ContextVar[Sequence[Group]] = ContextVar("groups", default=())  # none: not a decoding step


def group_rows(lengths: npt.NDArray[np.int64], unit: int) -> list[Group]:
    """Groups of neighbouring rows, their widths rounded up to multiples of `unit` tokens."""
    step = max(_FEWEST_ROWS, -(-len(lengths) // _MOST_GROUPS))
    groups: list[Group] = []
    for first in range(0, len(lengths), step):
        last = min(first + step, len(lengths))
        columns = -(-int(lengths[first:last].max()) // unit) * unit
        if groups and _SIMILAR * groups[-1].columns <= columns <= groups[-1].columns / _SIMILAR:
            groups[-1] = Group(groups[-1].first, last, max(columns, groups[-1].columns))
        else:
            groups.append(Group(first, last, columns))
    return groups


@contextmanager
def grouped(groups: Sequence[Group]) -> Iterator[None]:
    """Within it, `attend` splits the batch so."""
    token = _groups.set(groups)
    try:
        yield
    finally:
        _groups.reset(token)


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """transformers' scaled dot-product attention; in a decoding step, for one group after the other."""
    groups = _groups.get()
    if not groups or any(options.get(name) is not None for name in ("position_bias", "softcap")):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    parts = []
    for first, last, columns in groups:
        rows = slice(first, last)
        keys, values, mask = key[rows, :, :columns], value[rows, :, :columns], attention_mask[rows, :, :, :columns]
        parts.append(attend_to_one_token(query[rows], keys, values, mask, options.get("scaling")))
    return parts[0] if len(parts) == 1 else torch.cat(parts), None


def attend_to_one_token(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of one token a row, shape (rows, 1, heads, width).

    Query heads that share a key-value head are taken as that many tokens of it: keys and values are read once, where
    repeating them for each query head would write and read them again for every one.
    """
    rows, heads, _, width = query.shape
    shared = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = torch.nn.functional.scaled_dot_product_attention(shared, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(rows, 1, heads, value.shape[-1])


def use_groups(model: Any) -> bool:
    """Let the model attend by groups, where it attends by `sdpa` and lets its attention be exchanged."""
    if model.config._attn_implementation != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        return False
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True
