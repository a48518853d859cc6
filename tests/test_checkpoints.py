"""Checkpoints as they come: image models, adapters, quantised and strange ones: right, or one sentence."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hub_server import FIRST, MODEL, SECOND, Hub
from safetensors.torch import load_file, save_file
from test_backend_transformers import SIZE, ask, backend_of, by_key, make_checkpoint, mixed_requests
from test_gpus import with_gpus as told_gpus

from evalkit.engines.adapter import Adapter, reserved_rank
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.gpus import visible_gpus
from evalkit.engines.options import TransformersOptions, VLLMOptions
from evalkit.engines.replicas import replica_environments
from evalkit.engines.tokenizers import load_tokenizer
from evalkit.engines.transformers.engine import TransformersEngine
from evalkit.engines.transformers.stopping import Decoder
from evalkit.engines.vllm.engine import VLLMEngine
from evalkit.errors import EvalkitError
from evalkit.types import SamplingParams

TEXT = {**SIZE, "bos_token_id": 256, "eos_token_id": 259}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
QWEN_VISION = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


def gemma3() -> Any:
    text = {**TEXT, "head_dim": 8, "sliding_window": 16}
    return transformers.Gemma3Config(
        text_config=text, vision_config={**VISION, "image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )


def qwen2_5_vl() -> Any:
    text = {**TEXT, "rope_parameters": MROPE}
    return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=QWEN_VISION)


def qwen3_vl() -> Any:
    text = {**TEXT, "head_dim": 8, "rope_parameters": MROPE}
    return transformers.Qwen3VLConfig(text_config=text, vision_config={**QWEN_VISION, "deepstack_visual_indexes": [0]})


def mistral3() -> Any:
    text = transformers.MistralConfig(**TEXT, head_dim=8, sliding_window=None)
    vision = transformers.PixtralVisionConfig(**VISION, image_size=28, patch_size=14)
    return transformers.Mistral3Config(text_config=text, vision_config=vision, spatial_merge_size=1)


def llava() -> Any:
    vision = transformers.CLIPVisionConfig(**VISION, image_size=28, patch_size=14)
    return transformers.LlavaConfig(text_config=transformers.LlamaConfig(**TEXT), vision_config=vision)


def reference(engine: TransformersEngine, prompt: str, tokens: int) -> str:
    """The greedy text of transformers' own `generate`, one prompt at a time."""
    model = engine.load()
    request = ask("x", SamplingParams(max_tokens=tokens, temperature=0), prompt)
    ids = torch.tensor([engine.render(request).token_ids])
    with torch.inference_mode():
        whole = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=list(engine._end_tokens),
            pad_token_id=0,
        )
    made = whole[0, ids.shape[1] :].tolist()
    return Decoder(engine.tokenizer).text(made[:-1] if made[-1] in engine._end_tokens else made)


