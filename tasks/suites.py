"""Suites: names for groups of tasks."""

R1 = ("aime24", "math500", "gpqa_diamond", "livecodebench", "codeforces")
"""The benchmarks of DeepSeek-R1's table of distilled models (arXiv:2501.12948, table 5)."""

FORGETTING = ("gsm8k", "mmlu_pro", "ifeval")
"""What a model could do before it was distilled: school mathematics, knowledge, following instructions."""
