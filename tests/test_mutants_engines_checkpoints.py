"""Checkpoints and prompts as the engines read them: folders, weights, adapters, templates, what is recorded."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from jinja2 import TemplateError
from test_backend_transformers import SIZE, make_checkpoint

from evalkit.engines.adapter import Adapter, reserved_rank, split_adapter
from evalkit.engines.checkpoint import Checkpoint, LoadedCheckpoint, _stretch, is_hub_id
from evalkit.engines.gpus import GPU
from evalkit.engines.options import CheckpointOptions, TransformersOptions
from evalkit.engines.prompts import bos_count, decide_opening, encode_prompt, ends_as_r1, is_r1_format
from evalkit.engines.rendering import CheckpointPrompts
from evalkit.engines.template_worker import render
from evalkit.engines.templates import (
    RenderedText,
    TemplateSettings,
    read_template,
    render_template,
    template_in_json,
    template_of,
)
from evalkit.engines.tokenizers import has_own_tokenizer, own_template
from evalkit.engines.transformers import engine as transformers_engine
from evalkit.engines.transformers import model_loading
from evalkit.engines.transformers.engine import TransformersEngine, _Queue
from evalkit.engines.transformers.model_loading import gpus_needed, loaded_bytes
from evalkit.engines.weights import fetch_weights, require_all_layers, weight_bytes
from evalkit.errors import EvalkitError
from evalkit.types import Message, Request, SamplingParams


def folder(path: Path, **files: Any) -> Path:
    """A folder with these files; `config__json` is config.json; what is no text is written as JSON."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / name.replace("__", ".").replace("_dash_", "-")).write_text(text)
    return path


# Names and files


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("org/m", True), ("Qwen/Qwen2.5-1.5B_x", True), ("m", False), ("a/b/c", False), ("/a/b", False), ("./a", False),
        ("../a", False), ("org/..", False), ("org/a..b", False), (".org/m", False), ("org/m ", False), ("0/1", True),
    ],
)  # fmt: skip
def test_what_is_an_id_of_the_hub(name: str, known: bool) -> None:
    assert is_hub_id(name) == known


def refused(model: str | Path, **options: Any) -> tuple[str, str]:
    with pytest.raises(EvalkitError) as caught:
        Checkpoint(str(model), **options)
    return caught.value.message, caught.value.hint


def test_what_is_no_checkpoint_is_told_apart(tmp_path: Path) -> None:
    message, hint = refused(tmp_path / "none")
    assert message == f"The checkpoint {tmp_path / 'none'} does not exist."
    assert "hub id such as" in hint
    for name in ("weights.gguf", "org/weights.gguf"):
        assert refused(name)[0] == f"{name} holds GGUF weights, which evalkit's own engines do not load."
    bare = folder(tmp_path / "bare")
    assert refused(bare) == (
        f"The folder {bare} holds no config.json, so it is no checkpoint.",
        "give the folder that `save_pretrained` wrote.",
    )
    assert refused(folder(tmp_path / "g", q__gguf=""))[0].startswith(f"{tmp_path / 'g'} holds GGUF weights")
    adapter = folder(tmp_path / "a", adapter_config__json={})
    assert refused(adapter) == (f"{adapter} is a LoRA adapter.", f"run it as CHECKPOINT --lora {adapter}.")
    for other in (folder(tmp_path / "n", model__nemo=""), folder(tmp_path / "p", params__json={})):
        assert refused(other)[0] == f"The folder {other} holds weights in another program's format and no config.json."
    assert refused(bare, revision="main", needs_weights=False) == (
        f"{bare} is a folder, which has no revisions.",
        "leave --revision out, or give the checkpoint's hub id.",
    )
    tokenizer = Checkpoint(str(bare), needs_weights=False)
    assert (tokenizer.has_config, tokenizer.vocabulary(), tokenizer.context_length()) == (False, None, None)
    os.mkfifo(bare / "pipe")
    assert refused(bare, needs_weights=False)[0] == f"{bare / 'pipe'} is not a regular file."
    (bare / "pipe").unlink()
    (bare / "link").symlink_to(tmp_path / "gone")
    assert refused(bare, needs_weights=False)[0] == f"{bare / 'link'} cannot be read: No such file or directory."
    there = Checkpoint("org/m", "main", True)
    assert (there.is_local, there.has_config, there.revision, there.trust_remote_code) == (False, True, "main", True)
    assert there.files() is None
    assert Checkpoint("org/m", "a" * 40).files() == []
    assert Checkpoint("org/m", "a" * 39).files() is None


