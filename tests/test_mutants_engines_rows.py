"""The transformers engine row by row, on tiny random models: draws, cache, batches, stop strings."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from test_backend_transformers import SIZE

from evalkit.engines.prompts import Prompt
from evalkit.engines.transformers import batch_loop, graphs
from evalkit.engines.transformers.attention import NAME, Group, attend, group_rows, grouped, use_groups
from evalkit.engines.transformers.batch_loop import is_out_of_memory, serve_refilling, serve_static
from evalkit.engines.transformers.batching import (
    BatchRow,
    FinishedRow,
    RowBatch,
    _chunks,
    cache_argument,
    takes_rows,
)
from evalkit.engines.transformers.graphs import RecordedSteps, shape_of
from evalkit.engines.transformers.kv_cache import RowCache
from evalkit.engines.transformers.model_loading import bytes_per_token, free_memory, model_class
from evalkit.engines.transformers.sampling import (
    RowSettings,
    _draw_from_all,
    _draw_from_few,
    _Draws,
    _nucleus_floor,
    draw,
    uniforms,
)
from evalkit.engines.transformers.static_batches import run_static
from evalkit.engines.transformers.stopping import Decoder
from evalkit.types import Request, SamplingParams


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Draws

P = [0.5, 0.25, 0.125, 0.125]


def drawn(uniform: float, logits: Sequence[float] | None = None, **settings: Any) -> int:
    one = torch.log(torch.tensor([P], dtype=torch.float64)) if logits is None else torch.tensor([list(logits)])
    given = {name: torch.tensor([value]) for name, value in settings.items()}
    temperature = given.pop("temperature", torch.tensor([1.0]))
    return int(draw(one, torch.tensor([uniform], dtype=torch.float64), temperature, **given)[0])


@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        ({}, [0.5, 0.75, 0.875, 1.0]),
        ({"temperature": 2.0}, [0.36940, 0.63060, 0.81530, 1.0]),  # the roots 0.7071, 0.5, 0.3536 twice, of 1.9142
        ({"temperature": 0.5}, [0.72727, 0.90909, 0.95455, 1.0]),  # the squares 16, 4, 1, 1 of 22
        ({"top_k": 1}, [1.0]),
        ({"top_k": 2}, [2 / 3, 1.0]),
        ({"top_k": 3}, [0.5, 0.75, 0.875, 1.0]),  # the fourth is tied with the third
        ({"top_p": 0.49}, [1.0]),
        ({"top_p": 0.5}, [1.0]),
        ({"top_p": 0.51}, [2 / 3, 1.0]),
        ({"top_p": 0.76}, [0.5, 0.75, 0.875, 1.0]),
        ({"top_p": 1.0}, [0.5, 0.75, 0.875, 1.0]),
        ({"top_k": 2, "top_p": 0.6}, [1.0]),  # of what top-k leaves
        ({"top_k": 2, "top_p": 0.7}, [2 / 3, 1.0]),
    ],
)
def test_each_token_has_its_part_of_the_line(settings: dict[str, Any], ends: list[float]) -> None:
    for token, (begin, end) in enumerate(zip([0.0, *ends], ends, strict=False)):
        assert drawn(begin + 1e-4, **settings) == token
        assert drawn(end - 1e-4, **settings) == token


def test_no_token_without_probability_is_drawn_at_the_ends() -> None:
    highest = 1 - 2.0**-53
    assert drawn(highest, [0.0, 0.0, 0.0, -math.inf]) == 2
    assert drawn(0.0, [-math.inf, 0.0, 0.0]) == 1
    assert drawn(highest, [0.0, -1.0, -2.0], top_k=2) == 1
    assert 0 <= drawn(0.5, [math.nan, 0.0, 0.0]) < 3, "a row that is not a number has a token that exists"


def test_a_nucleus_of_more_tokens_than_are_tried_first() -> None:
    """100 tokens in steps, of which the most probable 64 hold less than top_p in the first row alone."""
    flat, steep = torch.zeros(100, dtype=torch.float64), -torch.arange(100, dtype=torch.float64)
    logits = torch.stack([flat - 1e-6 * torch.arange(100), steep, flat - 1e-6 * torch.arange(100)])
    at = torch.full((3,), 0.9999, dtype=torch.float64)
    tokens = draw(logits, at, torch.ones(3), torch.tensor([0.805, 0.5, 1.0]))
    assert tokens.tolist() == [80, 0, 99]  # 81 tokens of about a hundredth; one of 63%; all


@pytest.mark.parametrize("vocabulary", [40, 64, 65, 300, 8193])
@pytest.mark.parametrize("spread", [0.3, 3.0, 6.0])
def test_the_most_probable_tokens_give_the_same_draw_as_all_of_them(vocabulary: int, spread: float) -> None:
    """Rows whose kept tokens are few, more, many, tied with others, or all, with every mixture of filters."""
    generator = torch.Generator().manual_seed(vocabulary)
    rows = 24
    for trial in range(6):
        logits = torch.randn(rows, vocabulary, generator=generator) * spread
        if trial % 2:
            logits = (2 * logits).round() / 2
        if trial % 3 == 0:
            logits = logits.to(torch.bfloat16)
        temperature = 0.1 + 1.5 * torch.rand(rows, generator=generator)
        uniform = torch.rand(rows, generator=generator, dtype=torch.float64)
        top_p = (1.4 * torch.rand(rows, generator=generator)).clamp(0.01, 1)
        top_k = (vocabulary ** torch.linspace(0, 1.2, rows)).long().clamp(1, vocabulary)
        for filters in ((top_p, None), (None, top_k), (top_p, top_k)):
            expected = _draw_from_all(_Draws(logits, uniform, temperature, *filters))
            assert draw(logits, uniform, temperature, *filters).tolist() == expected.tolist()


def test_the_rows_that_the_most_probable_tokens_serve() -> None:
    """Of 5 tokens with 1/2, 1/4, 1/8, 1/16 and 1/16, the first 2 or 4 are looked at."""
    logits = torch.log(torch.tensor([[8.0, 4.0, 2.0, 1.0, 1.0]], dtype=torch.float64))

    def served(few: int, p: float | None, k: int | None = None) -> bool:
        columns = [None if each is None else torch.tensor([each]) for each in (p, k)]
        at, one = torch.tensor([0.5], dtype=torch.float64), torch.ones(1)
        return bool(_draw_from_few(few, _Draws(logits, at, one, *columns))[1])

    assert [served(2, p) for p in (0.4, 0.6, 0.8)] == [True, False, False], "what is tied with the second is not known"
    assert [served(3, p) for p in (0.6, 0.74, 0.76, 0.9)] == [True, True, False, False]
    assert [served(4, p) for p in (0.86, 0.88)] == [True, False]
    assert served(9, 0.93), "there are no others"
    assert not served(9, 1.0), "what filters nothing is drawn from all"
    assert [served(3, None, k) for k in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
    assert [served(3, 0.7, k) for k in (2, 3, 4, 5)] == [True, True, False, True]


def test_less_than_top_p_in_all_tokens_is_all_tokens() -> None:
    floor = _nucleus_floor(torch.tensor([[0.25, 0.125], [0.25, 0.25]]), torch.tensor([0.9, 0.2]))
    assert floor.tolist() == [0.125, 0.25]


def test_settings_of_rows_stay_with_the_rows() -> None:
    device = torch.device("cpu")
    settings = RowSettings(4, 4, device)
    params = [
        SamplingParams(temperature=0.0, top_p=1.0),
        SamplingParams(temperature=2.0, top_p=0.5, top_k=3),
        SamplingParams(temperature=1.0, top_p=1.0, top_k=9),
    ]
    settings.write(1, params)
    assert settings.temperature.tolist() == [0.0, 0.0, 2.0, 1.0]
    assert settings.top_p.tolist() == [1.0, 1.0, 0.5, 1.0]
    assert settings.top_k.tolist() == [4, 4, 3, 4]
    logits = torch.log(torch.tensor([P[::-1]] * 4))
    assert settings.choose(logits, 4, np.array([0.9, 0.1, 0.99, 0.2])).tolist() == [3, 3, 3, 1]
    assert settings.choose(logits, 4, np.array([0.9, 0.1, 0.1, 0.05])).tolist() == [3, 3, 2, 0]
    greedy = RowSettings(2, 4, device)
    greedy.write(0, params[:1])
    assert greedy.choose(logits[:2], 2, np.array([0.1, 0.1])).tolist() == [3, 3]
    fresh = RowSettings(1, 4, device)
    fresh.write(0, [SamplingParams(temperature=1.0, top_p=0.5)])
    assert fresh.choose(logits[:1], 1, np.array([0.01])).tolist() == [3], "top-p alone is a filter"
    narrow = RowSettings(1, 4, device)
    narrow.write(0, [SamplingParams(temperature=1.0, top_p=1.0, top_k=1)])
    assert narrow.choose(logits[:1], 1, np.array([0.01])).tolist() == [3], "top-k alone is a filter"


# The cache


def keys_of(rows: int, tokens: int, first: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys 1, 2, 3 ... of shape (rows, 1 head, tokens, 1), and their negatives as values."""
    keys = first + 1 + torch.arange(rows * tokens, dtype=torch.float32).reshape(rows, 1, tokens, 1)
    return keys, -keys