@pytest.mark.parametrize("config", [gemma3, qwen2_5_vl, qwen3_vl, mistral3, llava], ids=lambda c: str(c.__name__))
def test_image_models_answer_text(config: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a batch with prompts of other lengths they write what they write alone."""
    built = config()
    kind = getattr(transformers, built.architectures[0]) if built.architectures else None
    made = kind or transformers.AutoModelForImageTextToText._model_mapping[type(built)]
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_config", lambda c: made(c))
    folder = make_checkpoint(tmp_path, built)
    engine = backend_of(folder)
    assert engine.context_length() == SIZE["max_position_embeddings"]
    prompts = ["a", "hello " * 6, "x" * 60]
    requests = [ask(str(i), SamplingParams(max_tokens=10, temperature=0), p) for i, p in enumerate(prompts)]
    got = {c.problem_id: c for c in engine.generate(iter(requests))}
    assert [c.error for c in got.values()] == [None] * 3
    for number, prompt in enumerate(prompts):
        assert got[str(number)].text == reference(engine, prompt, 10)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("small"), transformers.Qwen2Config(**SIZE))


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


def change(folder: Path, **fields: Any) -> Path:
    """Change config.json; a field that is None is taken out."""
    path = folder / "config.json"
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return folder


def refusal(folder: Path) -> EvalkitError:
    """What is said before anything is generated."""

    def run() -> None:
        engine = backend_of(folder)
        engine.identity()
        engine.context_length()
        list(engine.generate(iter(mixed_requests(1, temperature=0))))

    with pytest.raises(EvalkitError) as caught:
        run()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500
    return caught.value


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 1e9}, "num_hidden_layers is 1000000000.0"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers is two"),
        ({"vocab_size": -5}, "vocab_size is -5"),
        ({"hidden_size": 10**12}, "hidden_size is"),
        ({"num_hidden_layers": 1500, "layer_types": None}, "asks for 1500 layers, and its weights have 2"),
        ({"model_type": None}, "could not be loaded"),
        ({"model_type": "no-such-model"}, "could not be loaded"),
        ({"hidden_size": None}, "could not be loaded"),
        ({"hidden_size": 48}, "could not be loaded"),
        ({"num_attention_heads": 0}, "could not be loaded"),
        ({"dtype": "float99"}, "could not be loaded"),
        ({"quantization_config": {"quant_method": "no-such"}}, "quantised .no-such.* does not know this kind"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised .gptq.* optimum"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "quantised .awq.* gptqmodel"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "quantised .bitsandbytes.* bitsandbytes",
        ),
    ],
)
def test_strange_configs_are_one_sentence(copy: Path, fields: dict[str, Any], words: str) -> None:
    said = refusal(change(copy, **fields)).message
    assert re.search(words, said), said


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").touch, ())


def test_pickled_weights_are_read_as_tensors_alone(
    copy: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    requests = mixed_requests(4, temperature=0)
    assert by_key(backend_of(copy).generate(iter(requests))) == by_key(backend_of(small).generate(iter(requests)))
    monkeypatch.chdir(tmp_path)
    with (copy / "pytorch_model.bin").open("wb") as stream:
        pickle.dump({**tensors, "evil": Evil()}, stream)
    assert "could not be loaded" in refusal(copy).message
    assert not (tmp_path / "pwned").exists()


def test_what_is_no_checkpoint_says_what_it_is(tmp_path: Path, small: Path) -> None:
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    for name in (tmp_path, tmp_path / "model-q4.gguf"):
        with pytest.raises(EvalkitError, match="GGUF") as caught:
            Checkpoint(str(name))
        assert "--engine openai" in caught.value.hint
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    with pytest.raises(EvalkitError, match="LoRA adapter that does not name its checkpoint"):
        TransformersEngine(str(adapter), TransformersOptions(device="cpu"))
    bare = Path(shutil.copytree(small, tmp_path / "bare"))
    (bare / "model.safetensors").unlink()
    assert "holds no weights" in refusal(bare).message


def test_a_shard_that_is_missing_is_named(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "part"))
    name = sorted(path.name for path in folder.glob("model-*.safetensors"))[0]
    (folder / name).unlink()
    assert f"lacks {name}" in refusal(folder).message


def test_an_unknown_token_that_is_unknown_is_one_sentence(copy: Path) -> None:
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unk_token": ""}))
    with pytest.raises(EvalkitError, match="recursion"):
        load_tokenizer(str(copy), {})


def test_a_tokenizer_of_another_model_is_an_error_of_the_request(copy: Path) -> None:
    """Its tokens have no embedding: reading past the table's end would crash the process on a GPU."""
    tensors = load_file(copy / "model.safetensors")
    names = [name for name in tensors if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    save_file(
        {**tensors, **{name: tensors[name][:100].clone() for name in names}},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    engine = backend_of(change(copy, vocab_size=100))
    [refused] = engine.generate(iter([ask("0", SamplingParams(max_tokens=2), "zzz")]))
    assert refused.error is not None
    assert "but the model knows 100" in refused.error


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"rope_type": "linear", "factor": 4.0}, 1024),
        ({"type": "linear", "factor": 4.0}, 1024),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}, 1024),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 256),
        ({"rope_type": "dynamic", "factor": 4.0}, 256),
        (None, 256),
    ],
)
def test_the_context_of_stretched_positions(copy: Path, scaling: Any, expected: int) -> None:
    change(copy, rope_scaling=scaling, rope_parameters=None, rope_theta=10000.0)
    assert Checkpoint(str(copy)).context_length() == expected


