"""The transformers backend on real, tiny, random models in float32: no row may depend on the rows beside it."""

import json
import random
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from evalkit.engines import open_engine
from evalkit.engines.options import TransformersOptions
from evalkit.engines.transformers import graphs
from evalkit.engines.transformers.attention import use_groups
from evalkit.engines.transformers.batch_loop import serve_refilling
from evalkit.engines.transformers.batching import FinishedRow, RowBatch, takes_rows
from evalkit.engines.transformers.engine import TransformersEngine, _Queue
from evalkit.engines.transformers.stopping import Decoder
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request, SamplingParams

SPECIAL = ("<|bos|>", "<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
TEMPLATE = "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|assistant|>"
ENDS = [ord("#"), ord("%"), ord("&")]  # ids of single bytes below: a random model meets one of them now and then
SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,  # wide, so that no two logits are within rounding of each other
    "vocab_size": 256 + len(SPECIAL),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_checkpoint(folder: Path, config: Any, *, ends: Any = ENDS, template: str | None = TEMPLATE) -> Path:
    """A random model with a byte-level tokenizer: token i is byte i, the special tokens follow."""
    unicode_of = bytes_to_unicode()
    vocabulary = {unicode_of[byte]: byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|end|>", chat_template=template
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.generation_config = transformers.GenerationConfig(eos_token_id=ends)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("qwen2"), transformers.Qwen2Config(**SIZE))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = transformers.LlamaConfig(**SIZE, bos_token_id=256, eos_token_id=259)
    return make_checkpoint(tmp_path_factory.mktemp("llama"), config, ends=ENDS[0])


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sliding windows: their cache forgets, so it runs in static batches."""
    config = transformers.MistralConfig(**SIZE, sliding_window=16, bos_token_id=256, eos_token_id=259)
    return make_checkpoint(tmp_path_factory.mktemp("mistral"), config)


def backend_of(folder: Path, **options: Any) -> TransformersEngine:
    return TransformersEngine(str(folder), TransformersOptions(device="cpu", **options))


def ask(problem: str, params: SamplingParams, content: str = "", sample: int = 0, prefix: str = "") -> Request:
    content = content or f"Problem {problem}"
    return Request("t", problem, sample, ({"role": "user", "content": content},), params, prefix)


def mixed_requests(count: int, **params: Any) -> list[Request]:
    """Prompts of 5 to 95 tokens and limits of 1 to 60."""
    rng = random.Random(7)
    requests = []
    for number in range(count):
        content = "".join(rng.choice("abcdefgh 0123456789") for _ in range(rng.randint(2, 90)))
        limit = rng.choice([1, 2, rng.randint(3, 60)])
        requests.append(ask(str(number), SamplingParams(max_tokens=limit, **params), content))
    return requests


def queue_of(backend: TransformersEngine, requests: Sequence[Request]) -> _Queue:
    left = iter(requests)
    return _Queue(backend, lambda _: next(left, None))


def tokens_of(backend: TransformersEngine, requests: Sequence[Request], rows: int) -> dict[Any, list[int]]:
    """The tokens themselves: text cannot tell tokens apart that are no valid UTF-8."""
    model = backend.load()
    use_groups(model)
    batch = RowBatch(model, Decoder(backend.checkpoint.tokenizer), backend._end_tokens, rows)
    ended: Iterator[FinishedRow] = serve_refilling(queue_of(backend, requests), batch, rows)
    return {each.row.request.key: each.row.tokens for each in ended}


def by_key(completions: Any) -> dict[Any, tuple[Any, ...]]:
    return {c.key: (c.text, c.finish_reason, c.completion_tokens, c.prompt_tokens, c.error) for c in completions}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_batched_greedy_is_unbatched_greedy_token_by_token(family: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(family)
    requests = mixed_requests(64, temperature=0)
    backend = backend_of(folder)
    assert takes_rows(backend.load())
    batched = tokens_of(backend, requests, rows=24)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    lengths: Counter[int] = Counter()
    for each in requests:
        prompt = torch.tensor([backend.render(each).token_ids])
        with torch.inference_mode():
            whole = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=each.params.max_tokens,
                eos_token_id=list(backend._end_tokens),
                pad_token_id=0,
            )
        assert batched[each.key] == whole[0, prompt.shape[1] :].tolist()
        lengths[len(batched[each.key])] += 1
    assert len(lengths) > 8, "the outputs have to be of mixed length for the test to mean anything"
    assert batched == tokens_of(backend, requests, rows=1)


@pytest.mark.parametrize("each_shape", [True, False])
def test_recorded_steps_are_the_steps_themselves(
    qwen2: Path, each_shape: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a CUDA graph does, on the CPU: the same work on the same tensors, whatever Python would do by now."""
    if each_shape:
        monkeypatch.setattr(graphs, "_MOST_EXTRA", -1)
        monkeypatch.setattr(graphs, "_FEWEST_COLUMNS", 64)

    def recorder(work: Any) -> Any:
        arguments: list[Any] = []
        forward = RowBatch._forward

        def once(batch: RowBatch, rows: int, columns: int, groups: Any) -> torch.Tensor:
            arguments.append((batch._input.data_ptr(), batch._positions.data_ptr(), rows, columns, len(batch.rows)))
            return forward(batch, rows, columns, groups)

        monkeypatch.setattr(RowBatch, "_forward", once)
        work()
        monkeypatch.setattr(RowBatch, "_forward", forward)
        recorded.append(arguments[-1])
        return work

    recorded: list[Any] = []
    requests = mixed_requests(64, temperature=0)
    backend = backend_of(qwen2)
    model = backend.load()
    use_groups(model)

    def tokens(record: Any) -> tuple[dict[Any, list[int]], RowBatch]:
        batch = RowBatch(model, Decoder(backend.checkpoint.tokenizer), backend._end_tokens, 24, record=record)
        ended = serve_refilling(queue_of(backend, requests), batch, 24)
        return {each.row.request.key: each.row.tokens for each in ended}, batch

    plain, _ = tokens(None)
    replayed, batch = tokens(recorder)
    assert replayed == plain
    assert batch.recorded is not None
    assert batch.recorded.works
    assert batch.recorded.recorded == len(recorded)
    if each_shape:
        assert len(recorded) > 5
        assert any(rows > live for *_, rows, _, live in recorded), "rows beyond the live ones are part of a graph"
    else:
        assert len(recorded) == 1, "the largest shape serves the smaller ones"

    def failing(work: Any) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    for record in (failing, lambda work: lambda: None):  # the second replays nothing: other logits
        again, batch = tokens(record)
        assert again == plain
        assert batch.recorded is not None
        assert not batch.recorded.works


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
def test_draws_do_not_depend_on_batch_size_order_or_what_is_left(family: str, request: pytest.FixtureRequest) -> None:
    requests = mixed_requests(40, temperature=0.9, top_p=0.9)
    whole = by_key(backend_of(request.getfixturevalue(family), batch_size=16).generate(iter(requests)))
    assert len({text for text, *_ in whole.values()}) > 30
    shuffled = random.Random(1).sample(requests, len(requests))
    for rows, subset in ((1, requests[:8]), (3, shuffled), (40, requests), (5, shuffled[25:])):
        again = by_key(backend_of(request.getfixturevalue(family), batch_size=rows).generate(iter(subset)))
        assert again == {each.key: whole[each.key] for each in subset}


def test_samples_of_a_problem_share_the_prompt_and_nothing_else(qwen2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=30, n=12)
    requests = [ask("p", params, sample=index) for index in range(12)] + [ask("q", params, sample=0)]
    prefilled: list[int] = []
    prefill = RowBatch._prefill

    def counted(batch: RowBatch, prompts: Any) -> Any:
        prefilled.append(len(prompts))
        return prefill(batch, prompts)

    monkeypatch.setattr(RowBatch, "_prefill", counted)
    backend = backend_of(qwen2, batch_size=4)
    backend.load()
    together = by_key(backend.generate(iter(requests)))
    assert len({together[each.key][0] for each in requests}) == 13
    probe = 2
    assert sum(prefilled) - probe <= 4, "one prefill serves samples that run together or one after the other"
    alone = by_key(backend_of(qwen2, batch_size=1).generate(iter(requests)))
    assert together == alone


def test_static_batches_equal_plain_generate(mistral: Path) -> None:
    backend = backend_of(mistral, batch_size=8)
    assert not takes_rows(backend.load())
    requests = mixed_requests(12, temperature=0)
    got = by_key(backend.generate(iter(requests)))
    model = transformers.AutoModelForCausalLM.from_pretrained(mistral).eval()
    for each in requests:
        prompt = torch.tensor([backend.render(each).token_ids])
        with torch.inference_mode():
            whole = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=each.params.max_tokens,
                eos_token_id=list(backend._end_tokens),
                pad_token_id=0,
            )
        tokens = whole[0, prompt.shape[1] :].tolist()
        ended = tokens[-1] in backend._end_tokens
        text = Decoder(backend.checkpoint.tokenizer).text(tokens[:-1] if ended else tokens)
        assert got[each.key][:3] == (text, "stop" if ended else "length", len(tokens))