def held(cache: RowCache, layer: int, row: int, tokens: int) -> list[float]:
    keys, values = cache.buffers[layer]
    assert values[row, :tokens].flatten().tolist() == [-each for each in keys[row, :tokens].flatten().tolist()]
    return keys[row, :tokens].flatten().tolist()


def test_rows_are_filled_copied_written_and_given_back() -> None:
    cache = RowCache()
    assert (cache.columns, cache.version, cache.buffers) == (0, 0, [])
    cache.fill([2, 0, 1], [keys_of(2, 3), keys_of(2, 3, 100)], [1, 0, 1])
    assert [tuple(keys.shape) for keys, _ in cache.buffers] == [(3, 64, 1, 1)] * 2
    assert cache.version == 2, "once for each layer's buffer"
    assert [held(cache, 0, row, 4) for row in range(3)] == [[1, 2, 3, 0], [4, 5, 6, 0], [4, 5, 6, 0]]
    assert held(cache, 1, 0, 3) == [101, 102, 103]
    cache.copy_rows([0], [3], 2)
    assert cache.version == 4, "a row more needs other buffers"
    assert [held(cache, layer, 3, 3) for layer in (0, 1)] == [[1, 2, 0], [101, 102, 0]]
    cache.copy_rows([1, 0], [0, 1], 3)
    assert (held(cache, 0, 0, 3), held(cache, 0, 1, 3)) == ([4, 5, 6], [1, 2, 3]), "rows change places"
    cache.columns, cache.positions = 5, torch.tensor([3, 4])
    version = cache.version
    keys, values = cache.update(torch.tensor([[[[7.0]]], [[[8.0]]]]), torch.tensor([[[[-7.0]]], [[[-8.0]]]]), 0)
    assert tuple(keys.shape) == tuple(values.shape) == (2, 1, 5, 1)
    assert keys[:, 0, :, 0].tolist() == [[4, 5, 6, 7, 0], [1, 2, 3, 0, 8]]
    assert values[:, 0, :, 0].tolist() == [[-4, -5, -6, -7, 0], [-1, -2, -3, 0, -8]]
    assert cache.version == version + 1, "the index of the rows is new"
    cache.update(torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1), 0)
    assert cache.version == version + 1
    assert (cache.get_seq_length(), cache.get_mask_sizes(1, 0)) == (4, (5, 0))
    cache.shrink(1)
    assert cache.version == version + 2
    assert [tuple(each.shape) for pair in cache.buffers for each in pair] == [(1, 64, 1, 1)] * 4
    assert held(cache, 1, 0, 3) == [104, 105, 106]


