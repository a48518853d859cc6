"""What the model sees, to the token: templates and their limits, the beginning of a response, special tokens."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import evalkit, told
from template_families import FAMILIES
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from evalkit import EvalkitError, Message
from evalkit.engines import open_engine
from evalkit.engines.adapter import Adapter
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.endings import end_token_ids, find_endings, require_end
from evalkit.engines.prompts import PromptRenderer, bos_count, decide_opening, render_prompt
from evalkit.engines.templates import TemplateSettings, read_template, render_template, template_of
from evalkit.engines.tokenizers import load_tokenizer

QUESTION: list[Message] = [{"role": "user", "content": "What is 1 + 1?"}]
BY_NAME = {family.name: family for family in FAMILIES}
SPECIAL = ("<bos>", "<eos>", "<think>", "</think>", "<|im_start|>", "<|im_end|>")
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHATML = BY_NAME["Qwen3-Instruct-2507"].template


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, and a tokenizer that puts a BOS before everything by itself, as Llama's does."""
    return byte_tokenizer("<bos> $A")


def byte_tokenizer(pattern: str) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = TemplateProcessing(single=pattern, special_tokens=[("<bos>", 0), ("<eos>", 1)])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[2:])})
    return made


class TestTokens:
    def test_the_template_writes_the_only_bos(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = PLAIN_TEMPLATE
        prompt = render_prompt(tokenizer, QUESTION, "<think>\n")
        assert prompt.text == "<bos><|user|>What is 1 + 1?<|assistant|><think>\n"
        assert prompt.prefix == "<think>\n"
        assert bos_count(tokenizer, prompt.token_ids) == 1
        assert tokenizer.decode(prompt.token_ids) == prompt.text

    def test_a_doubled_bos_is_counted(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = "{{ bos_token }}" + PLAIN_TEMPLATE
        assert bos_count(tokenizer, render_prompt(tokenizer, QUESTION, "").token_ids) == 2

    def test_a_base_model_gets_the_text_and_its_own_bos(self, tokenizer: PreTrainedTokenizerFast) -> None:
        prompt = render_prompt(tokenizer, QUESTION, "auto")
        assert prompt.text == "What is 1 + 1?\n"
        assert bos_count(tokenizer, prompt.token_ids) == 1
        assert prompt.opening is not None
        assert str(prompt.opening) == "none (there is no chat template)"

    @pytest.mark.parametrize("pattern", ["<bos> $A <eos>", "$A <eos>"])
    def test_an_end_that_the_tokenizer_appends_ends_no_prompt(self, pattern: str) -> None:
        tokenizer = byte_tokenizer(pattern)
        assert tokenizer("a")["input_ids"][-1] == 1
        prompt = render_prompt(tokenizer, QUESTION, "")
        assert 1 not in prompt.token_ids
        assert bos_count(tokenizer, prompt.token_ids) == pattern.count("<bos>")
        assert tokenizer.decode(prompt.token_ids[pattern.count("<bos>") :]) == prompt.text

    def test_a_token_that_the_model_does_not_know_is_one_sentence(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = CHATML
        with pytest.raises(EvalkitError, match=r"The prompt has token .*, but the model knows 5 tokens"):
            PromptRenderer(tokenizer, vocabulary=5).prompt(QUESTION)


class TestResponsePrefix:
    @pytest.mark.parametrize(
        ("text", "asked", "prefix", "state"),
        [
            ("…<think>\n", "<think>\n", "<think>\n", "open"),
            ("…<think>", "<think>\n", "<think>", "open"),
            ("…<think>\n", "none", "<think>\n", "open"),
            ("…<think>\n", "Well, ", "<think>\nWell, ", "open"),
            ("…<think>\n\n</think>\n\n", "<think>\n", "", "closed"),
            ("…<think>\n\n</think>\n\n", "auto", "", "closed"),
            ("…</think>", "Well, ", "Well, ", "unopened"),
            ("…", "<think>\n", "<think>\n", "open"),
            ("…", "auto", "", "unopened"),
            ("…", "none", "", "unopened"),
            ("…<｜Assistant｜>", "auto", "<think>\n", "open"),
            ("…<｜Assistant｜>", "none", "", "unopened"),
            (None, "auto", "", "unopened"),
        ],
    )
    def test_what_is_added_to_what_the_template_made(
        self, text: str | None, asked: str, prefix: str, state: str
    ) -> None:
        opening = decide_opening(text, asked, lambda prompt: prompt.endswith("<｜Assistant｜>"))
        assert (opening.prefix, opening.thinking) == (prefix, state)
        assert opening.reason

    def test_a_prefix_behind_an_opened_tag_stands_there_once(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = PLAIN_TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n")
        assert render_prompt(tokenizer, QUESTION, "<think>\n").text.count("<think>") == 1
        assert render_prompt(tokenizer, QUESTION, "").prefix == "<think>\n", "open whoever opened it"
        assert render_prompt(tokenizer, QUESTION, "Well, ").text.endswith("<|assistant|><think>\nWell, ")

    @pytest.mark.parametrize(("template", "added"), [("DeepSeek-R1", True), ("DeepSeek-V3", False), ("Qwen3", False)])
    def test_r1s_family_is_known_by_what_its_template_does(
        self, tokenizer: PreTrainedTokenizerFast, template: str, added: bool
    ) -> None:
        tokenizer.chat_template = BY_NAME[template].template
        prompt = render_prompt(tokenizer, QUESTION)
        assert prompt.text.endswith("<think>\n") == added
        assert prompt.opening is not None
        assert prompt.opening.added == added

    def test_nemotron_is_told_in_the_system_prompt_not_to_think(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = BY_NAME["Nemotron Nano 2"].template
        system = Message(role="system", content="/no_think")
        prompt = render_prompt(tokenizer, [system, *QUESTION])
        assert prompt.text.endswith("<think></think>")
        assert (prompt.prefix, prompt.opening and prompt.opening.thinking) == ("", "closed")

    @pytest.mark.slow
    def test_the_decision_is_shown_recorded_and_overridden(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", chat_template=CHATML)
        common = ("run", folder, "-t", "arithmetic", "--limit", 2, "-n", 1, "--max-tokens", 8)
        shown = evalkit(*common, "--dry-run").stdout
        assert "thinking: unopened" in shown
        assert "response prefix: none (the chat template neither opens nor closes thinking" in shown
        done = evalkit(*common, "-o", tmp_path / "auto")
        assert "response prefix: none" in done.stderr
        auto = json.loads((tmp_path / "auto" / "run.json").read_text())
        assert auto["opening"]["added"] is False
        assert auto["identity"]["engine"]["response_prefix"] == "none"
        evalkit(*common, "--response-prefix", "<think>\n", "-o", tmp_path / "forced")
        forced = json.loads((tmp_path / "forced" / "run.json").read_text())
        assert (forced["opening"]["prefix"], forced["opening"]["added"]) == ("<think>\n", True)
        assert "response_prefix" not in forced["identity"]["engine"]
        other = evalkit(*common, "--response-prefix", "<think>\n", "-o", tmp_path / "auto", code=2)
        assert "other settings" in told(other)

    @pytest.mark.slow
    def test_thinking_that_the_template_closes_is_a_warning_with_the_switch(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", chat_template=BY_NAME["EXAONE 4"].template)
        common = ("run", folder, "-t", "arithmetic", "--limit", 1, "--dry-run", "--end-token", "\n")
        assert "warning: the chat template closes thinking" in (shown := evalkit(*common).stdout)
        assert "--chat-template-arg enable_thinking=true opens it" in shown
        opened = evalkit(*common, "--chat-template-arg", "enable_thinking=true").stdout
        assert "response prefix: '<think>\\n', by the chat template" in opened


class TestOptions:
    def test_variables_are_json_or_text_and_change_the_identity(self, tiny_checkpoint: Path) -> None:
        def identity(*arguments: str, **more: Any) -> dict[str, Any]:
            options = {"chat_template_arg": arguments, **more}
            return open_engine("transformers", tiny_checkpoint, options).identity()

        made = identity("enable_thinking=false", "budget=512", "style=plain", reasoning_effort="high")
        assert made["chat_template_args"] == {
            "enable_thinking": False,
            "budget": 512,
            "style": "plain",
            "reasoning_effort": "high",
        }
        assert "chat_template_args" not in identity()
        for wrong in ("enable_thinking", "messages=[]", "=1"):
            with pytest.raises(EvalkitError, match=r"enable_thinking|messages|NAME=VALUE"):
                identity(wrong)

    def test_a_mapping_is_as_good_as_texts(self, tiny_checkpoint: Path) -> None:
        options = {"chat_template_arg": {"enable_thinking": True, "style": "plain"}}
        made = open_engine("transformers", tiny_checkpoint, options).identity()
        assert made["chat_template_args"] == {"enable_thinking": True, "style": "plain"}

    @pytest.mark.slow
    def test_another_template_is_used_and_recorded(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "other.jinja").write_text("{{ messages[-1].content }} ->")
        common = ("run", tiny_checkpoint, "-t", "arithmetic", "--limit", 1, "--dry-run")
        assert " ->'" in evalkit(*common, "--chat-template", tmp_path / "other.jinja").stdout
        engine = open_engine("transformers", tiny_checkpoint, {"chat_template": str(tmp_path / "other.jinja")})
        assert len(engine.identity()["chat_template_sha256"]) == 64
        assert "cannot be read" in told(evalkit(*common, "--chat-template", tmp_path / "none.jinja", code=2))

    @pytest.mark.slow
    def test_another_tokenizer_is_used_and_recorded(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        bare = copy_of(tiny_checkpoint, tmp_path / "bare", without=("tokenizer", "chat_template"))
        common = ("run", bare, "-t", "arithmetic", "--limit", 1, "--dry-run")
        assert "could not be loaded: it has no tokenizer of its own" in told(evalkit(*common, code=2))
        assert "first prompt: '<|im_start|>" in evalkit(*common, "--tokenizer", tiny_checkpoint).stdout
        engine = open_engine("transformers", bare, {"tokenizer": str(tiny_checkpoint)})
        assert len(engine.identity()["tokenizer"]) == 64

    def test_a_date_in_the_prompt_is_fixed_and_part_of_the_identity(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", chat_template="{{ strftime_now('%d %b %Y') }}" + CHATML)

        def engine(**options: str) -> Any:
            return open_engine("transformers", folder, options)

        assert engine().identity()["template_date"] == "2026-01-01"
        assert engine(template_date="2025-07-04").prompts.renderer.prompt(QUESTION).text.startswith("04 Jul 2025")
        assert "template_date" not in open_engine("transformers", tiny_checkpoint).identity()
        with pytest.raises(EvalkitError, match="not YYYY-MM-DD"):
            engine(template_date="today")

    @pytest.mark.parametrize(
        ("family", "left"),
        [
            ("Qwen2.5", "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n"),
            ("Qwen3", "<|im_start|>user\n"),
            ("Gemma 2", "<start_of_turn>user\n"),
        ],
    )
    def test_an_empty_system_prompt_leaves_out_the_templates_own(
        self, tokenizer: PreTrainedTokenizerFast, family: str, left: str
    ) -> None:
        tokenizer.chat_template = BY_NAME[family].template
        nothing = Message(role="system", content="")
        text = render_prompt(tokenizer, [nothing, *QUESTION]).text.removeprefix("<bos>")
        assert text.startswith(left + QUESTION[0]["content"])

    @pytest.mark.slow
    def test_the_command_line_passes_an_empty_system_prompt_on(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", chat_template=BY_NAME["Qwen2.5"].template)
        common = ("run", folder, "-t", "arithmetic", "--limit", 1, "--dry-run")
        assert "the template's own system prompt" in evalkit(*common).stdout
        assert "the template's own system prompt" not in evalkit(*common, "--system-prompt", "").stdout


class TestLimits:
    """A template is a program of somebody else's."""

    def refused(self, template: str, **variables: Any) -> str:
        tokenizer = SimpleNamespace(bos_token=None)
        with pytest.raises(EvalkitError) as caught:
            render_template(template, tokenizer, QUESTION, TemplateSettings(variables=variables))
        return caught.value.message

    def test_one_that_refuses_says_why(self) -> None:
        assert self.refused("{{ raise_exception('no system message') }}").endswith("failed: no system message.")

    def test_one_that_loops_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("evalkit.engines.templates.SECONDS", 1.0)
        loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
        assert "did not end within 1 s" in self.refused(loop)

    @pytest.mark.parametrize(
        "template",
        [
            "{% for i in range(50000) %}{{ '" + "x" * 1000 + "' }}{% endfor %}",
            "{{ 'x' * 50000000 }}",
        ],
    )
    def test_one_that_makes_fifty_megabytes_is_stopped(self, template: str) -> None:
        assert "makes more than 1,000,0" in self.refused(template)

    def test_one_that_takes_all_memory_is_stopped(self) -> None:
        assert "ran out of its 1024 MB" in self.refused("{{ 'x' * 90000000000 }}")
        assert render_template("{{ 1 + 1 }}", SimpleNamespace(), QUESTION).text == "2", "the next one is served"

    def test_one_that_reaches_for_the_system_gets_nothing(self) -> None:
        assert "unsafe" in self.refused("{{ ''.__class__.__mro__ }}")

    def test_a_broken_one_is_one_sentence(self) -> None:
        assert "TemplateSyntaxError" in self.refused("{% if %}")

    @pytest.mark.slow
    def test_the_command_line_says_it_in_one_sentence(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", chat_template="{{ 'x' * 50000000 }}")
        assert "makes more than" in told(evalkit("run", folder, "-t", "arithmetic", "--dry-run", code=2))


class TestWhereTemplatesLie:
    def test_in_chat_template_json(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", without=("chat_template",))
        assert template_of(Checkpoint(str(folder)).tokenizer) is None
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHATML}))
        assert template_of(Checkpoint(str(folder)).tokenizer) == CHATML

    @pytest.mark.slow
    def test_in_a_folder_of_several(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", without=("chat_template",))
        (folder / "additional_chat_templates").mkdir()
        for name in ("chat", "tools"):
            (folder / "additional_chat_templates" / f"{name}.jinja").write_text(f"{name}: {CHATML}")
        common = ("run", folder, "-t", "arithmetic", "--limit", 1, "--dry-run")
        assert "several chat templates and no default: chat, tools" in told(evalkit(*common, code=2))
        assert "first prompt: 'tools: " in evalkit(*common, "--chat-template", "tools").stdout
        assert "are chat, tools" in evalkit(*common, "--chat-template", "toys", code=2).stderr

    def test_with_an_adapter(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text('{"r": 8}')
        assert (Adapter(str(adapter)).tokenizer, Adapter(str(adapter)).template) == (None, None)
        (adapter / "chat_template.jinja").write_text("adapter: " + CHATML)
        options = {"lora": str(adapter), "device": "cpu"}
        engine = vllm_engine(tiny_checkpoint, options)
        assert engine.prompts.renderer.prompt(QUESTION).text.startswith("adapter: ")
        shutil.copy(tiny_checkpoint / "tokenizer.json", adapter)
        shutil.copy(tiny_checkpoint / "tokenizer_config.json", adapter)
        shutil.copy(tiny_checkpoint / "config.json", adapter)
        engine = vllm_engine(tiny_checkpoint, options)
        assert engine.checkpoint.other_tokenizer == str(adapter)
        assert engine.prompts.renderer.prompt(QUESTION).text.startswith("adapter: ")

    def test_a_file_that_holds_none_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("{}")
        with pytest.raises(EvalkitError, match="holds no chat template"):
            read_template(str(tmp_path / "x.json"))


class TestWhatATemplateWants:
    PARTS = (
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}<{{ m.role }}>{{ part.text }}"
    )
    PARTS += "{% endif %}{% endfor %}{% endfor %}"

    def test_one_that_wants_parts_gets_them(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = self.PARTS
        assert render_prompt(tokenizer, QUESTION).text == "<user>What is 1 + 1?"

    def test_one_that_leaves_the_question_out_is_an_error(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.text }}{% endfor %}"
        with pytest.raises(EvalkitError, match="leaves the question out of the prompt"):
            render_prompt(tokenizer, QUESTION)

    def test_one_that_changes_the_question_is_left_alone(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = "{{ messages[0].content | upper }}"
        assert render_prompt(tokenizer, QUESTION).text == "WHAT IS 1 + 1?"


class TestMistralsOwnTokenizer:
    @pytest.fixture
    def folder(self, tiny_checkpoint: Path, tmp_path: Path) -> Path:
        folder = copy_of(tiny_checkpoint, tmp_path / "model", without=("tokenizer", "chat_template"))
        write_tekken(folder / "tekken.json")
        return folder

    def test_without_mistral_common_it_is_one_sentence(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mistral_common", None)
        monkeypatch.setattr("evalkit.engines.tokenizers.find_spec", lambda name: None)
        with pytest.raises(EvalkitError, match="needs the package mistral-common, which is not installed"):
            load_tokenizer(str(folder), {})

    def test_a_template_beside_it_is_preferred_whatever_is_installed(self, folder: Path, tiny_checkpoint: Path) -> None:
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(tiny_checkpoint / name, folder)
        assert "MistralCommon" not in type(load_tokenizer(str(folder), {})).__name__

    def test_with_it_the_prompt_is_mistral_commons(self, folder: Path) -> None:
        pytest.importorskip("mistral_common", reason="it pins an older numpy on Python 3.11: `pip install` it apart")
        tokenizer = load_tokenizer(str(folder), {})
        made = PromptRenderer(tokenizer)
        prompt = made.prompt([Message(role="user", content="Is [INST] text?")])
        assert prompt.text == "<s>[INST]Is [INST] text?[/INST]"
        assert prompt.token_ids.count(3) == 1, "what a user writes is no control token"
        assert prompt.opening is not None
        assert prompt.opening.thinking == "unopened"
        with pytest.raises(EvalkitError, match="takes no chat template"):
            PromptRenderer(tokenizer, TemplateSettings(variables={"a": 1})).prompt(QUESTION)


class TestEndings:
    @pytest.mark.slow
    def test_they_are_shown(self, tiny_checkpoint: Path) -> None:
        shown = evalkit("run", tiny_checkpoint, "-t", "arithmetic", "--limit", 1, "--dry-run").stdout
        assert "end tokens: 443 '<|im_end|>'; the chat template ends a turn with '<|im_end|>\\n'" in shown

    def test_a_turn_that_ends_with_no_end_token_is_an_error(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = CHATML
        wrong = find_endings(PromptRenderer(tokenizer), [1])
        assert "ends a turn with '<|im_end|>', which is not among the end tokens ('<eos>')" in wrong.fault
        with pytest.raises(EvalkitError, match="no response would end before max_tokens"):
            require_end(wrong)
        assert not find_endings(PromptRenderer(tokenizer), [1, 5]).fault

    def test_a_template_that_writes_no_end_is_left_alone(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = PLAIN_TEMPLATE
        assert not find_endings(PromptRenderer(tokenizer), [1]).fault
        tokenizer.chat_template = None
        assert find_endings(PromptRenderer(tokenizer), [1]).turn_end is None
        assert "names no end token" in find_endings(PromptRenderer(tokenizer), []).fault

    def test_a_header_is_not_the_end_of_a_turn(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
        turns = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
        header = "the next header, '<|user|>', is no end token: responses may not end"
        for behind in ("<|assistant|>", "{% if add_generation_prompt %}<|assistant|>{% endif %}"):
            tokenizer.chat_template = turns + behind
            made = find_endings(PromptRenderer(tokenizer), [1])
            assert not made.fault
            assert header in made.doubt
            ended = find_endings(PromptRenderer(tokenizer), [1, tokenizer.convert_tokens_to_ids("<|user|>")])
            assert not ended.fault
            assert not ended.doubt

    def test_a_header_at_every_end_does_not_hide_the_end_of_a_turn(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = CHATML.partition("{% if add_generation_prompt %}")[0] + "<|im_start|>assistant\n"
        assert "'<|im_end|>', which is not among" in find_endings(PromptRenderer(tokenizer), [1]).fault

    def test_a_mark_that_is_no_token_is_a_doubt(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokenizer.chat_template = CHATML.replace("<|im_end|>", "<|eot_id|>")
        made = find_endings(PromptRenderer(tokenizer), [1])
        assert not made.fault
        assert "'<|eot_id|>', which is no token of this tokenizer" in made.doubt

    @pytest.mark.slow
    def test_the_command_refuses_and_the_option_mends(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder = copy_of(tiny_checkpoint, tmp_path / "model")
        for name in ("config.json", "generation_config.json"):
            content = json.loads((folder / name).read_text())
            content["eos_token_id"] = 444
            (folder / name).write_text(json.dumps(content))
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["eos_token"] = load_tokenizer(str(tiny_checkpoint), {}).decode([444])
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        common = ("run", folder, "-t", "arithmetic", "--limit", 1, "-n", 1, "--max-tokens", 8)
        assert "no response would end" in told(evalkit(*common, "--dry-run", code=2))
        assert "no response would end" in told(evalkit(*common, "-o", tmp_path / "run", code=2))
        assert "443 '<|im_end|>'" in evalkit(*common, "--dry-run", "--end-token", "<|im_end|>").stdout
        assert "is 2 tokens" in told(evalkit(*common, "--dry-run", "--end-token", "<|im_end|><|im_end|>", code=2))

    def test_ids_are_gathered_from_every_config(self) -> None:
        assert end_token_ids(3, [1, 2], None, 2) == [1, 2, 3]

    @pytest.mark.parametrize("told", ["\x1b[31m", ["<|im_end|>"], [1, None], 1.5, -1, {"a": 1}, 10**30])
    def test_an_end_token_that_is_no_id_is_one_sentence(self, told: Any) -> None:
        with pytest.raises(EvalkitError, match="is no token id"):
            end_token_ids(1, told)


@pytest.mark.real_data
def test_r1s_own_template(tokenizer: PreTrainedTokenizerFast, data_dir: Path) -> None:
    path = data_dir / "chat_templates" / "DeepSeek-R1-Distill-Qwen-32B.jinja"
    tokenizer.chat_template = path.read_text()
    prompt = render_prompt(tokenizer, QUESTION, "auto")
    assert prompt.text == "<bos><｜User｜>What is 1 + 1?<｜Assistant｜><think>\n"
    assert prompt.prefix == "<think>\n"
    assert bos_count(tokenizer, prompt.token_ids) == 1


def copy_of(checkpoint: Path, folder: Path, chat_template: str = "", without: tuple[str, ...] = ()) -> Path:
    """A checkpoint with another template, or without the files whose names begin so."""
    shutil.copytree(checkpoint, folder)
    for path in list(folder.iterdir()):
        if without and path.name.startswith(without):
            path.unlink()
    if chat_template:
        (folder / "chat_template.jinja").write_text(chat_template)
    return folder


def vllm_engine(checkpoint: Path, options: dict[str, Any]) -> Any:
    """vLLM's engine as far as it goes without vLLM: prompts need none."""
    from evalkit.engines.options import VLLMOptions
    from evalkit.engines.registry import make_options
    from evalkit.engines.vllm.engine import VLLMEngine

    made = make_options(VLLMEngine, options)
    assert isinstance(made, VLLMOptions)
    return VLLMEngine(str(checkpoint), made)


def write_tekken(path: Path) -> None:
    """The smallest tokenizer in Mistral's own format: bytes, and its control tokens."""
    from base64 import b64encode

    controls = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
    controls += ["[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"]
    controls += ["[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"]
    controls += ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"]
    config = {
        "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
        "num_vocab_tokens": 256,
        "default_vocab_size": 256 + len(controls),
        "default_num_special_tokens": len(controls),
        "version": "v13",
    }
    tokens = [{"rank": i, "token_bytes": b64encode(bytes([i])).decode(), "token_str": None} for i in range(256)]
    special = [{"rank": i, "token_str": text, "is_control": True} for i, text in enumerate(controls)]
    path.write_text(json.dumps({"config": config, "vocab": tokens, "special_tokens": special}))
