"""The chat formats of model families: short templates written from their facts, and what their models answer.

A template here makes the same prompt as the family's own for the cases below; `tests/test_gallery.py` compares the two
where the family's own is at hand. Texts that a family's template writes as a default system prompt stand as `DEFAULT`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT = "(the template's own system prompt)"
STRIPPED = "(m.content.split('</think>') | last)"


@dataclass(frozen=True)
class Family:
    """One chat format.

    template: a Jinja template. bos, eos: what the tokenizer calls so. ends: the tokens that end a response.
    on, off: variables that switch thinking; None where there is no switch.
    tags: what the model writes around its thinking, and what it puts around its answer.
    real: names of files with the family's own template. own_system: it writes a system prompt where none is given;
    preamble: it writes one in any case.
    """

    name: str
    template: str
    ends: tuple[str, ...]
    bos: str = ""
    eos: str = ""
    tags: tuple[str, str] = ("", "")
    answer: str = "{}"
    on: Mapping[str, Any] | None = None
    off: Mapping[str, Any] | None = None
    real: tuple[str, ...] = ()
    own_system: bool = False
    preamble: bool = False
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def cases(self) -> dict[str, Mapping[str, Any]]:
        """The variables of each case, by name."""
        found: dict[str, Mapping[str, Any]] = {"as it is": {}}
        if self.on is not None:
            found["thinking on"] = self.on
        if self.off is not None:
            found["thinking off"] = self.off
        return {**found, **self.more}


def turns(
    system: str = "<|im_start|>system\n{}<|im_end|>\n",
    user: str = "<|im_start|>user\n{}<|im_end|>\n",
    assistant: str = "<|im_start|>assistant\n{}<|im_end|>\n",
    ask: str = "<|im_start|>assistant\n",
    head: str = "",
    default: str | None = None,
    condition: str = "",
    then: str = "",
    otherwise: str = "",
    answered: str = "m.content",
) -> str:
    """A template of turns. `default` is the system prompt where there is none; `then` follows `ask` on `condition`."""

    def text(written: str) -> str:
        return "{{ " + json.dumps(written, ensure_ascii=False) + " }}" if written else ""

    def turn(pattern: str, content: str) -> str:
        before, _, after = pattern.partition("{}")
        return f"{text(before)}{{{{ {content} }}}}{text(after)}"

    first = ""
    if default is not None:
        before, _, after = system.partition("{}")
        first = "{% if messages[0].role != 'system' %}" + text(before + default + after) + "{% endif %}"
    open_thinking = text(then)
    if condition:
        open_thinking = "{% if " + condition + " %}" + text(then) + "{% else %}" + text(otherwise) + "{% endif %}"
    return (
        ("{{ bos_token }}" if head == "bos" else text(head))
        + first
        + "{% for m in messages %}{% if m.role == 'system' %}"
        + turn(system, "m.content")
        + "{% elif m.role == 'user' %}"
        + turn(user, "m.content")
        + "{% else %}"
        + turn(assistant, answered)
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + text(ask)
        + open_thinking
        + "{% endif %}"
    )


THINK = ("<think>\n", "\n</think>\n\n")
ENABLED = "enable_thinking is not defined or enable_thinking"
ON, OFF = {"enable_thinking": True}, {"enable_thinking": False}
CHATML = ("<|im_end|>", "<|endoftext|>")
NO_THOUGHT = "<think>\n\n</think>\n\n"
DEEPSEEK = {
    "system": "{}",
    "user": "<｜User｜>{}",
    "assistant": "<｜Assistant｜>{}<｜end▁of▁sentence｜>",
    "ask": "<｜Assistant｜>",
    "head": "bos",
}
DEEPSEEK_3_1 = {**DEEPSEEK, "assistant": "<｜Assistant｜></think>{}<｜end▁of▁sentence｜>"}
DEEPSEEK_TOKENS: dict[str, Any] = {
    "bos": "<｜begin▁of▁sentence｜>",
    "eos": "<｜end▁of▁sentence｜>",
    "ends": ("<｜end▁of▁sentence｜>",),
}
LLAMA = {
    "user": "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
    "assistant": "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
    "ask": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "head": "bos",
}
LLAMA_SYSTEM = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: "
LLAMA_TOKENS: dict[str, Any] = {"bos": "<|begin_of_text|>", "eos": "<|eot_id|>", "ends": ("<|eot_id|>", "<|eom_id|>")}
KIMI = {
    "system": "<|im_system|>system<|im_middle|>{}<|im_end|>",
    "user": "<|im_user|>user<|im_middle|>{}<|im_end|>",
    "assistant": "<|im_assistant|>assistant<|im_middle|>{}<|im_end|>",
    "ask": "<|im_assistant|>assistant<|im_middle|>",
}
GLM_TOKENS: dict[str, Any] = {"ends": ("<|endoftext|>", "<|user|>", "<|observation|>"), "eos": "<|endoftext|>"}
COHERE = {
    "head": "bos",
    "system": "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
    "user": "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
    "assistant": "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "ask": "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
}
MISTRAL = {
    "head": "bos",
    "system": "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]",
    "user": "[INST]{}[/INST]",
    "assistant": "{}</s>",
    "ask": "",
}
MISTRAL_TOKENS: dict[str, Any] = {"bos": "<s>", "eos": "</s>", "ends": ("</s>",)}


def dated_llama() -> str:
    """Llama 3.2 and later: the header has the date, whatever the system prompt is."""
    date = "{{ strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' }}"
    made = turns(system="{}", **LLAMA).replace("{% if m.role == 'system' %}{{ m.content }}", "{% if false %}")
    told = "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ '<|eot_id|>' }}"
    header = "{{ " + json.dumps(LLAMA_SYSTEM) + " }}" + date + "{{ '\\n\\n' }}" + told
    return (
        made.replace("{{ bos_token }}", "{{ bos_token }}" + header, 1)
        .replace("{% else %}", "{% elif m.role == 'assistant' %}", 1)
        .replace("{% if false %}{% elif", "{% if")
    )


def gemma(system_allowed: bool) -> str:
    """Gemma 2 refuses a system message, Gemma 3 puts it before the first question."""
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    before = "{% if messages[0].role == 'system' %}{% set ns.first = messages[0].content + '\\n\\n' %}{% endif %}"
    return (
        "{{ bos_token }}{% set ns = namespace(first='') %}"
        + (before if system_allowed else refuse)
        + "{% for m in messages %}{% if m.role == 'user' %}{{ '<start_of_turn>user\\n' + ns.first + m.content + "
        "'<end_of_turn>\\n' }}{% set ns.first = '' %}{% elif m.role == 'assistant' %}{{ '<start_of_turn>model\\n' + "
        "m.content + '<end_of_turn>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    )


GEMMA_4 = (
    "{{ bos_token }}{% set think = enable_thinking is defined and enable_thinking %}"
    "{% if think or messages[0].role == 'system' %}{{ '<|turn>system\\n' }}"
    "{% if think %}{{ '<|think|>\\n' }}{% endif %}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ '<turn|>\\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<|turn>user\\n' + m.content + '<turn|>\\n' }}"
    "{% elif m.role == 'assistant' %}{{ '<|turn>model\\n' + m.content + '<turn|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn>model\\n' }}{% if not think %}{{ '<|channel>thought\\n<channel|>' }}"
    "{% endif %}{% endif %}"
)
GPT_OSS = (
    "{{ '<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\\nKnowledge cutoff: "
    "2024-06\\nCurrent date: ' + strftime_now('%Y-%m-%d') + '\\n\\nReasoning: ' + (reasoning_effort or 'medium') + "
    "'\\n\\n# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>' }}"
    "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ '<|start|>developer<|message|># Instructions\\n\\n' + m.content + '\\n\\n<|end|>' }}"
    "{% elif m.role == 'user' %}{{ '<|start|>user<|message|>' + m.content + '<|end|>' }}"
    "{% else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
NEMOTRON_2 = (
    "{% set ns = namespace(think=true, system='') %}{% for m in messages %}{% if '/no_think' in m.content %}"
    "{% set ns.think = false %}{% endif %}{% if m.role == 'system' %}{% set ns.system = m.content | "
    "replace('/no_think', '') | replace('/think', '') %}{% endif %}{% endfor %}"
    "{{ '<SPECIAL_10>System\\n' + ns.system + '\\n\\n' }}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<SPECIAL_11>User\\n' + m.content + '\\n' }}"
    "{% elif m.role == 'assistant' %}{{ '<SPECIAL_11>Assistant\\n' + m.content + '\\n<SPECIAL_12>\\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<SPECIAL_11>Assistant\\n' }}"
    "{{ '<think>\\n' if ns.think else '<think></think>' }}{% endif %}"
)
EXAONE_DEEP = (
    "{% if messages[0].role != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}{% for m in messages %}"
    "{{ '[|' + m.role + '|]' + (m.content.split('</thought>') | last) }}"
    "{{ '' if m.role == 'user' else '[|endofturn|]' }}{{ '' if loop.last else '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n[|assistant|]<thought>\\n' }}{% endif %}"
)
GRANITE = turns(
    system="<|start_of_role|>system<|end_of_role|>{}<|end_of_text|>\n",
    user="<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n",
    assistant="<|start_of_role|>assistant<|end_of_role|>{}<|end_of_text|>\n",
    ask="<|start_of_role|>assistant<|end_of_role|>",
    default=DEFAULT,
).replace(DEFAULT, DEFAULT + "\" + strftime_now('%B %d, %Y')[:0] + \"")
SMOLLM = turns(
    system="<|im_start|>system\n## Metadata\n\n## Custom Instructions\n\n{}\n\n",
    default=DEFAULT,
    condition=ENABLED,
    otherwise="<think>\n\n</think>\n",
).replace(
    "## Metadata\\n\\n",
    "## Metadata\\n\\nKnowledge Cutoff Date: June 2025\\nToday Date: \" + strftime_now('%d %B %Y') + \""
    f'\\nReasoning Mode: " + ("/think" if {ENABLED} else "/no_think") + "\\n\\n',
)
APERTUS = turns(
    head="bos",
    system="<|system_start|>{}<|system_end|>",
    user="<|user_start|>{}<|user_end|>",
    assistant="<|assistant_start|>{}<|assistant_end|>",
    ask="<|assistant_start|>",
)

FAMILIES: tuple[Family, ...] = (
    Family(
        "DeepSeek-R1",
        turns(**DEEPSEEK, answered=STRIPPED),
        **DEEPSEEK_TOKENS,
        tags=THINK,
        real=("hf-DeepSeek-R1.jinja", "vl-tool_chat_template_deepseekr1.jinja"),
    ),
    Family(
        "DeepSeek-R1-0528",
        turns(**DEEPSEEK, answered=STRIPPED),
        **DEEPSEEK_TOKENS,
        tags=THINK,
        real=("vl-tool_chat_template_deepseekr1.jinja",),
    ),
    Family(
        "DeepSeek-R1-Distill",
        turns(**DEEPSEEK, answered=STRIPPED, then="<think>\n"),
        **DEEPSEEK_TOKENS,
        tags=THINK,
        real=("lc-deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "DeepSeek-R1-Distill-Qwen-32B.jinja"),
    ),
    Family(
        "DeepSeek-V3",
        turns(**DEEPSEEK),
        **DEEPSEEK_TOKENS,
        real=("vl-tool_chat_template_deepseekv3.jinja",),
    ),
    Family(
        "DeepSeek-V3.1",
        turns(**DEEPSEEK_3_1, answered=STRIPPED, condition="thinking", then="<think>", otherwise="</think>"),
        **DEEPSEEK_TOKENS,
        tags=("<think>", "</think>"),
        on={"thinking": True},
        off={"thinking": False},
    ),
    Family(
        "Qwen2.5",
        turns(default=DEFAULT),
        CHATML,
        eos="<|im_end|>",
        own_system=True,
        real=("ik-Qwen-Qwen2.5-7B-Instruct.jinja", "trl-qwen2_5.jinja"),
    ),
    Family(
        "Qwen3",
        turns(condition=ENABLED, otherwise=NO_THOUGHT, answered=STRIPPED),
        CHATML,
        eos="<|im_end|>",
        tags=THINK,
        on=ON,
        off=OFF,
        real=("trl-qwen3.jinja", "ik-Qwen-Qwen3-0.6B.jinja"),
    ),
    Family("Qwen3-Instruct-2507", turns(), CHATML, eos="<|im_end|>", real=("trl-qwen3_instruct_2507.jinja",)),
    Family("Qwen3-Thinking-2507", turns(then="<think>\n"), CHATML, eos="<|im_end|>", tags=THINK),
    Family(
        "Qwen3.5",
        turns(condition=ENABLED, then="<think>\n", otherwise=NO_THOUGHT),
        CHATML,
        eos="<|im_end|>",
        tags=THINK,
        on=ON,
        off=OFF,
        real=("trl-qwen3_5_think.jinja", "trl-qwen3_6.jinja"),
    ),
    Family("QwQ", turns(then="<think>\n"), CHATML, eos="<|im_end|>", tags=THINK),
    Family(
        "Llama 3.1",
        turns(system=LLAMA_SYSTEM + "26 Jul 2024\n\n{}<|eot_id|>", default="", **LLAMA),
        **LLAMA_TOKENS,
        real=("ik-meta-llama-Llama-3.1-8B-Instruct.jinja", "ik-meta-llama-Llama-3.3-70B-Instruct.jinja"),
    ),
    Family(
        "Llama 3.2",
        dated_llama(),
        **LLAMA_TOKENS,
        real=("ik-meta-llama-Llama-3.2-3B-Instruct.jinja", "trl-llama3_2.jinja"),
    ),
    Family(
        "Gemma 2",
        gemma(False),
        ("<eos>", "<end_of_turn>"),
        bos="<bos>",
        eos="<eos>",
        real=("ik-google-gemma-2-2b-it.jinja",),
    ),
    Family("Gemma 3", gemma(True), ("<eos>", "<end_of_turn>"), bos="<bos>", eos="<eos>", real=("trl-gemma3.jinja",)),
    Family(
        "Gemma 4",
        GEMMA_4,
        ("<eos>", "<turn|>"),
        bos="<bos>",
        eos="<eos>",
        tags=("<|channel>thought\n", "\n<channel|>"),
        on=ON,
        off=OFF,
        real=("ik-google-gemma-4-31B-it.jinja", "axo-gemma4.jinja"),
    ),
    Family(
        "gpt-oss",
        GPT_OSS,
        ("<|return|>", "<|endoftext|>", "<|call|>"),
        bos="<|startoftext|>",
        eos="<|return|>",
        tags=("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        more={"effort high": {"reasoning_effort": "high"}},
        real=("ik-openai-gpt-oss-120b.jinja", "trl-gptoss.jinja"),
    ),
    Family(
        "GLM-4.5 and 4.6",
        turns(
            head="[gMASK]<sop>",
            system="<|system|>\n{}",
            user="<|user|>\n{}",
            assistant="<|assistant|>\n<think></think>\n{}",
            ask="<|assistant|>",
            condition=ENABLED,
            otherwise="\n<think></think>",
        ).replace("{{ m.content }}{% else", "{{ m.content }}{{ '' if " + ENABLED + " else '/nothink' }}{% else"),
        **GLM_TOKENS,
        tags=("\n<think>", "</think>\n"),
        on=ON,
        off=OFF,
        real=("trl-glm4moe.jinja", "ik-GLM-4.6.jinja"),
    ),
    Family(
        "GLM-4.7",
        turns(
            head="[gMASK]<sop>",
            system="<|system|>{}",
            user="<|user|>{}",
            assistant="<|assistant|></think>{}",
            ask="<|assistant|>",
            condition=ENABLED,
            then="<think>",
            otherwise="</think>",
        ),
        **GLM_TOKENS,
        tags=("<think>", "</think>"),
        on=ON,
        off=OFF,
        real=("ik-GLM-4.7-Flash.jinja",),
    ),
    Family(
        "Kimi-K2",
        turns(default=DEFAULT, **KIMI),
        ("<|im_end|>",),
        eos="[EOS]",
        own_system=True,
        real=("ik-moonshotai-Kimi-K2.jinja",),
    ),
    Family(
        "Kimi-K2-Thinking",
        turns(default=DEFAULT, **{**KIMI, "assistant": KIMI["assistant"].replace("{}", "<think></think>{}")}),
        ("<|im_end|>",),
        eos="[EOS]",
        tags=("<think>", "</think>"),
        own_system=True,
        real=("hf-Kimi-K2-Thinking.jinja", "rb-Kimi-K2-Thinking.jinja"),
    ),
    Family(
        "Kimi-VL-Thinking",
        turns(default=DEFAULT, **KIMI),
        ("<|im_end|>", "[EOS]"),
        eos="[EOS]",
        tags=("◁think▷", "◁/think▷"),
        own_system=True,
    ),
    Family(
        "MiniMax-M1",
        turns(
            head="<begin_of_document>",
            system="<beginning_of_sentence>system ai_setting=assistant\n{}<end_of_sentence>\n",
            user="<beginning_of_sentence>user name=user\n{}<end_of_sentence>\n",
            assistant="<beginning_of_sentence>ai name=assistant\n{}<end_of_sentence>\n",
            ask="<beginning_of_sentence>ai name=assistant\n",
            default=DEFAULT,
        ),
        ("<end_of_sentence>",),
        eos="<end_of_sentence>",
        tags=THINK,
        own_system=True,
        real=("vl-tool_chat_template_minimax_m1.jinja",),
    ),
    Family(
        "MiniMax-M2",
        turns(
            head="]~!b[",
            system="]~b]system\n{}[e~[\n",
            user="]~b]user\n{}[e~[\n",
            assistant="]~b]ai\n{}[e~[\n",
            ask="]~b]ai\n",
            then="<think>\n",
            default=DEFAULT,
        ),
        ("[e~[",),
        bos="]~!b[",
        eos="[e~[",
        tags=THINK,
        own_system=True,
        real=("rb-MiniMax-M2.jinja",),
    ),
    Family(
        "Nemotron Nano 2",
        NEMOTRON_2,
        ("<SPECIAL_12>",),
        bos="<s>",
        eos="<SPECIAL_12>",
        tags=("<think>\n", "</think>\n\n"),
        real=("rb-NVIDIA-Nemotron-Nano-v2.jinja",),
    ),
    Family(
        "Nemotron 3",
        turns(
            default="",
            condition=ENABLED,
            then="<think>\n",
            otherwise="<think></think>",
            assistant="<|im_start|>assistant\n<think></think>{}<|im_end|>\n",
        ),
        ("<|im_end|>",),
        bos="<s>",
        eos="<|im_end|>",
        tags=("<think>\n", "\n</think>\n"),
        on=ON,
        off=OFF,
        real=("ik-NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja", "trl-nemotron_3_nano.jinja"),
    ),
    Family(
        "Mistral Small 3",
        turns(default=DEFAULT, **MISTRAL),
        **MISTRAL_TOKENS,
        own_system=True,
        real=("ik-Mistral-Small-3.2-24B-Instruct-2506.jinja",),
    ),
    Family(
        "Magistral and Ministral 3",
        turns(default=DEFAULT + " [THINK]…[/THINK]", **MISTRAL),
        **MISTRAL_TOKENS,
        tags=("[THINK]", "[/THINK]"),
        own_system=True,
        real=("ik-mistralai-Ministral-3-14B-Reasoning-2512.jinja",),
    ),
    Family(
        "Phi-4-reasoning",
        turns(
            system="<|im_start|>system<|im_sep|>{}<|im_end|>",
            user="<|im_start|>user<|im_sep|>{}<|im_end|>",
            assistant="<|im_start|>assistant<|im_sep|>{}<|im_end|>",
            ask="<|im_start|>assistant<|im_sep|>",
            default=DEFAULT + " <think>…</think>",
        ),
        ("<|im_end|>",),
        eos="<|im_end|>",
        tags=("<think>", "</think>\n"),
        own_system=True,
        real=("axo-phi_4.jinja",),
    ),
    Family(
        "EXAONE 4",
        turns(
            system="[|system|]\n{}[|endofturn|]\n",
            user="[|user|]\n{}[|endofturn|]\n",
            assistant="[|assistant|]\n<think>\n\n</think>\n\n{}[|endofturn|]\n",
            ask="[|assistant|]\n",
            condition="enable_thinking is defined and enable_thinking",
            then="<think>\n",
            otherwise=NO_THOUGHT,
        ),
        ("[|endofturn|]",),
        bos="[BOS]",
        eos="[|endofturn|]",
        tags=THINK,
        on=ON,
        off=OFF,
        real=("axo-exaone4.jinja",),
    ),
    Family(
        "EXAONE Deep",
        EXAONE_DEEP,
        ("[|endofturn|]",),
        bos="[BOS]",
        eos="[|endofturn|]",
        tags=("<thought>\n", "\n</thought>\n\n"),
    ),
    Family(
        "OLMo 3 Think",
        turns(default=DEFAULT, then="<think>"),
        CHATML,
        eos="<|endoftext|>",
        tags=("<think>", "</think>\n"),
        own_system=True,
    ),
    Family(
        "Granite 3.3",
        GRANITE,
        ("<|end_of_text|>",),
        bos="<|end_of_text|>",
        eos="<|end_of_text|>",
        tags=("<think>", "</think>"),
        answer="<response>{}</response>",
        own_system=True,
        real=("ik-ibm-granite-granite-3.3-2B-Instruct.jinja",),
    ),
    Family(
        "SmolLM3",
        SMOLLM,
        ("<|im_end|>",),
        bos="<|begin_of_text|>",
        eos="<|im_end|>",
        tags=THINK,
        on=ON,
        off=OFF,
        own_system=True,
        real=("hf-SmolLM3.jinja",),
    ),
    Family(
        "Hunyuan-A13B",
        turns(
            system="<|startoftext|>{}<|extra_4|>",
            user="{}<|extra_0|>",
            assistant="{}<|eos|>",
            ask="",
            condition=ENABLED,
            otherwise="<think>\n\n</think>\n",
            default="",
        ).replace('"<|startoftext|><|extra_4|>"', '"<|startoftext|>"'),
        ("<|eos|>",),
        bos="<|startoftext|>",
        eos="<|eos|>",
        tags=("<think>\n", "\n</think>\n"),
        answer="<answer>\n{}\n</answer>",
        on=ON,
        off=OFF,
        real=("vl-tool_chat_template_hunyuan_a13b.jinja",),
    ),
    Family(
        "Seed-OSS",
        turns(
            system="<seed:bos>system\n{}<seed:eos>",
            user="<seed:bos>user\n{}<seed:eos>",
            assistant="<seed:bos>assistant\n{}<seed:eos>",
            ask="<seed:bos>assistant\n",
        ),
        ("<seed:eos>",),
        bos="<seed:bos>",
        eos="<seed:eos>",
        tags=("<seed:think>", "</seed:think>"),
        real=("ik-ByteDance-Seed-OSS.jinja",),
    ),
    Family(
        "Command A Reasoning",
        turns(default=DEFAULT, **COHERE),
        ("<|END_OF_TURN_TOKEN|>",),
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        tags=("<|START_THINKING|>", "<|END_THINKING|>"),
        answer="<|START_RESPONSE|>{}<|END_RESPONSE|>",
        own_system=True,
        preamble=True,
        real=("hf-command-a-reasoning.jinja",),
    ),
    Family(
        "Apriel 1.6",
        turns(
            head="bos",
            system="<|begin_system|>\n" + DEFAULT + "{}\n",
            user="<|begin_user|>\n{}\n",
            assistant="<|begin_assistant|>\n{}",
            ask="<|begin_assistant|>\n",
            default="",
            then="Here are my reasoning steps:\n",
        ),
        ("<|end|>",),
        bos="<s>",
        eos="<|end|>",
        tags=("Here are my reasoning steps:\n", "\n[BEGIN FINAL RESPONSE]\n"),
        own_system=True,
        preamble=True,
        real=("ik-Apriel-1.6-15b-Thinker-fixed.jinja",),
    ),
    Family(
        "LFM2.5",
        turns(head="bos"),
        ("<|im_end|>",),
        bos="<|startoftext|>",
        eos="<|im_end|>",
        real=("ik-LFM2.5-Instruct.jinja",),
    ),
    Family(
        "Step 3.5",
        turns(head="bos", then="<think>\n", assistant="<|im_start|>assistant\n<think>\n\n</think>\n{}<|im_end|>\n"),
        ("<|im_end|>",),
        bos="<s>",
        eos="<|im_end|>",
        tags=("<think>\n", "\n</think>\n"),
        real=("ik-stepfun-ai-Step-3.5-Flash.jinja",),
    ),
)