def test_greedy_and_sampled_rows_run_in_one_batch(qwen2: Path) -> None:
    backend = backend_of(qwen2, batch_size=16)
    greedy = [ask(str(each), SamplingParams(temperature=0, max_tokens=20)) for each in range(6)]
    drawn = [ask(str(each + 6), SamplingParams(temperature=1, max_tokens=20, top_k=50)) for each in range(6)]
    mixed = by_key(backend.generate(iter([each for pair in zip(greedy, drawn, strict=True) for each in pair])))
    assert mixed == by_key(backend.generate(iter(greedy))) | by_key(backend.generate(iter(drawn)))
    best = [ask(each.problem_id, replace(drawn[0].params, top_k=1)) for each in greedy]
    assert by_key(backend.generate(iter(best))) == by_key(backend.generate(iter(greedy)))


def only(completions: Iterator[Completion]) -> Completion:
    [completion] = completions
    return completion


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_stop_strings_cut_the_text_across_tokens(family: str, request: pytest.FixtureRequest) -> None:
    backend = backend_of(request.getfixturevalue(family))
    params = SamplingParams(temperature=1.2, top_p=1.0, max_tokens=50)
    requests = [ask(str(each), params) for each in range(40)]
    free = by_key(backend.generate(iter(requests)))
    checked = 0
    for each in requests:
        text, _, tokens, *_ = free[each.key]
        at = next((at for at in range(3, len(text) - 3) if text[at : at + 3].isascii()), None)
        if at is None:
            continue
        stop = text[at : at + 3]  # three tokens of one byte each
        cut = only(backend.generate(iter([replace(each, params=replace(params, stop=("never\n", stop)))])))
        assert cut.text == text[: text.index(stop)]
        assert cut.finish_reason == "stop"
        assert cut.completion_tokens < tokens
        checked += 1
    assert checked >= 5