def test_buffers_grow_by_what_is_needed_and_to_the_double() -> None:
    cache = RowCache()
    cache.fill([0], [keys_of(1, 64)], [0])
    for rows, columns, shape in (
        (1, 64, (1, 64)),
        (1, 65, (1, 128)),
        (2, 1, (2, 128)),
        (1, 129, (2, 256)),
        (2, 1000, (2, 1024)),
        (2, 1025, (2, 2048)),  # 1,088 rounded up; the double is 2,048
        (2, 2049, (2, 3136)),  # 2,112 and no more than 1,024 beyond it
        (3, 3136, (3, 3136)),
    ):
        version = cache.version
        cache.make_room(rows, columns)
        assert tuple(cache.buffers[0][0].shape[:2]) == shape
        assert cache.version == version + (shape != (1, 64))
    assert held(cache, 0, 0, 65) == [*range(1, 65), 0], "what was there stays"
    version = cache.version
    cache.make_room(2, 3000)
    assert cache.version == version


# Recorded steps


def steps(record: Any = None, bytes_per_token: float = 1e9) -> tuple[RecordedSteps, list[tuple[int, int]]]:
    computed: list[tuple[int, int]] = []

    def forward(rows: int, columns: int) -> torch.Tensor:
        computed.append((rows, columns))
        return torch.full((rows, 3), float(columns))

    return RecordedSteps(forward, record or (lambda work: work), bytes_per_token), computed


def test_a_shape_is_recorded_when_it_comes_again() -> None:
    recorded, computed = steps()
    assert recorded.logits(2, 64, "a").tolist() == [[64.0] * 3] * 2
    assert (recorded.recorded, len(computed)) == (0, 1)
    recorded.logits(2, 64, "a")
    assert (recorded.recorded, len(computed)) == (1, 3), "computed, and replayed to be compared"
    assert recorded.logits(2, 64, "a").tolist() == [[64.0] * 3] * 2
    assert len(computed) == 4
    recorded.logits(2, 128, "a")
    recorded.logits(2, 128, "a")
    assert recorded.recorded == 2
    assert recorded.logits(2, 64, "a").tolist() == [[64.0] * 3] * 2, "both are kept"
    count = len(computed)
    recorded.logits(2, 64, "b")
    assert len(computed) == count + 1
    assert (recorded._seen, recorded._replays) == ({(2, 64): 1}, {}), "another version has other tensors"
    recorded.logits(2, 64, "b")
    recorded.logits(4, 64, "b")
    assert recorded.logits(4, 64, "b").shape == (4, 3)
    assert list(recorded._replays) == [(4, 64)], "more rows than the logits had room for: all anew"
    assert recorded.works


def test_a_recorded_step_of_a_somewhat_larger_shape_serves_one_that_has_not_come_often() -> None:
    recorded, computed = steps(bytes_per_token=10e6)  # 300 tokens may be read for nothing
    for columns in (128, 128, 256, 256):
        recorded.logits(4, columns, 0)
    count = len(computed)
    assert recorded.logits(3, 80, 0).tolist() == [[128.0] * 3] * 3, "the smallest that covers it: 4 rows of 128"
    assert computed[count:] == [(4, 128)]
    assert recorded.logits(4, 192, 0).tolist() == [[256.0] * 3] * 4, "256 tokens more"
    assert recorded.logits(3, 241, 0)[0, 0] == 241, "301 tokens more are too many"
    assert recorded.logits(3, 242, 0)[0, 0] == 256, "298 tokens more"
    assert recorded.logits(5, 64, 0)[0, 0] == 64, "too few rows"
    assert recorded.logits(1, 257, 0)[0, 0] == 257, "too few columns"
    for _ in range(46):
        assert recorded.logits(3, 80, 0)[0, 0] == 128
    assert recorded.recorded == 2
    assert recorded.logits(3, 80, 0)[0, 0] == 80, "the 48th time it is recorded itself"
    assert recorded.recorded == 3
    assert recorded.logits(3, 80, 0)[0, 0] == 80