def test_a_fingerprint_is_of_the_files_that_count(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", config__json={}, model__safetensors="abc", readme__md="x", own__py="y", t__jinja="z")
    one = Checkpoint(str(path))
    first = one.fingerprint()
    assert one.files() == [path, *sorted(path.iterdir())]
    assert (one.commit, one.loading) == (None, {"revision": None, "trust_remote_code": False})
    (path / "readme.md").write_text("other")
    (path / "own.py").write_text("other")
    (path / "sub.json").mkdir()
    assert one.fingerprint() == first
    seen = {first}
    for name in ("config.json", "model.safetensors", "t.jinja", "vocab.txt", "t.model", "w.bin", "w.pt", "w.gguf"):
        (path / name).write_text("changed")
        seen.add(one.fingerprint())
    assert len(seen) == 9
    (path / "w.pt").rename(path / "v.pt")
    assert one.fingerprint() not in seen, "names count"
    assert one.code_fingerprint() is None, "code that is not run"
    code = Checkpoint(str(path), trust_remote_code=True)
    wanted = json.dumps([["own.py", hashlib.sha256(b"other").hexdigest()]]).encode()
    assert code.code_fingerprint() == hashlib.sha256(wanted).hexdigest()
    (path / "own.py").unlink()
    assert code.code_fingerprint() is None
    assert one.files() == [path, *sorted(p for p in path.iterdir() if p.is_file())]


def test_of_large_files_some_blocks_are_read(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", config__json={})
    weights, block = path / "model.safetensors", 1 << 20

    def after(offset: int, size: int) -> str:
        with weights.open("wb") as stream:
            stream.truncate(size)
            if offset >= 0:
                stream.seek(offset)
                stream.write(b"x")
        return Checkpoint(str(path)).fingerprint()

    small = 64 * block
    assert len({after(offset, small) for offset in (-1, 0, block, 33 * block + 7, small - 1)}) == 5, "all of it"
    large = 66 * block
    whole = after(-1, large)
    assert after(block, large) == after(63 * block + 5, large) == whole
    assert len({whole, *(after(o, large) for o in (0, 64 * block, 65 * block, large - 1))}) == 5


@pytest.mark.parametrize(
    ("scaling", "factor"),
    [
        (None, 1.0), ({}, 1.0), ([4], 1.0), ({"rope_type": "linear", "factor": 4}, 4.0),
        ({"type": "linear", "factor": 1}, 1.0),
        ({"type": "linear", "factor": 0.5}, 1.0), ({"type": "linear", "factor": "4"}, 1.0), ({"type": "linear"}, 1.0),
        ({"type": "dynamic", "factor": 4}, 1.0), ({"type": "yarn", "factor": 4}, 4.0),
        ({"type": "yarn", "factor": 4, "original_max_position_embeddings": 50}, 2.0),
        ({"type": "yarn", "factor": 4, "original_max_position_embeddings": 10}, 1.0),
        ({"type": "linear", "factor": 4, "original_max_position_embeddings": 50}, 4.0),
    ],
)  # fmt: skip
def test_how_much_positions_are_stretched(scaling: Any, factor: float) -> None:
    config = SimpleNamespace(max_position_embeddings=100, rope_scaling=scaling, model_type="x")
    assert _stretch(config) == factor
    assert _stretch(SimpleNamespace(max_position_embeddings=100, rope_parameters=scaling, model_type="x")) == factor
    assert _stretch(SimpleNamespace(max_position_embeddings=100, rope_scaling=scaling, model_type="gemma3_text")) == 1.0


# Weights


def local(path: Path, **config: Any) -> Any:
    """A checkpoint whose config is at hand."""
    made: Any = Checkpoint(str(folder(path, config__json={})))
    text = SimpleNamespace(**config)
    made.config = SimpleNamespace(dtype=config.get("dtype"), get_text_config=lambda: text, **config_of(config))
    return made


def config_of(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name == "quantization_config"}


def safetensors(path: Path, *names: str) -> None:
    header = json.dumps({name: {"data_offsets": [0, 0]} for name in names}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def test_the_size_and_the_files_of_weights(tmp_path: Path) -> None:
    one = local(tmp_path / "m")
    assert weight_bytes(one) is None
    with pytest.raises(EvalkitError, match="holds no weights"):
        fetch_weights(one)
    path = Path(one.model)
    (path / "odd.pt").write_bytes(bytes(5))
    assert (weight_bytes(one), fetch_weights(one)) == (5, []), "by another name: transformers may find them"
    for name, size in (("pytorch_model.bin", 7), ("a.bin", 2)):
        (path / name).write_bytes(bytes(size))
    assert (weight_bytes(one), fetch_weights(one)) == (9, [path / "pytorch_model.bin"])
    (path / "model.safetensors").write_bytes(bytes(11))
    assert (weight_bytes(one), fetch_weights(one)) == (11, [path / "model.safetensors"])
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "b.safetensors", "c": "a.safetensors", "d": "b.safetensors"}}))
    with pytest.raises(EvalkitError) as caught:
        fetch_weights(one)
    assert caught.value.message == f"{path} lacks a.safetensors, one of its 2 files of weights."
    for name in ("a.safetensors", "b.safetensors"):
        (path / name).write_bytes(bytes(1))
    assert fetch_weights(one) == [path / "a.safetensors", path / "b.safetensors"]
    for content in ("{", "[]", "{}", '{"weight_map": [1]}'):
        index.write_text(content)
        with pytest.raises(EvalkitError, match=r"index.json is no index of weights"):
            fetch_weights(one)
    for name in ("../a.safetensors", "a\\b.safetensors", "a.bin"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(EvalkitError, match="names files that are not of this checkpoint"):
            fetch_weights(one)
    (tmp_path / "h").mkdir()
    flax = local(tmp_path / "h")
    (tmp_path / "h" / "flax.msgpack").touch()
    assert (weight_bytes(flax), fetch_weights(flax)) == (None, [])


def test_all_layers_have_to_be_there(tmp_path: Path) -> None:
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    safetensors(files[0], "model.layers.0.mlp.weight", "model.embed.weight", "model.players.9.x")
    safetensors(files[1], "transformer.h.2.attn", "blocks.1.x")
    require_all_layers(local(tmp_path / "m", num_hidden_layers=3), files)
    require_all_layers(local(tmp_path / "m", num_hidden_layers=None), files)
    require_all_layers(local(tmp_path / "m", num_hidden_layers=9), [])
    with pytest.raises(EvalkitError) as caught:
        require_all_layers(local(tmp_path / "m", num_hidden_layers=4), files)
    assert caught.value.message == f"The config of {tmp_path / 'm'} asks for 4 layers, and its weights have 3."


def test_how_many_gpus_the_weights_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = local(tmp_path / "m", dtype="bfloat16")
    monkeypatch.setattr(model_loading, "weight_bytes", lambda checkpoint: 1700)
    assert loaded_bytes(one, torch.bfloat16) == 1700
    assert loaded_bytes(one, torch.float32) == 3400
    assert loaded_bytes(local(tmp_path / "m"), torch.bfloat16) == 850, "float32 where the config does not say"
    assert loaded_bytes(local(tmp_path / "m", dtype="odd"), torch.float32) == 1700
    quantised = local(tmp_path / "m", dtype="bfloat16", quantization_config={"quant_method": "awq"})
    assert loaded_bytes(quantised, torch.float32) == 1700
    assert model_loading.WEIGHTS_SHARE == 0.85
    for free, count in (([2001], 1), ([1100, 1100], 2), ([1100, 1001], 2), ([700, 700, 700], 3), ([9000, 9000], 1)):
        assert gpus_needed(one, torch.bfloat16, [GPU(str(i), free=f) for i, f in enumerate(free)]) == count
    assert gpus_needed(one, torch.bfloat16, []) == 1
    assert gpus_needed(one, torch.bfloat16, [GPU("0", free=1), GPU("1")]) == 1, "one tells nothing"
    big = 10**9
    monkeypatch.setattr(model_loading, "weight_bytes", lambda checkpoint: 34 * big)
    with pytest.raises(EvalkitError) as caught:
        gpus_needed(one, torch.bfloat16, [GPU("0", "L4", free=20 * big), GPU("1", "L4", free=20 * big)])
    assert caught.value.message == f"The weights of {tmp_path / 'm'} take 34 GB, and 2 x L4 have room for 34 GB."


@pytest.mark.parametrize(
    ("config", "method"),
    [({"quant_method": "no-such"}, "no-such"), ({"bits": 4}, "of no named kind"), (None, None)],
)
def test_weights_that_cannot_be_run_here(config: Any, method: str | None, tmp_path: Path) -> None:
    fields = {} if config is None else {"quantization_config": config}
    one = local(tmp_path / "m", **fields)
    if method is None:
        model_loading.require_loadable(one)
        return
    with pytest.raises(EvalkitError) as caught:
        model_loading.require_loadable(one)
    assert f"are quantised ({method}), which the transformers engine cannot run here: " in caught.value.message


# Adapters


def test_what_an_adapter_says_of_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"r": 8, "rank_pattern": {"q": 40, "v": "16"}, "base_model_name_or_path": "org/base", "revision": "v1"}
    path = folder(tmp_path / "a", adapter_config__json=config, w__bin="1")
    one = Adapter(str(path))
    assert (one.rank, one.base, one.base_revision, one.commit) == (40, "org/base", "v1", None)
    assert (one.name, one.pinned_name, one.tokenizer, one.template) == (str(path), str(path), None, None)
    wanted = b"".join(p.name.encode() + p.read_bytes() for p in sorted(path.iterdir()))
    (path / "folder").mkdir()
    assert one.fingerprint() == hashlib.sha256(wanted).hexdigest()
    (path / "chat_template.jinja").write_text("own")
    assert (one.tokenizer, one.template) == (None, "own")
    (path / "tokenizer.json").write_text("{}")
    assert (one.tokenizer, one.template) == (str(path), None)
    for model, told in (("org/base", False), ("org/other", True), (str(tmp_path), False)):
        caplog.clear()
        one.tell_other_base(model)
        assert bool(caplog.messages) == told
    assert [reserved_rank(SimpleNamespace(rank=r, name="a")) for r in (1, 8, 9, 40, 512)] == [8, 8, 16, 64, 512]  # type: ignore[arg-type]
    with pytest.raises(EvalkitError) as caught:
        reserved_rank(SimpleNamespace(rank=513, name="a"))  # type: ignore[arg-type]
    assert caught.value.message == "The LoRA adapter a has rank 513, but vLLM takes at most 512."
    bare = Adapter(str(folder(tmp_path / "b", adapter_config__json={"r": 4, "revision": ""})))
    assert (bare.rank, bare.base, bare.base_revision) == (4, None, None)
    for content in ("{", "[]", "{}", '{"r": "x"}', '{"r": 4, "rank_pattern": [1]}'):
        broken = folder(tmp_path / "c", adapter_config__json=content)
        with pytest.raises(EvalkitError, match=r"is no LoRA adapter: its adapter_config.json cannot be read"):
            Adapter(str(broken))