def test_linear_scaling_answers_beyond_the_original_context(copy: Path) -> None:
    change(copy, rope_scaling={"rope_type": "linear", "factor": 4.0}, rope_parameters=None, rope_theta=10000.0)
    engine = backend_of(copy)
    prompts = ["x" * 300, "y" * 20]
    requests = [ask(str(i), SamplingParams(max_tokens=8, temperature=0), p) for i, p in enumerate(prompts)]
    got = {c.problem_id: c for c in engine.generate(iter(requests))}
    for number, prompt in enumerate(prompts):
        assert (got[str(number)].error, got[str(number)].text) == (None, reference(engine, prompt, 8))


def make_adapter(folder: Path, base: Path | str, small: Path, scale: float = 1.0) -> Path:
    """A LoRA adapter with weights that change what the model writes."""
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(small)
    config = peft.LoraConfig(
        r=4, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    torch.manual_seed(1)
    wrapped: Any = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weights in wrapped.named_parameters():
            if "lora_" in name:
                weights.normal_(0, scale)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder)
    merged = wrapped.merge_and_unload()
    merged.save_pretrained(folder / "merged")
    backend_of(small).tokenizer.save_pretrained(folder / "merged")
    merged.generation_config.save_pretrained(folder / "merged")
    return folder


def test_an_adapter_is_the_merged_model(small: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", small, small)
    requests = mixed_requests(12, temperature=0)
    merged = by_key(backend_of(adapter / "merged").generate(iter(requests)))
    bare = by_key(backend_of(small).generate(iter(requests)))
    assert merged != bare
    on_top = backend_of(small, lora=str(adapter))
    assert by_key(on_top.generate(iter(requests))) == merged
    itself = backend_of(adapter)
    assert itself.checkpoint.model == str(small), "the checkpoint is the one that the adapter names"
    assert by_key(itself.generate(iter(requests))) == merged
    assert itself.identity() == on_top.identity()
    assert on_top.identity()["lora"] == Adapter(str(adapter)).fingerprint()
    assert on_top.identity()["lora"] != make_identity_of_other(tmp_path, small)
    assert "lora" not in backend_of(small).identity()


def make_identity_of_other(tmp_path: Path, small: Path) -> Any:
    other = make_adapter(tmp_path / "other", small, small, scale=0.5)
    return backend_of(small, lora=str(other)).identity()["lora"]


@pytest.mark.slow
def test_an_adapter_of_another_model_is_refused(small: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", "org/base", small)
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name.replace("layers.1.", "layers.7."): each for name, each in tensors.items()}, path)
    with pytest.raises(EvalkitError, match="does not fit") as caught:
        list(backend_of(small, lora=str(adapter)).generate(iter(mixed_requests(1, temperature=0))))
    assert "org/base" in caught.value.hint