def test_no_more_graphs_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (graphs._MOST_GRAPHS, graphs._SEEN_BEFORE, graphs._TOLERANCE) == (64, 2, 0.02)
    monkeypatch.setattr(graphs, "_MOST_GRAPHS", 2)
    recorded, _ = steps()
    for columns in (64, 64, 128, 128, 192, 192):
        recorded.logits(1, columns, 0)
    assert list(recorded._replays) == [(1, 128), (1, 192)]


@pytest.mark.parametrize(("factor", "works"), [(1.0, True), (1.019, True), (1.021, False), (math.nan, False)])
def test_a_replay_with_other_logits_ends_the_recording(
    factor: float, works: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def record(work: Callable[[], None]) -> Callable[[], None]:
        def replay() -> None:
            work()
            assert recorded._logits is not None
            recorded._logits *= factor

        return replay

    recorded, computed = steps(record)
    for _ in range(2):
        assert recorded.logits(1, 64, 0).tolist() == [[64.0] * 3], "the step's own logits"
    assert (recorded.works, recorded.recorded) == (works, int(works))
    assert ("CUDA graphs are off, since a recorded step differs by" in caplog.text) == (not works)
    assert (recorded._logits is None) == (not works)
    assert recorded._replays.keys() == ({(1, 64)} if works else set())
    assert len(computed) == 3


def test_a_recording_that_fails_is_told_by_its_first_line(caplog: pytest.LogCaptureFixture) -> None:
    for words, told in (("operation not permitted\nmore", "operation not permitted"), ("", "RuntimeError")):

        def fails(work: Callable[[], None], words: str = words) -> Callable[[], None]:
            raise RuntimeError(words)

        caplog.clear()
        recorded, _ = steps(fails)
        recorded.logits(1, 64, 0)
        recorded.logits(1, 64, 0)
        assert not recorded.works
        assert [record.message for record in caplog.records] == [f"CUDA graphs are off, since {told}"]
        assert recorded._seen == {}


@pytest.mark.parametrize(
    ("rows", "columns", "most", "shape"),
    [
        (1, 1, 8, (1, 256)), (1, 256, 8, (1, 256)), (1, 257, 8, (1, 512)), (15, 1, 99, (15, 256)),
        (16, 1, 99, (16, 256)), (17, 1, 99, (18, 256)), (32, 1, 99, (32, 256)), (33, 1, 99, (36, 256)),
        (33, 1, 34, (34, 256)), (65, 1, 99, (72, 256)), (1, 1024, 8, (1, 1024)), (1, 2049, 8, (1, 2304)),
        (1, 4097, 8, (1, 4608)), (1, 8193, 8, (1, 9216)), (200, 1, 256, (208, 256)),
    ],
)  # fmt: skip
def test_shapes_are_rounded_by_an_eighth_at_most(rows: int, columns: int, most: int, shape: tuple[int, int]) -> None:
    assert shape_of(rows, columns, most) == shape


# Attention


def test_groups_of_rows() -> None:
    assert group_rows(np.array([16]), 16) == [Group(0, 1, 16)]
    assert group_rows(np.array([17]), 16) == [Group(0, 1, 32)]
    assert group_rows(np.array([64] * 8 + [48] * 8), 16) == [Group(0, 16, 64)], "three quarters are similar"
    assert group_rows(np.array([64] * 8 + [47] * 8), 15) == [Group(0, 16, 75)]
    assert group_rows(np.array([64] * 8 + [32] * 8), 16) == [Group(0, 8, 64), Group(8, 16, 32)]
    assert group_rows(np.array([48] * 8 + [64] * 8), 16) == [Group(0, 16, 64)]
    assert group_rows(np.array([48] * 8 + [80] * 8), 16) == [Group(0, 8, 48), Group(8, 16, 80)]
    assert [g.first for g in group_rows(np.arange(0, 6500, 100) + 1, 16)] == [0, 9, 18, 27], "steps of 9 for 65 rows"


def test_what_is_no_decoding_step_or_has_a_bias_is_plain_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, heads, tokens, 4, generator=generator) for heads, tokens in ((4, 1), (2, 3), (2, 3))
    )
    module = torch.nn.Module()
    module.num_key_value_groups = 2  # type: ignore[assignment]
    mask = torch.zeros(2, 1, 1, 3)
    plain = attend(module, query, key, value, mask, scaling=0.3)[0]
    assert plain.shape == (2, 1, 4, 4)
    for groups in ([Group(0, 1, 3), Group(1, 2, 3)], [Group(0, 2, 3)]):
        with grouped(groups):
            whole, weights = attend(module, query, key, value, mask, scaling=0.3, softcap=None, position_bias=None)
        torch.testing.assert_close(whole, plain)
        assert weights is None
    with grouped([Group(0, 2, 1)]):
        narrow = attend(module, query, key, value, mask)[0]
        biased = attend(module, query, key, value, mask, scaling=0.3, position_bias=torch.zeros(1, 4, 1, 3))[0]
        with pytest.raises(ValueError, match="softcap"):
            attend(module, query, key, value, mask, softcap=30.0)
    first = value[:, :, :1].transpose(1, 2).repeat_interleave(2, dim=2)
    torch.testing.assert_close(narrow, first, msg="a group of one column sees the first key alone")
    torch.testing.assert_close(biased, plain, msg="attention by groups knows no bias")
    torch.testing.assert_close(attend(module, query, key, value, mask, scaling=0.3)[0], plain, msg="out of the step")