def test_ends_and_limits_are_counted_and_told_apart(qwen2: Path) -> None:
    backend = backend_of(qwen2)
    params = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=60)
    requests = [ask(str(each), params) for each in range(60)]
    tokens = tokens_of(backend, requests, rows=20)
    reasons: Counter[int] = Counter()
    for completion in backend.generate(iter(requests)):
        made = tokens[completion.key]
        assert completion.completion_tokens == len(made) <= 60
        assert completion.finish_reason == ("stop" if made[-1] in (*ENDS, 259) else "length")
        assert not any(token in (*ENDS, 259) for token in made[:-1])
        if completion.finish_reason == "stop":
            assert len(completion.text.encode()) >= len(made) - 1
            reasons[made[-1]] += 1
        assert completion.seconds
        assert completion.seconds > 0
    assert len(reasons) >= 3, "each of the ids in the generation config's list ends a completion"


def test_thinking_tags_stay_in_the_text_and_the_end_token_does_not(qwen2: Path) -> None:
    decoder = Decoder(backend_of(qwen2).checkpoint.tokenizer)
    assert decoder.text([260, 65, 261, 66]) == "<think>A</think>B"


def test_the_prefix_is_in_the_prompt_and_not_in_the_text(qwen2: Path) -> None:
    params = SamplingParams(temperature=0, max_tokens=4)
    backend = backend_of(qwen2)
    plain = only(backend.generate(iter([ask("1", params)])))
    opened = only(backend.generate(iter([ask("1", params, prefix="<think>\n")])))
    assert (plain.prefix, opened.prefix) == ("", "<think>\n")
    assert plain.prompt_tokens is not None
    assert opened.prompt_tokens == plain.prompt_tokens + 2
    assert not opened.text.startswith("<think>")


def test_the_context_bounds_prompts_and_completions(qwen2: Path) -> None:
    backend = backend_of(qwen2, max_model_len=40)
    params = SamplingParams(temperature=0, max_tokens=1000)
    fits, too_long, fills = (
        ask("fits", params, "x" * 20),
        ask("long", params, "x" * 60),
        ask("exactly", params, "x" * 36),  # with the three template tokens 39: one is left
    )
    got = {each.problem_id: each for each in backend.generate(iter([too_long, fits, fills]))}
    assert got["long"].finish_reason == "error"
    assert "63 tokens" in str(got["long"].error)
    assert "context of 40" in str(got["long"].error)
    assert got["long"].prompt_tokens == 63
    assert (got["fits"].completion_tokens or 0) <= 40 - 23
    assert got["exactly"].completion_tokens == 1
    assert backend_of(qwen2).context_length() == 256