def test_an_adapter_in_place_of_a_model_is_put_on_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = TransformersOptions(revision=None, batch_size=3)
    base = folder(tmp_path / "base", config__json={})
    own = folder(tmp_path / "a", adapter_config__json={"r": 4, "base_model_name_or_path": str(base), "revision": "v2"})
    with caplog.at_level(logging.INFO):
        model, found = split_adapter(str(own), options)
    assert (model, found) == (str(base), TransformersOptions(batch_size=3, lora=str(own))), "a folder has none"
    assert caplog.messages == [f"{own} is a LoRA adapter: it is put on {base}"]
    with pytest.raises(EvalkitError, match=re.escape(f"{own} is a folder, which has no revisions.")):
        split_adapter(str(own), replace(options, revision="v1"))
    given = TransformersOptions(lora="x")
    assert split_adapter(str(own), given) == (str(own), given)
    assert split_adapter(str(base), options) == (str(base), options)
    assert split_adapter("no such", options) == ("no such", options)
    both = folder(tmp_path / "both", adapter_config__json={}, config__json={})
    assert split_adapter(str(both), options) == (str(both), options)
    for named, message in (
        (None, "is a LoRA adapter that does not name its checkpoint."),
        ("/gone/base", "is a LoRA adapter of /gone/base, which is not there."),
    ):
        folder(own, adapter_config__json={"r": 4, "base_model_name_or_path": named})
        with pytest.raises(EvalkitError) as caught:
            split_adapter(str(own), options)
        assert caught.value.message == f"{own} {message}"
        assert caught.value.hint == f"run it as CHECKPOINT --lora {own}."