# Models


class Bytes:
    """A tokenizer whose token i is byte i."""

    def decode(self, tokens: Sequence[int], **_: Any) -> str:
        return bytes(token for token in tokens if token < 256).decode("utf-8", "replace")


def made(config: Any) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.generation_config = transformers.GenerationConfig()
    return model


@pytest.fixture(scope="module")
def qwen() -> Any:
    return made(transformers.Qwen2Config(**SIZE))


@pytest.fixture(scope="module")
def sliding() -> Any:
    return made(transformers.MistralConfig(**SIZE, sliding_window=16, bos_token_id=256, eos_token_id=259))


def row(name: str, prompt: Sequence[int], limit: int, **params: Any) -> BatchRow:
    sampling = SamplingParams(**{"temperature": 0.0, "top_p": 1.0, "max_tokens": limit, **params})
    return BatchRow(Request("t", name, 0, (), sampling), Prompt("", tuple(prompt), ""), limit)


def alone(model: Any, one: BatchRow, tokens: int) -> list[int]:
    """What the model writes without a cache, drawn as the row's settings say."""
    ids, params = list(one.prompt.token_ids), one.request.params
    for step in range(tokens):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[:, -1]
        settings = RowSettings(1, logits.shape[-1], logits.device)
        settings.write(0, [params])
        seed = np.array([one.request.seed], dtype=np.uint64)
        ids.append(int(settings.choose(logits, 1, uniforms(seed, np.array([step])))[0]))
    return ids[len(one.prompt.token_ids) :]


def test_what_can_run_in_rows_and_what_it_is_made_of(qwen: Any, sliding: Any) -> None:

    class Older:
        def forward(self, past_key_values: Any = None) -> None: ...

    class Newer:
        def forward(self, cache: Any = None) -> None: ...

    assert (cache_argument(Older()), cache_argument(Newer())) == ("past_key_values", "cache")
    assert takes_rows(qwen)
    assert not takes_rows(sliding), "its cache forgets"

    class Blind(type(qwen)):  # type: ignore[misc]
        """It ignores the positions that it is given."""

        def forward(
            self,
            input_ids: Any = None,
            position_ids: Any = None,
            past_key_values: Any = None,
            cache: Any = None,
            logits_to_keep: int = 0,
            **more: Any,
        ) -> Any:
            held = {} if past_key_values is None and cache is None else {cache_argument(qwen): cache or past_key_values}
            return super().forward(input_ids=input_ids, **held, **more)

    class Bare(type(qwen)):  # type: ignore[misc]
        def forward(self, input_ids: Any = None, cache: Any = None, logits_to_keep: int = 0) -> Any:
            raise AssertionError("it takes no positions")

    blind, bare = Blind(qwen.config).eval(), Bare(qwen.config).eval()
    assert not takes_rows(blind)
    assert not takes_rows(bare)
    assert bytes_per_token(qwen) == 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, bytes of float32
    free = free_memory(torch.device("cpu"))
    assert free is not None
    assert 1 << 20 < free < 1 << 50
    assert model_class(qwen.config) is transformers.AutoModelForCausalLM
    assert model_class(transformers.LlavaConfig()) is transformers.AutoModelForImageTextToText
    odd = transformers.PreTrainedConfig()
    assert model_class(odd) is transformers.AutoModelForCausalLM
    own = transformers.LlavaConfig()
    own.auto_map = {"AutoModelForCausalLM": "own.Model"}
    assert model_class(own) is transformers.AutoModelForCausalLM


def test_attention_is_exchanged_where_the_model_lets_it_be() -> None:
    model = made(transformers.Qwen2Config(**SIZE))
    assert use_groups(model)
    assert model.config._attn_implementation == NAME
    assert not use_groups(model), "it attends by groups already"
    plain = made(transformers.Qwen2Config(**SIZE))
    plain.set_attn_implementation("eager")
    assert not use_groups(plain)
    assert plain.config._attn_implementation == "eager"
    closed = made(transformers.Qwen2Config(**SIZE))
    closed._supports_attention_backend = False
    assert not use_groups(closed)


def rows_of_the_test() -> list[BatchRow]:
    return [
        row("a", b"abc", 9),
        row("b", b"a longer prompt than the others have, of many tokens", 6),
        row("c", b"x", 12),
        row("d", b"abc", 4, temperature=1.0),
        row("e", b"yes and no", 1),
        row("f", b"abc", 7, temperature=0.8, top_p=0.9),
        row("g", b"another one", 10, temperature=1.3, top_k=40),
    ]