def test_empty_prompts_and_unicode(qwen2: Path, tmp_path: Path) -> None:
    params = SamplingParams(temperature=0, max_tokens=8)
    backend = backend_of(qwen2)
    unicode = only(backend.generate(iter([ask("1", params, "½ + 漢字 🙂 = ?")])))
    assert unicode.prompt_tokens == 3 + len("½ + 漢字 🙂 = ?".encode())
    bare = backend_of(make_checkpoint(tmp_path / "bare", transformers.Qwen2Config(**SIZE), template=None))
    empty = replace(ask("1", params), messages=())
    assert (only(bare.generate(iter([empty]))).completion_tokens or 0) >= 1  # the text is a line break then
    nothing = make_checkpoint(tmp_path / "nothing", transformers.Qwen2Config(**SIZE), template="{{ '' }}")
    failed = only(backend_of(nothing).generate(iter([ask("1", params)])))
    assert failed.finish_reason == "error"
    assert "leaves the question out" in str(failed.error)


def break_forward(backend: TransformersEngine, monkeypatch: pytest.MonkeyPatch, error: Any, most: int) -> list[int]:
    """Let the model run out of memory on more than `most` rows, and list the sizes that were tried."""
    model = backend.load()
    forward, tried = model.model.forward, []

    def scarce(*args: Any, **kwargs: Any) -> Any:
        rows = kwargs["input_ids"].shape[0]
        tried.append(rows)
        if rows > most:
            raise error
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", scarce)
    return tried


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"),
]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "mistral"])
@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "mps"])
def test_out_of_memory_halves_the_batch_and_changes_no_text(
    family: str, error: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = mixed_requests(40, temperature=0.8)
    backend = backend_of(request.getfixturevalue(family), batch_size=16)
    undisturbed = by_key(backend.generate(iter(requests)))
    tried = break_forward(backend, monkeypatch, error, most=6)
    completions = list(backend.generate(iter(requests)))
    assert len(completions) == 40
    assert by_key(completions) == undisturbed
    assert max(tried) == 16
    assert max(rows for rows in tried if rows <= 6) >= 4, "halved, not given up"


def test_memory_that_runs_out_midway_keeps_the_rows_furthest_on(qwen2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = mixed_requests(30, temperature=0.8)
    backend = backend_of(qwen2, batch_size=8)
    undisturbed = by_key(backend.generate(iter(requests)))
    model = backend.load()
    forward, steps = model.model.forward, iter(range(10_000))

    def scarce(*args: Any, **kwargs: Any) -> Any:
        if next(steps) in (9, 40, 90):
            raise OUT_OF_MEMORY[0]
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", scarce)
    assert by_key(backend.generate(iter(requests))) == undisturbed


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_a_request_too_large_alone_is_an_error_and_the_rest_goes_on(
    family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = SamplingParams(temperature=0, max_tokens=5)
    requests = [ask(str(each), params, "x" * (150 if each == 3 else 10)) for each in range(8)]
    backend = backend_of(request.getfixturevalue(family), batch_size=4)
    model = backend.load()
    forward = model.model.forward

    def scarce(*args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[1] > 100:
            raise OUT_OF_MEMORY[0]
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", scarce)
    got = {each.problem_id: each for each in backend.generate(iter(requests))}
    assert len(got) == 8
    assert [each for each in got if got[each].finish_reason == "error"] == ["3"]
    assert "memory" in str(got["3"].error)


def test_other_faults_are_not_taken_for_lack_of_memory(qwen2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_of(qwen2)
    break_forward(backend, monkeypatch, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), most=0)
    with pytest.raises(RuntimeError):
        list(backend.generate(iter(mixed_requests(3, temperature=0))))


def test_logits_that_are_no_numbers_are_an_error(qwen2: Path) -> None:
    backend = backend_of(qwen2)
    params = SamplingParams(max_tokens=8)
    assert takes_rows(backend.load())
    with torch.no_grad():
        backend.load().model.embed_tokens.weight[ord("@")] = torch.nan
    batch = RowBatch(backend.load(), Decoder(backend.checkpoint.tokenizer), backend._end_tokens, 4)
    requests = [ask("good", params, "abc"), ask("bad", params, "a@c")]
    got = {e.row.request.problem_id: e for e in serve_refilling(queue_of(backend, requests), batch, 4)}
    assert got["bad"].reason == "error"
    assert "NaN" in str(got["bad"].error)
    assert got["good"].reason in ("stop", "length")


def test_requests_are_drawn_only_when_there_is_room(qwen2: Path) -> None:
    drawn = 0

    def source() -> Iterator[Request]:
        nonlocal drawn
        for each in range(100):
            drawn += 1
            yield ask(str(each), SamplingParams(temperature=0.9, max_tokens=20))

    completions = backend_of(qwen2, batch_size=4).generate(source())
    for finished in range(1, 20):
        next(completions)
        assert drawn <= finished + 4 + 4
    assert isinstance(completions, Generator)
    completions.close()


def test_completions_come_as_they_finish(qwen2: Path) -> None:
    long = ask("long", SamplingParams(temperature=0, max_tokens=200), "ab")
    short = [ask(str(each), SamplingParams(temperature=0, max_tokens=2)) for each in range(20)]
    order = [each.problem_id for each in backend_of(qwen2, batch_size=4).generate(iter([long, *short]))]
    assert order[-1] == "long" or order.index("long") > 4


def test_identity_tells_what_can_change_a_completion(qwen2: Path, tmp_path: Path) -> None:
    identity = backend_of(qwen2).identity()
    assert json.loads(json.dumps(identity)) == identity
    assert (identity["backend"], identity["dtype"], identity["max_model_len"]) == ("transformers", "float32", 256)
    assert identity != backend_of(qwen2, dtype="bfloat16").identity()
    assert identity != backend_of(qwen2, max_model_len=100).identity()
    assert identity == backend_of(qwen2, batch_size=3).identity()
    half = make_checkpoint(tmp_path, transformers.Qwen2Config(**SIZE, dtype="bfloat16"))
    assert backend_of(half).identity()["dtype"] == "float32", "a CPU computes half types in float32"
    assert backend_of(half).load().dtype == torch.float32
    assert backend_of(half, dtype="bfloat16").load().dtype == torch.bfloat16
    environment = backend_of(qwen2).environment()
    assert environment["device"] == "cpu"
    assert environment["transformers"] == transformers.__version__


def test_half_precision_runs(qwen2: Path) -> None:
    completions = list(backend_of(qwen2, dtype="bfloat16").generate(iter(mixed_requests(10, temperature=0.7))))
    assert all(each.finish_reason in ("stop", "length") for each in completions)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"dtype": "int8"}, "int8"), ({"dtype": "floaty"}, "floaty")],
)
def test_wrong_options_are_told(qwen2: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalkitError, match=words):
        list(backend_of(qwen2, **options).generate(iter(mixed_requests(1, temperature=0))))


