"""The presets: the settings of published protocols, with their sources."""

from evalkit.benchmark.protocols import Protocol

BOXED_MATH = "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}."
BOXED_MATH_QWQ = BOXED_MATH.replace("\n\n", "\n")
CLEAR_MATH = (
    "Solve the following math problem efficiently and clearly.  The last line of your response should be of the "
    "following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' (without quotes) "
    "where ANSWER is just the final number or expression that solves the problem. Think step by step before "
    "answering.\n\n{problem}"
)
JSON_LETTER = (
    '{problem}\n\nPlease show your choice in the `answer` field with only the choice letter, e.g.,`"answer": "C"`.'
)
ANSWER_LETTER = (
    "Answer the following multiple choice question. The last line of your response should be of the following "
    "format: 'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before "
    "answering.\n\n{problem}"
)

DEEPSEEK_R1 = Protocol(
    name="deepseek-r1",
    source="arXiv:2501.12948, section 3, and DeepSeek-R1's README; GPQA's prompt: openai/simple-evals",
    temperature=0.6,
    top_p=0.95,
    max_tokens=32768,
    system_prompt=None,
    response_prefix="auto",
    prompts={"math": BOXED_MATH, "choice": ANSWER_LETTER},
)

OPEN_R1 = Protocol(
    name="open-r1",
    source="huggingface/open-r1: README (sampling, n) and the lighteval that its setup.py pinned, bb14995 (prompts)",
    temperature=0.6,
    top_p=0.95,
    max_tokens=32768,
    system_prompt=None,
    response_prefix="auto",
    prompts={"math": CLEAR_MATH, "choice": ANSWER_LETTER},
    n={"aime24": 64, "math500": 4, "gpqa_diamond": 8, "livecodebench": 16},
)

QWQ = Protocol(
    name="qwq",
    source="QwenLM/QwQ at 620a5ea: eval/README.md (sampling, n), eval/data/aime24.jsonl (math), README.md (choice)",
    temperature=0.6,
    top_p=0.95,
    top_k=40,
    max_tokens=32768,
    system_prompt=None,
    response_prefix="auto",
    prompts={"math": BOXED_MATH_QWQ, "choice": JSON_LETTER},
    n={"aime24": 64, "livecodebench": 8},
)