def test_peft_that_is_missing_is_named(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = make_adapter(tmp_path / "adapter", small, small)
    monkeypatch.setattr("evalkit.engines.transformers.model_loading.find_spec", lambda _: None)
    with pytest.raises(EvalkitError, match="needs the package peft") as caught:
        list(backend_of(small, lora=str(adapter)).generate(iter(mixed_requests(1, temperature=0))))
    assert "evalkit[lora]" in caught.value.hint


@pytest.mark.slow
def test_an_adapter_from_the_hub_is_recorded_with_its_commit_and_its_base(
    here: Hub, small: Path, tmp_path: Path
) -> None:
    here.model("tiny-org/base", FIRST, small)
    make_adapter(tmp_path / "adapter", "tiny-org/base", small)
    shutil.move(tmp_path / "adapter" / "merged", tmp_path / "merged")
    here.model("tiny-org/adapter", SECOND, tmp_path / "adapter")
    requests = mixed_requests(6, temperature=0)
    merged = by_key(backend_of(tmp_path / "merged").generate(iter(requests)))
    for model, lora in (("tiny-org/adapter", None), ("tiny-org/base", "tiny-org/adapter")):
        engine = TransformersEngine(model, TransformersOptions(device="cpu", lora=lora))
        told = engine.identity()
        assert (told["model"], told["fingerprint"]) == ("tiny-org/base", FIRST)
        assert told["lora"] == f"tiny-org/adapter@{SECOND}"
        assert by_key(engine.generate(iter(requests))) == merged
    vllm = VLLMEngine("tiny-org/adapter", VLLMOptions(device="cpu"))
    assert vllm.identity()["lora"] == f"tiny-org/adapter@{SECOND}"
    assert vllm.engine_arguments()["revision"] == FIRST
    assert reserved_rank(vllm.adapter) == 8 if vllm.adapter else False
    with pytest.raises(EvalkitError, match="is no LoRA adapter"):
        TransformersEngine("tiny-org/base", TransformersOptions(device="cpu", lora=MODEL))


def test_a_gguf_repository_on_the_hub_says_so(here: Hub) -> None:
    here.model("tiny-org/model-GGUF", FIRST, {"model-q4.gguf": b"GGUF", "README.md": b"x"})
    with pytest.raises(EvalkitError, match="GGUF weights"):
        TransformersEngine("tiny-org/model-GGUF", TransformersOptions(device="cpu")).context_length()


@pytest.mark.slow
def test_replicas_give_what_one_process_gives(small: Path) -> None:
    """Data parallel: two processes on the CPU, each with the whole model, pull from the one queue."""
    requests = mixed_requests(24, temperature=0.8)
    alone = by_key(backend_of(small).generate(iter(requests)))
    engine = backend_of(small, data_parallel=2)
    engine.reserve(256)
    assert engine.environment()["replicas"] == 2
    assert engine.gpus == 0
    assert by_key(engine.generate(iter(requests))) == alone


@pytest.mark.slow
def test_a_replica_that_cannot_start_says_why(small: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", "org/base", small)
    path = adapter / "adapter_model.safetensors"
    save_file({name.replace("layers.1.", "layers.7."): each for name, each in load_file(path).items()}, path)
    engine = backend_of(small, data_parallel=2, lora=str(adapter))
    with pytest.raises(EvalkitError, match="does not fit"):
        list(engine.generate(iter(mixed_requests(4, temperature=0))))


def with_gpus(monkeypatch: pytest.MonkeyPatch, folder: Path, count: int) -> None:
    """As many H100s as nvidia-smi and torch tell of; what runs on them is not tried."""
    told_gpus(monkeypatch, folder, count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("gpus", "gigabytes", "replicas", "each"),
    [(1, 1, 1, 1), (4, 16, 4, 1), (8, 140, 4, 2), (3, 140, 1, 2), (2, 140, 1, 2)],
)
def test_as_many_replicas_as_the_gpus_hold(
    copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: int,
    gigabytes: int,
    replicas: int,
    each: int,
) -> None:
    with_gpus(monkeypatch, tmp_path, gpus)
    with (copy / "model.safetensors").open("r+b") as stream:
        stream.truncate(gigabytes * 10**9)  # a sparse file
    engine = TransformersEngine(str(copy), TransformersOptions(dtype="float32"))
    assert (engine.replicas, engine._gpus_per_replica) == (replicas, each)
    assert engine.gpus == (replicas * each if replicas > 1 else 1), "before it is loaded"
    names = [gpu.name for gpu in visible_gpus()]
    environments = replica_environments(replicas, each, names)
    assert [len(e["CUDA_VISIBLE_DEVICES"].split(",")) for e in environments] == [each] * replicas


def test_more_than_all_gpus_hold_is_said_before_loading(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, tmp_path, 2)
    with (copy / "model.safetensors").open("r+b") as stream:
        stream.truncate(400 * 10**9)
    engine = TransformersEngine(str(copy), TransformersOptions(dtype="float32"))
    with pytest.raises(EvalkitError, match=r"take 400 GB, and 2 x NVIDIA H100 .* have room for 1\d\d GB"):
        engine.generate(iter(mixed_requests(1, temperature=0)))
    two = TransformersEngine(str(copy), TransformersOptions(dtype="bfloat16", data_parallel=3))
    with pytest.raises(EvalkitError, match="GPU"):
        two.generate(iter(mixed_requests(1, temperature=0)))