def test_an_unknown_device_is_told(qwen2: Path) -> None:
    backend = TransformersEngine(str(qwen2), TransformersOptions(device="toaster"))
    with pytest.raises(EvalkitError, match="toaster"):
        backend.identity()


def test_broken_weights_are_told(qwen2: Path, tmp_path: Path) -> None:
    for each in qwen2.iterdir():
        content = each.read_bytes()
        (tmp_path / each.name).write_bytes(content[:1000] if each.suffix == ".safetensors" else content)
    with pytest.raises(EvalkitError, match="could not be loaded"):
        list(backend_of(tmp_path).generate(iter(mixed_requests(1, temperature=0))))


def test_missing_weights_are_told_and_not_made_up(qwen2: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(qwen2)
    weights = {name: each for name, each in model.state_dict().items() if "layers.1.mlp" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    backend_of(qwen2).checkpoint.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EvalkitError, match=r"lacks weights.*layers\.1\.mlp"):
        list(backend_of(tmp_path).generate(iter(mixed_requests(1, temperature=0))))


def test_the_batch_grows_again_after_calm(qwen2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_of(qwen2, batch_size=16)
    model = backend.load()
    forward, sizes = model.model.forward, []

    def scarce(*args: Any, **kwargs: Any) -> Any:
        sizes.append(kwargs["input_ids"].shape[0])
        if len(sizes) == 20:
            raise OUT_OF_MEMORY[0]
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", scarce)
    requests = mixed_requests(150, temperature=0)
    assert len(list(backend.generate(iter(requests)))) == 150
    assert max(sizes[20:40]) <= 8
    assert max(sizes[40:]) > 10


def test_a_missing_package_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch, qwen2: Path) -> None:
    monkeypatch.setattr("evalkit.engines.registry.find_spec", lambda name: None)
    with pytest.raises(EvalkitError, match=r"evalkit\[transformers\]"):
        open_engine("transformers", str(qwen2))


def test_close_frees_the_model_and_generate_loads_it_again(qwen2: Path) -> None:
    backend = backend_of(qwen2)
    requests = mixed_requests(3, temperature=0)
    first = by_key(backend.generate(iter(requests)))
    backend.close()
    assert backend._model is None
    assert by_key(backend.generate(iter(requests))) == first