@pytest.mark.parametrize("groups", [False, True])
def test_rows_are_what_they_would_be_alone(qwen: Any, groups: bool) -> None:
    """Rows that come and go at different steps, some with one prompt: tokens and reasons."""
    model = made(transformers.Qwen2Config(**SIZE)) if groups else qwen
    if groups:
        assert use_groups(model)
    rows = rows_of_the_test()
    wanted = {one.request.problem_id: alone(qwen, one, one.limit) for one in rows}
    end = wanted["a"][5]
    for one in rows:
        found = wanted[one.request.problem_id]
        if end in found:
            wanted[one.request.problem_id] = found[: found.index(end) + 1]
    batch = RowBatch(model, Decoder(Bytes()), [end, 9999], 5)
    ended: list[FinishedRow] = []
    batch.admit(rows[:3])
    assert len(batch) == 3
    later: dict[int, BatchRow] = {0: rows[3], 2: rows[4], 5: rows[5], 6: rows[6]}
    for step in range(19):
        if step in later:
            batch.admit([later[step]])
        if len(batch):
            ended += batch.step()
    assert {each.row.request.problem_id: each.row.tokens for each in ended} == wanted
    for each in ended:
        at_end = each.row.tokens[-1] == end
        assert (each.reason, each.ends_with_eos) == ("stop" if at_end else "length", at_end)
        assert (each.stop_at, each.error) == (None, None)
        assert at_end or len(each.row.tokens) == each.row.limit
    assert len(batch) == 0
    assert int(batch._positions.abs().sum()) == 0, "a recorded step computes rows beyond the live ones"


def test_rows_that_came_least_far_are_taken_out(qwen: Any) -> None:
    rows = rows_of_the_test()[:3]
    wanted = [alone(qwen, one, 6) for one in rows]
    batch = RowBatch(qwen, Decoder(Bytes()), [], 4)
    batch.admit(rows[:1])
    batch.step()
    batch.admit(rows[1:])
    batch.step()
    assert [len(one.tokens) for one in batch.rows] == [2, 1, 1]
    version = batch._cache.version
    assert batch.evict(1) == [rows[1]]
    assert batch.rows == [rows[0], rows[2]]
    assert batch._cache.version > version
    assert {len(keys) for keys, _ in batch._cache.buffers} == {2}
    batch.step()
    assert [rows[0].tokens, rows[2].tokens] == [wanted[0][:3], wanted[2][:2]]
    assert batch.evict(0) == []
    assert batch.clear() == [rows[0], rows[2]]
    assert len(batch) == 0
    assert batch._cache.buffers == []


def test_rows_are_sorted_by_length_when_they_have_got_mixed_up(qwen: Any) -> None:
    """One short row among long ones in each group of eight: sorted, a group of short ones reads much less."""
    long, short = bytes(range(65, 91)) * 3, b"ab"
    rows = [row(str(i), (bytes([97 + i]) + (short if i % 2 else long)), 50) for i in range(16)]
    batch = RowBatch(qwen, Decoder(Bytes()), [], 16)
    batch.admit(rows)
    wanted = {one.request.problem_id: alone(qwen, one, 3) for one in rows[:2]}
    batch._steps = 30
    batch.step()
    assert [int(one.request.problem_id) for one in batch.rows] == list(range(16))
    batch.step()
    order = [*range(0, 16, 2), *range(1, 16, 2)]
    assert [int(one.request.problem_id) for one in batch.rows] == order
    batch.step()
    assert {name: next(r for r in rows if r.request.problem_id == name).tokens for name in ("0", "1")} == wanted
    assert batch._prompts.tolist() == [len(one.prompt.token_ids) for one in batch.rows]
    assert batch._seeds.tolist() == [one.request.seed for one in batch.rows]
    batch._steps = 63
    batch.step()
    assert [int(one.request.problem_id) for one in batch.rows] == order, "sorted already"


def test_stop_strings_loops_and_what_is_no_number_end_a_row(qwen: Any) -> None:
    free = row("free", b"abc", 30, temperature=1.2)
    text = alone(qwen, free, 30)
    at = next(i for i in range(3, 25) if 32 < text[i] < 127 and text[i] not in text[:i])
    stopped = row("free", b"abc", 30, temperature=1.2, stop=("never", chr(text[at])))
    batch = RowBatch(qwen, Decoder(Bytes()), [], 2)
    batch.admit([stopped])
    ended = [each for _ in range(at + 1) for each in batch.step()]
    assert [(each.reason, each.ends_with_eos, each.row.tokens) for each in ended] == [("stop", False, text[: at + 1])]
    decoded = Bytes().decode(text[: at + 1])
    assert ended[0].stop_at == decoded.index(chr(text[at]))


def test_a_loop_is_a_reason_of_its_own(qwen: Any) -> None:
    for stops, reasons in ((True, ["repetition", "length"]), (False, ["length"])):
        looped, other = row("a", b"abc", 1300), row("b", b"xyz", 1152)
        looped.tokens, other.tokens = [7] * 1151, list(range(1151))
        batch = RowBatch(qwen, Decoder(Bytes()), [], 2, stop_repetition=stops)
        batch.admit([looped, other])
        batch._counts[:2] = 1151
        batch._settings.choose = lambda *_: torch.tensor([7, 8])  # type: ignore[method-assign]
        assert [each.reason for each in batch.step()] == reasons