def test_tokenizers_and_templates_beside_an_adapter(tmp_path: Path) -> None:
    assert not has_own_tokenizer(tmp_path)
    assert own_template(tmp_path) is None
    (tmp_path / "chat_template.json").write_text('{"chat_template": "of JSON"}')
    assert own_template(tmp_path) == "of JSON"
    (tmp_path / "chat_template.jinja").write_text("of Jinja")
    assert own_template(tmp_path) == "of Jinja"
    for name in ("tokenizer.json", "tokenizer.model", "tekken.json"):
        (tmp_path / name).touch()
        assert has_own_tokenizer(tmp_path)
        (tmp_path / name).unlink()


# Templates


def test_which_template_applies(tmp_path: Path) -> None:
    none, one = SimpleNamespace(chat_template=None), SimpleNamespace(chat_template="own")
    several = SimpleNamespace(chat_template={"default": "d", "tool": "t"})
    given, named = TemplateSettings("given"), TemplateSettings("tool")
    assert [template_of(t) for t in (none, one, several, SimpleNamespace())] == [None, "own", "d", None]
    assert [template_of(t, given) for t in (none, one, several)] == ["given", "given", "given"]
    assert (template_of(several, named), template_of(one, named)) == ("t", "tool")
    assert template_of(one, TemplateSettings("")) == ""
    with pytest.raises(EvalkitError) as caught:
        template_of(SimpleNamespace(chat_template={"b": "1", "a": "2"}))
    assert caught.value.message == "The checkpoint has several chat templates and no default: a, b."
    path = tmp_path / "t.jinja"
    path.write_text("text")
    assert (read_template(str(path)), read_template("tool", ["tool"])) == ("text", "tool")
    path.with_suffix(".json").write_text(
        '{"chat_template": [{"name": "x", "template": "1"}, {"name": "default", "template": "2"}]}'
    )
    assert read_template(str(path.with_suffix(".json"))) == "2"
    path.write_bytes(b"\xff")
    with pytest.raises(EvalkitError) as caught:
        read_template(str(path), ["a", "b"])
    assert caught.value.message == f"The chat template {path} cannot be read: it is not text."
    assert caught.value.hint == "give a Jinja file. The checkpoint's own are a, b."
    with pytest.raises(EvalkitError) as caught:
        read_template(str(tmp_path / "none"))
    assert (caught.value.message, caught.value.hint) == (
        f"The chat template {tmp_path / 'none'} cannot be read: No such file or directory.", "give a Jinja file."
    )  # fmt: skip
    for wrong in ("{", "{}", "[]", '{"chat_template": [{"name": "x", "template": "1"}]}'):
        with pytest.raises(EvalkitError, match=r"x.json holds no chat template"):
            template_in_json(wrong, "x.json")


