"""What the transformers backend is made of: uniforms, draws, grouped attention, stop strings."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from evalkit.engines.transformers.attention import Group, attend, group_rows, grouped
from evalkit.engines.transformers.sampling import draw, uniforms
from evalkit.engines.transformers.stopping import Decoder
from evalkit.types import Request, SamplingParams


def seeds_of(count: int) -> Any:
    """Of as many problems, as a run would have them."""
    requests = (Request("t", str(number), 0, (), SamplingParams()) for number in range(count))
    return np.array([each.seed for each in requests], dtype=np.uint64)


def test_rows_are_grouped_by_what_they_read() -> None:
    lengths = np.array([500] * 8 + [490] * 8 + [100] * 8 + [30] * 4)
    assert group_rows(lengths, 16) == [Group(0, 16, 512), Group(16, 24, 112), Group(24, 28, 32)]
    assert group_rows(lengths[:1], 16) == [Group(0, 1, 512)]
    many = np.random.default_rng(0).integers(1, 1000, 250)
    groups = group_rows(many, 16)
    assert len(groups) <= 8
    assert [each.first for each in groups[1:]] == [each.last for each in groups[:-1]]
    assert all(each.columns >= many[each.first : each.last].max() for each in groups)
    assert (groups[0].first, groups[-1].last) == (0, 250)


def test_grouped_attention_is_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(20, heads, tokens, 8, generator=generator) for heads, tokens in ((4, 1), (2, 64), (2, 64))
    )
    lengths = torch.tensor([60] * 8 + [20] * 8 + [3] * 4)
    mask = torch.zeros(20, 1, 1, 64).masked_fill(torch.arange(64) >= lengths[:, None, None, None], -torch.inf)
    module = torch.nn.Module()
    module.num_key_value_groups = 2  # type: ignore[assignment]
    whole = attend(module, query, key, value, mask)[0]
    with grouped(group_rows(lengths.numpy(), 16)):
        parts = attend(module, query, key, value, mask)[0]
    torch.testing.assert_close(parts, whole)


def test_uniforms_are_uniform_and_splitmix() -> None:
    # The first outputs of the reference implementation (Vigna's splitmix64.c) for the seed 1234567.
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    seeds = np.full(3, 1234567, dtype=np.uint64)
    np.testing.assert_array_equal(uniforms(seeds, np.arange(3)), [(each >> 11) * 2.0**-53 for each in first])
    many = seeds_of(4000)
    for step in (0, 1, 1000):
        drawn = uniforms(many, np.full(4000, step))
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert scipy.stats.kstest(drawn, "uniform").pvalue > 1e-3


def reference(logits: Any, temperature: float, top_p: float, top_k: int | None) -> Any:
    """The filtered distribution, written out plainly in float64."""
    probabilities = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-probabilities, kind="stable")
    kept = order[: top_k or len(order)]
    probabilities = probabilities / probabilities[kept].sum()
    cumulated = np.cumsum(probabilities[kept])
    kept = kept[: int(np.searchsorted(cumulated, top_p)) + 1] if top_p < 1 else kept
    result = np.zeros_like(probabilities)
    result[kept] = probabilities[kept] / probabilities[kept].sum()
    return result


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"),
    [(1.0, 1.0, None), (0.6, 0.95, None), (1.5, 0.5, None), (1.0, 1.0, 5), (0.8, 0.7, 20), (2.0, 0.99, 150)],
)
def test_the_distribution_is_the_filtered_softmax(temperature: float, top_p: float, top_k: int | None) -> None:
    vocabulary, draws = 200, 20_000  # more than the 64 tokens that the nucleus is sought in first
    logits = np.random.default_rng(3).normal(0, 2, vocabulary)
    seeds = seeds_of(draws)
    tokens = draw(
        torch.tensor(logits).expand(draws, -1),
        torch.from_numpy(uniforms(seeds, np.zeros(draws, dtype=np.int64))),
        torch.full((draws,), temperature),
        torch.full((draws,), top_p) if top_p < 1 else None,
        torch.full((draws,), top_k) if top_k else None,
    )
    expected = reference(logits, temperature, top_p, top_k)
    observed = np.bincount(tokens.numpy(), minlength=vocabulary)
    assert set(np.flatnonzero(observed)) <= set(np.flatnonzero(expected))
    common = expected * draws >= 5
    rest = (observed[~common].sum(), expected[~common].sum() * draws)
    observed_bins, expected_bins = observed[common], expected[common] * draws
    if rest[1] > 5:
        observed_bins, expected_bins = np.append(observed_bins, rest[0]), np.append(expected_bins, rest[1])
    if len(observed_bins) > 1:
        expected_bins = expected_bins * observed_bins.sum() / expected_bins.sum()
        assert scipy.stats.chisquare(observed_bins, expected_bins).pvalue > 1e-3


@pytest.mark.slow
def test_filters_are_per_row_and_keep_exactly_the_reference_set() -> None:
    rng = np.random.default_rng(5)
    settings = [(0.7, 0.9, 300), (1.0, 1.0, 7), (1.3, 0.2, 300), (0.3, 1.0, 300), (1.0, 0.95, 300), (1.0, 0.999, 300)]
    logits = rng.normal(0, 1.5, (len(settings), 300))
    grid = torch.linspace(0, 1 - 1e-9, 4001, dtype=torch.float64)
    seen: list[set[int]] = [set() for _ in settings]
    temperature, top_p, top_k = (torch.tensor(column) for column in zip(*settings, strict=True))
    for uniform in grid:
        rows = draw(torch.tensor(logits), uniform.expand(len(settings)), temperature, top_p, top_k)
        for place, token in enumerate(rows.tolist()):
            seen[place].add(token)
    for place, (t, p, k) in enumerate(settings):
        expected = reference(logits[place], t, p, k)
        assert seen[place] <= set(np.flatnonzero(expected).tolist())
        assert seen[place] >= set(np.flatnonzero(expected > 1 / 2000).tolist())


def test_stop_strings_of_several_bytes_and_inside_a_token() -> None:
    class Pieces:
        def decode(self, tokens: list[int], **_: Any) -> str:
            return b"".join((b"x\nQ: y", "。".encode()[:1], "。".encode()[1:], b"\n", b"")[t] for t in tokens).decode(
                errors="replace"
            )

    decoder = Decoder(Pieces())
    assert decoder.stop_at([0], ["\nQ:"]) == 1
    assert decoder.stop_at([0, 1], ["。"]) is None
    assert decoder.stop_at([0, 1, 2], ["。"]) == 6
    assert decoder.stop_at([3, 4, 3], ["\n\n"]) == 0
    assert decoder.stop_at([0, 3], ["\n\n"]) is None