def test_rows_whose_logits_are_not_numbers_end_without_their_last_token() -> None:
    broken = made(transformers.Qwen2Config(**SIZE))
    with torch.no_grad():
        broken.model.embed_tokens.weight[ord("@")] = torch.nan
    batch = RowBatch(broken, Decoder(Bytes()), [], 2)
    batch.admit([row("good", b"abc", 5), row("bad", b"a@c", 5)])
    [ended] = batch.step()
    assert (ended.row.request.problem_id, ended.reason, ended.row.tokens) == ("bad", "error", [])
    assert ended.error == "The model's logits are not numbers (NaN)."
    assert [len(one.tokens) for one in batch.rows] == [1]


def test_prompts_are_prefilled_in_parts_of_bounded_size() -> None:
    assert _chunks([]) == []
    long = [tuple(range(n)) for n in (1, 4096, 4096, 4097, 9000)]
    assert [[len(one) for one in chunk] for chunk in _chunks(long)] == [[1, 4096], [4096], [4097], [9000]]
    assert [len(chunk) for chunk in _chunks([(1, 2)] * 4097)] == [4096, 1]


def test_static_batches_end_each_row_for_its_own_reason(sliding: Any) -> None:
    def tokens(name: str, prompt: bytes, limit: int, **params: Any) -> list[int]:
        return alone(sliding, row(name, prompt, limit, **params), limit)

    first, second = tokens("a", b"abcdef", 30), tokens("b", b"x", 30, temperature=1.1)
    end = next(token for token in first[3:] if token not in second)
    at = next(i for i in range(1, 30) if 32 < second[i] < 127 and second[i] not in second[:i])
    rows = [
        row("a", b"abcdef", 30),
        row("b", b"x", 30, temperature=1.1, stop=("no", chr(second[at]))),
        row("c", b"a prompt of more tokens", 3),
    ]
    ended = run_static(sliding, Decoder(Bytes()), [end], False, rows)
    assert [each.row for each in ended] == rows
    assert (ended[0].reason, ended[0].ends_with_eos, ended[0].row.tokens) == (
        "stop",
        True,
        first[: first.index(end) + 1],
    )
    assert (ended[1].reason, ended[1].row.tokens) == ("stop", second[: at + 1])
    assert ended[1].stop_at == Bytes().decode(second[: at + 1]).index(chr(second[at]))
    third = tokens("c", b"a prompt of more tokens", 3)
    wanted = third[: third.index(end) + 1] if end in third else third
    assert ended[2].row.tokens == wanted
    assert ended[2].reason == ("stop" if end in third else "length")


# Batches that grow and shrink


class Steps(RowBatch):
    """A batch without a model: each row ends when it has `limit` tokens, and more than `holds` rows have no memory."""

    def __init__(self, holds: int = 1000, moves: bool = True) -> None:
        self.rows: list[BatchRow] = []
        self.holds, self.moves = holds, moves
        self.sizes: list[int] = []
        self.admitted: list[int] = []

    def admit(self, fresh: Sequence[BatchRow]) -> None:
        self.admitted.append(len(fresh))
        if len(self.rows) + len(fresh) > self.holds:
            raise RuntimeError("CUDA out of memory")
        self.rows.extend(fresh)

    def step(self) -> list[FinishedRow]:
        self.sizes.append(len(self.rows))
        for one in self.rows:
            one.tokens.append(0)
        ended = [one for one in self.rows if len(one.tokens) >= one.limit]
        self.rows = [one for one in self.rows if one not in ended]
        return [FinishedRow(one, "length") for one in ended]

    def evict(self, count: int) -> list[BatchRow]:
        if not self.moves:
            raise RuntimeError("out of memory again")
        taken = sorted(self.rows, key=lambda one: len(one.tokens))[:count]
        self.rows = [one for one in self.rows if one not in taken]
        return taken

    def clear(self) -> list[BatchRow]:
        rows, self.rows = self.rows, []
        return rows


class Rows:
    """A queue of rows."""

    def __init__(self, rows: Sequence[BatchRow]) -> None:
        self.rows = list(rows)
        self.asked: list[int] = []
        self.returned: list[list[str]] = []

    def take(self, count: int) -> list[BatchRow]:
        self.asked.append(count)
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken

    def put_back(self, rows: list[BatchRow]) -> None:
        self.returned.append([one.request.problem_id for one in rows])
        for one in rows:
            one.tokens = []
        self.rows = rows + self.rows


def numbered(*limits: int) -> list[BatchRow]:
    return [row(str(i), b"ab", limit) for i, limit in enumerate(limits)]


def test_a_batch_is_refilled_when_an_eighth_is_free() -> None:
    queue, batch = Rows(numbered(*range(1, 17), *[5] * 20)), Steps()
    assert len(list(serve_refilling(queue, batch, 16))) == 36
    assert queue.asked[:4] == [16, 2, 2, 2], "two of sixteen rows, not one"
    assert batch.sizes[:5] == [16, 15, 16, 15, 16]
    one_by_one = Rows(numbered(1, 2, 3, 1))
    assert len(list(serve_refilling(one_by_one, Steps(), 3))) == 4
    assert one_by_one.asked[:2] == [3, 1]


def test_out_of_memory_halves_the_batch_and_calm_brings_it_back() -> None:
    queue, batch = Rows(numbered(*[1] * 100)), Steps(holds=16)
    ended = list(serve_refilling(queue, batch, 32))
    assert len({each.row.request.problem_id for each in ended}) == len(ended) == 100
    assert queue.returned[0] == [str(i) for i in range(32)], "the order of the queue stays"
    assert batch.admitted == [32, 16, 18, 9, 11, 13, 15, 17, 8, 10, 12, 6], "2 more after each calm batch"
    assert batch.sizes == [16, 9, 11, 13, 15, 8, 10, 12, 6]