def rendered(template: str, most: int = 100, **variables: Any) -> dict[str, Any]:
    return render({"template": template, "variables": variables, "date": "2026-07-06", "most": most})


def test_what_a_template_may_do() -> None:
    assert rendered("a{{ x }}b", x=3) == {"text": "a3b", "dated": False}
    assert rendered("{{ strftime_now('%d %b %Y') }}") == {"text": "06 Jul 2026", "dated": True}
    assert rendered("{{ x | tojson }}", x={"é": [1, None]}) == {"text": '{"é": [1, null]}', "dated": False}
    assert rendered("{{ x | tojson(indent=1) }}", x=[1])["text"] == "[\n 1\n]"
    assert rendered("{% generation %}a{% endgeneration %}b")["text"] == "ab"
    assert (
        rendered("{% for i in x %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", x=[1, 2, 3])["text"] == "1"
    )
    assert rendered("a\n  {% if true %}\nb\n  {% endif %}\nc")["text"] == "a\nb\nc", "lines of blocks leave nothing"
    assert rendered("{{ x }}{{ x }}", 10, x="12345") == {"text": "1234512345", "dated": False}
    assert rendered("{{ x }}{{ x }}", 9, x="12345") == {"longer": True}
    with pytest.raises(TemplateError, match="no system message"):
        rendered("{{ raise_exception('no system message') }}")
    with pytest.raises(TemplateError):
        rendered("{{ x.append(2) }}", x=[1])