def test_the_rows_furthest_on_stay_where_memory_runs_out() -> None:
    queue, batch = Rows(numbered(9, 9, 9, 2, 9)), Steps(holds=4)

    def then_scarce() -> list[FinishedRow]:
        made = Steps.step(batch)
        batch.holds = 3
        return made

    batch.step = then_scarce  # type: ignore[method-assign]
    ended = [each.row.request.problem_id for each in serve_refilling(queue, batch, 4)]
    assert sorted(ended) == ["0", "1", "2", "3", "4"]
    assert queue.returned == [["0", "4"]]
    assert ended[0] == "3"
    without = Rows(numbered(3, 3, 3, 3))
    stiff = Steps(holds=3, moves=False)
    assert len(list(serve_refilling(without, stiff, 4))) == 4
    assert without.returned == [["0", "1", "2", "3"]]


def test_a_row_too_large_alone_is_an_error_and_others_get_the_whole_batch() -> None:
    class Large(Steps):
        def admit(self, fresh: Sequence[BatchRow]) -> None:
            self.admitted.append(len(fresh))
            if any(one.limit == 99 for one in fresh):
                raise torch.OutOfMemoryError("no room")
            self.rows.extend(fresh)

    queue, batch = Rows(numbered(99, 1, 1, 1, 1)), Large()
    ended = list(serve_refilling(queue, batch, 2))
    assert [(each.row.request.problem_id, each.reason) for each in ended] == [
        ("0", "error"), ("1", "length"), ("2", "length"), ("3", "length"), ("4", "length")
    ]  # fmt: skip
    assert ended[0].error == "Out of memory, with this request alone, after 0 tokens."
    assert batch.admitted[:4] == [2, 1, 2, 2]
    broken = Steps()
    broken.step = lambda: (_ for _ in ()).throw(RuntimeError("shapes"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shapes"):
        list(serve_refilling(Rows(numbered(1)), broken, 2))


def test_static_batches_are_sorted_halved_and_restored() -> None:
    rows = [row(str(i), b"x" * length, 1) for i, length in enumerate((3, 9, 5, 7, 1, 8, 2, 6))]
    tried: list[list[int]] = []

    def run(batch: Sequence[BatchRow]) -> list[FinishedRow]:
        tried.append([len(one.prompt.token_ids) for one in batch])
        for one in batch:
            assert one.tokens == []
            one.tokens.append(1)
        if tried[-1] in ([9, 8], [8]):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return [FinishedRow(one, "length") for one in batch]

    queue = Rows(rows)
    ended = list(serve_static(queue, run, 2))
    assert queue.asked == [8, 8]
    assert tried == [[9, 8], [9], [8], [7, 6], [5, 3], [2, 1]]
    assert [len(each.row.prompt.token_ids) for each in ended] == [9, 8, 7, 6, 5, 3, 2, 1]
    assert [each.reason for each in ended] == ["length", "error", *["length"] * 6]
    assert ended[1].error == "Out of memory, with this request alone, after 1 tokens."
    with pytest.raises(RuntimeError, match="other"):
        list(serve_static(Rows(numbered(1)), lambda _: (_ for _ in ()).throw(RuntimeError("other")), 2))


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("MPS backend OUT OF MEMORY"), True),
        (RuntimeError("[enforce fail] can't allocate memory: 1 bytes"), True),
        (RuntimeError("memory"), False),
    ],
)
def test_lack_of_memory_in_its_three_forms(error: RuntimeError, found: bool) -> None:
    assert is_out_of_memory(error) == found
    assert (batch_loop._WINDOW, batch_loop._REFILL_SHARE, batch_loop._GROWTH_SHARE) == (4, 8, 16)


# Stop strings


def test_stop_strings_are_looked_for_where_they_can_end() -> None:
    class Words:
        """Token 5 has no text of its own; each decoding is counted."""

        count = 0

        def decode(self, tokens: Sequence[int], **_: Any) -> str:
            self.count += 1
            return "".join(("a", "b ", "stop", "\ufffd", " ", "")[token] for token in tokens)

    words = Words()
    decoder = Decoder(words)
    assert decoder.stop_at([0, 2], ["x", "stop"]) == 1
    assert decoder.stop_at([2, 0, 2], ["stop", "ast"]) == 0, "the first in the text"
    assert decoder.stop_at([0], ["x"]) is None
    count = words.count
    assert decoder.stop_at([0], ["x"]) is None
    assert words.count == count, "the text of a token is kept"
    assert decoder.stop_at([2], ["top"]) == 1
    assert decoder.stop_at([2, 5], ["stop"]) == 0, "a token without text may end one"
    assert decoder.stop_at([2, 3], ["stop"]) == 0, "so may half a character"
    assert decoder.stop_at([1, 0], ["b "]) == 0, "so may any token a stop string that ends in a space"
    assert decoder.stop_at([2, *[0] * 23], ["a"]) == 4
    assert decoder.stop_at([2, *[5] * 23], ["stop"]) == 0, "24 tokens are looked at for 4 characters"