def test_what_a_template_is_given_and_how_much_it_may_make() -> None:
    tokenizer = SimpleNamespace(
        bos_token="<s>", eos_token=3, special_tokens_map={"bos_token": "<b>", "eot": "<e>", "x": ["y"]}
    )
    settings = TemplateSettings(variables={"tools": "own", "messages": "not taken"}, date="2026-07-06")
    names = (
        "bos_token",
        "eos_token",
        "eot",
        "x",
        "pad_token",
        "tools",
        "documents",
        "add_generation_prompt",
        "messages",
    )
    template = "|".join(f"{{{{ {name} }}}}" for name in names) + "|{{ strftime_now('%d') }}"
    found = render_template(template, tokenizer, ASKED, settings, add_generation_prompt=False)
    message = "[{'role': 'user', 'content': '1 + 1?'}]"
    assert found == RenderedText(f"<b>|3|<e>|||own|None|False|{message}|06", True)
    assert render_template("{{ add_generation_prompt }}", tokenizer, ASKED).text == "True"
    most = 1_000_000 + 4 * len("1 + 1?")
    assert len(render_template(f"{{{{ 'x' * {most} }}}}", tokenizer, ASKED).text) == most
    for template, reason in (
        (f"{{{{ 'x' * {most + 1} }}}}", "it makes more than 1,000,024 characters of 1 messages"),
        ("{{ raise_exception('No system message.') }}", "No system message"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(EvalkitError) as caught:
            render_template(template, tokenizer, ASKED)
        assert caught.value.message == f"The checkpoint's chat template failed: {reason}."


ASKED = [Message(role="user", content="1 + 1?")]


def fixed(answer: bool) -> Any:
    return lambda text: answer


@pytest.mark.parametrize(
    ("text", "asked", "r1", "opening"),
    [
        ("q", "auto", False, ("", "unopened", False)), ("q", "auto", True, ("<think>\n", "open", True)),
        (None, "auto", True, ("", "unopened", False)), ("q<think>\n", "auto", True, ("<think>\n", "open", False)),
        ("q<think>\n", "none", True, ("<think>\n", "open", False)), ("q", "none", True, ("", "unopened", False)),
        ("q", "", True, ("", "unopened", False)), ("q<think></think>", "auto", True, ("", "closed", False)),
        ("q<think></think>", "<think>\n", True, ("", "closed", False)),
        ("q", "<think>\n", False, ("<think>\n", "open", True)),
        (None, "<think>\n", False, ("<think>\n", "open", True)), ("q", "So ", False, ("So ", "unopened", True)),
        ("q<think>\n", "So ", False, ("<think>\nSo ", "open", True)), (None, "So ", False, ("So ", "unopened", True)),
        ("q<think>\n", "<think>\n", False, ("<think>\n", "open", False)),
    ],
)  # fmt: skip
def test_how_a_response_begins(text: str | None, asked: str, r1: bool, opening: tuple[Any, ...]) -> None:
    found = decide_opening(text, asked, fixed(r1))
    assert (found.prefix, found.thinking, found.added) == opening
    assert found.reason


def test_templates_of_r1s_family() -> None:
    end = "q<｜Assistant｜>"
    assert ends_as_r1(end + " \n")
    assert not ends_as_r1(end + "<think>")
    assert is_r1_format(end, "…And 1 + 2?…")
    assert not is_r1_format(end, "…</think>…And 1 + 2?…"), "it keeps earlier thinking"
    assert not is_r1_format(end, "…"), "the question is not there"
    assert not is_r1_format("q", "And 1 + 2?")


class Characters:
    """A tokenizer: a token a character; it puts 1 in front and 2 at the end where special tokens are wanted."""

    bos_token_id, eos_token_id, eos_token = 1, 2, "$"

    def __init__(self, front: Sequence[int] = (1,), back: Sequence[int] = (2,), always: Sequence[int] = ()) -> None:
        self.front, self.back, self.always = list(front), list(back), list(always)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [2 if c == "$" else ord(c) for c in text]
        whole = [*self.front, *ids, *self.back] if add_special_tokens else [*ids, *self.always]
        return {"input_ids": whole}


def test_the_ids_of_a_prompt() -> None:
    assert encode_prompt(Characters(), "ab", special=False) == (97, 98)
    assert encode_prompt(Characters(), "ab", special=True) == (1, 97, 98), "what it appends ends no prompt"
    assert encode_prompt(Characters(front=(1, 7)), "ab", special=True) == (1, 7, 97, 98)
    assert encode_prompt(Characters(always=(2, 2)), "ab", special=False) == (97, 98)
    assert encode_prompt(Characters(), "ab$ ", special=False) == (97, 98, 2, 32)
    assert encode_prompt(Characters(), "ab$", special=False) == (97, 98, 2), "an end that the text has stays"
    merged: Any = Characters()
    merged.front, merged.always = [], []
    assert encode_prompt(merged, "ab", special=True) == (97, 98)
    assert [bos_count(Characters(), ids) for ids in ((), (1,), (1, 1, 5), (5, 1))] == [0, 1, 2, 0]
    nothing: Any = SimpleNamespace(bos_token_id=None)
    assert bos_count(nothing, [None, 1]) == 0  # type: ignore[list-item]


# The transformers engine, on a tiny checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny"), transformers.Qwen2Config(**SIZE))


def engine_of(path: Any, **options: Any) -> TransformersEngine:
    return TransformersEngine(
        path if isinstance(path, tuple) else str(path), TransformersOptions(device="cpu", **options)
    )


def asked(text: str = "1 + 1?", name: str = "p", prefix: str = "", **params: Any) -> Request:
    sampling = SamplingParams(**{"temperature": 0.0, "max_tokens": 8, **params})
    return Request("t", name, 0, (Message(role="user", content=text),), sampling, prefix)


def test_what_is_recorded_of_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    engine = engine_of(tiny)
    base = {
        "backend": "transformers", "model": str(tiny), "fingerprint": Checkpoint(str(tiny)).fingerprint(),
        "dtype": "float32", "max_model_len": 256, "stop_repetition": False,
    }  # fmt: skip
    assert engine.identity() == base
    assert engine.environment() == {
        "torch": torch.__version__, "transformers": transformers.__version__, "device": "cpu", "dtype": "float32",
        "gpus": 0, "replicas": 1, "threads": torch.get_num_threads(),
    }  # fmt: skip
    assert engine.files() == Checkpoint(str(tiny)).files()
    template = tmp_path / "own.jinja"
    template.write_text("{{ strftime_now('%Y') }}{{ messages[-1].content }}{{ x }}")
    options = {"chat_template": str(template), "chat_template_arg": ("x=1",), "end_token": ("<think>",),
               "max_model_len": 99, "stop_repetition": True, "dtype": "bfloat16", "tokenizer": str(tiny)}  # fmt: skip
    other = engine_of(tiny, **options)
    digest = hashlib.sha256()
    for path in sorted(tiny.iterdir()):
        if path.suffix in (".json", ".jinja", ".model", ".txt"):
            digest.update(path.name.encode() + path.read_bytes())
    assert other.identity() == {
        **base, "dtype": "bfloat16", "max_model_len": 99, "stop_repetition": True, "tokenizer": digest.hexdigest(),
        "chat_template_sha256": hashlib.sha256(template.read_bytes()).hexdigest(), "chat_template_args": {"x": 1},
        "template_date": "2026-01-01", "end_token": ["<think>"],
    }  # fmt: skip
    assert other.files() is None
    assert sorted(other.endings.tokens) == sorted({*engine.endings.tokens, 260})
    assert sorted(engine.endings.tokens) == [35, 37, 38, 259], "the generation config's and the tokenizer's"
    prompt = other.render(asked())
    assert (prompt.text, prompt.dated) == ("20261 + 1?1", True)
    prefixed = engine.render(asked(prefix="<think>\n"))
    assert (prefixed.text[-8:], prefixed.prefix) == ("<think>\n", "<think>\n")
    with pytest.raises(EvalkitError, match="is not YYYY-MM-DD"):
        CheckpointPrompts(Checkpoint(str(tiny)), CheckpointOptions(template_date="today"))


def test_a_model_that_is_loaded_is_left_as_it_was(tiny: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    model.train()
    config, attention = model.generation_config, model.config._attn_implementation
    engine = engine_of((model, tokenizer))
    assert (engine.replicas, engine.gpus, engine.files()) == (1, 0, None)
    identity = engine.identity()
    checkpoint = LoadedCheckpoint(model, tokenizer)
    assert identity["fingerprint"] == checkpoint.fingerprint()
    assert identity["tokenizer"] == checkpoint.tokenizer_fingerprint()
    assert (identity["model"], identity["dtype"], identity["max_model_len"]) == (str(tiny), "float32", 256)
    [found] = engine.generate(iter([asked()]))
    assert found.finish_reason in ("stop", "length")
    assert not model.training
    engine.close()
    engine.close()
    assert model.training
    assert model.generation_config is config
    assert model.config._attn_implementation == attention
    with torch.no_grad():
        model.model.norm.weight[0] += 1
    assert checkpoint.fingerprint() != identity["fingerprint"]
    tokenizer.chat_template = "other"
    assert checkpoint.tokenizer_fingerprint() != identity["tokenizer"]
    for options, words in (({"tokenizer": "x"}, "comes with its tokenizer"), ({"revision": None}, "")):
        if words:
            with pytest.raises(EvalkitError, match=words):
                engine_of((model, tokenizer), **options)


def queue_of(engine: TransformersEngine, *requests: Request) -> tuple[_Queue, list[bool]]:
    left, waits = list(requests), []

    def draw(wait: bool) -> Request | None:
        waits.append(wait)
        return left.pop(0) if left else None

    return _Queue(engine, draw), waits


def test_rows_are_drawn_as_there_is_room(tiny: Path) -> None:
    engine = engine_of(tiny, max_model_len=30)
    empty = asked("x" * 40, "long")
    queue, waits = queue_of(engine, asked(name="a"), empty, asked(name="b", max_tokens=100), asked(name="c"))
    first = queue.peek()
    assert first is not None
    assert (first.request.problem_id, first.limit, queue.running) == ("a", 8, 0)
    assert waits == [True]
    rows = queue.take(2)
    assert [(row.request.problem_id, row.limit) for row in rows] == [
        ("a", 8),
        ("b", 30 - len(rows[1].prompt.token_ids)),
    ]
    assert (queue.running, waits) == (2, [True, False, False])
    [refused] = queue.refusals()
    tokens = len(engine.render(empty).token_ids)
    assert refused.error == f"The prompt has {tokens} tokens, which leaves no room in a context of 30."
    assert (refused.problem_id, refused.finish_reason, refused.text) == ("long", "error", "")
    assert (refused.prompt_tokens, refused.completion_tokens, refused.seconds, refused.prefix) == (tokens, 0, 0.0, "")
    assert list(queue.refusals()) == []
    rows[0].tokens, rows[1].tokens = [1], [2]
    queue.put_back(rows)
    assert (queue.running, [row.tokens for row in rows]) == (0, [[], []])
    again = queue.take(9)
    assert [row.request.problem_id for row in again] == ["a", "b", "c"]
    assert waits[3:] == [False, False]
    queue.running = 0
    assert queue.take(1) == []
    assert waits[-1], "nothing runs: it waits for one"
    exact = engine_of(tiny, max_model_len=len(engine.render(asked()).token_ids))
    queue, _ = queue_of(exact, asked())
    assert queue.peek() is None
    assert len(list(queue.refusals())) == 1


def test_how_many_rows_fit_the_memory(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(tiny)
    engine.load()
    free: list[int | None] = [None]
    monkeypatch.setattr(model_loading, "free_memory", lambda device: free[0])
    assert (transformers_engine._MOST_ROWS, transformers_engine._MEMORY_SHARE) == (
        {"cuda": 256, "mps": 32, "cpu": 64},
        0.6,
    )
    assert engine._most_rows(0) == engine._most_rows(100) == 64
    free[0] = 256 * 1000  # of 256 bytes a token: 600 tokens of the 1,000 are for the cache
    assert engine._most_rows(0) == 64, "nothing is known of lengths"
    assert [engine._most_rows(n) for n in (1, 10, 60, 100, 601, 5000)] == [64, 60, 10, 6, 1, 1]
    engine.reserve(50)
    assert [engine._most_rows(n) for n in (0, 10, 60)] == [12, 12, 10]
    engine.reserve(100_000)
    assert engine._longest() == 256, "no longer than the context"
    assert engine._most_rows(0) == 2
    assert engine_of(tiny, batch_size=3)._most_rows(10**9) == 3
    fresh = engine_of(tiny)
    assert fresh._longest() == 0


def test_devices_and_types_that_there_are_not(tiny: Path) -> None:
    for options, words in (
        ({"dtype": "int8"}, "The dtype int8 is not one to compute in."), ({"dtype": "nn"}, "The dtype nn is not one"),
    ):  # fmt: skip
        with pytest.raises(EvalkitError, match=words):
            engine_of(tiny, **options).identity()
    assert engine_of(tiny, data_parallel=3).replicas == 3
    assert engine_of(tiny, data_parallel=3).gpus == 0
    assert engine_of(tiny, data_parallel=1).replicas == 1
    ray = engine_of(tiny, ray="auto")
    assert ray.gpus == 0
    ray._facts["gpus"] = 5
    assert ray.gpus == ray.environment()["gpus"] == 5
