"""Tokens per second of the transformers backend beside lm-evaluation-harness's `hf` model, in turn, in one run.

    OMP_NUM_THREADS=1 python benchmarks/transformers_backend.py --peer-python /path/to/venv/bin/python

The other venv needs `torch` and `lm_eval[hf]`. Both sides load the same checkpoint in a process of their own, answer
a few prompts to warm up, then the same prompts, greedily, to the same limit; that second call is timed (wall clock
and CPU seconds). The peer is run at several batch sizes and its best one counts; the backend runs at its default.

The checkpoint is a Qwen2 of the demo teacher's size with random weights, wide enough that what it writes neither
repeats itself nor depends on rounding. Three of its 134 tokens end a text, so lengths are spread as an exponential
distribution cut at the limit: as uneven as a reasoning model's, with no length known beforehand.
`--checkpoint` takes any other one, and then the prompts are two-digit sums.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SPECIAL = ("<|user|>", "<|assistant|>", "<|pad|>", "<|end|>", "<|end-2|>", "<|end-3|>")
TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|assistant|>"


def make_checkpoint(folder: str, ends: Sequence[int] = (131, 132, 133), layers: int = 3, width: int = 128) -> None:
    """Random weights, and a tokenizer whose tokens are the 128 ASCII characters and the special ones.

    `ends` are the tokens that end a text: the fewer, the longer it gets. Heads are 32 wide.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    ascii_of = bytes_to_unicode()
    tokenizer = Tokenizer(models.BPE(vocab={ascii_of[byte]: byte for byte in range(128)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in SPECIAL])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=TEMPLATE
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=128 + len(SPECIAL),
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 64,
        max_position_embeddings=1024,
        initializer_range=0.3,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=130)
    model.save_pretrained(folder)


def prompts(count: int, sums: bool) -> list[str]:
    rng = random.Random(0)
    if sums:
        return [f"What is {rng.randint(10, 99)} + {rng.randint(10, 99)}?" for _ in range(count)]
    return ["".join(rng.choice("abcdefghij 0123456789") for _ in range(rng.randint(20, 120))) for _ in range(count)]


def run_ours(checkpoint: str, questions: Sequence[str], limit: int) -> tuple[list[str], list[int]]:
    """Texts and numbers of tokens, in order."""
    completions = {each.sample_index: each for each in _ours(checkpoint).generate(_requests(questions, limit))}
    return (
        [completions[index].text for index in range(len(questions))],
        [completions[index].completion_tokens for index in range(len(questions))],
    )


_loaded: dict[str, Any] = {}


def _ours(checkpoint: str) -> Any:
    from evalkit.engines.options import TransformersOptions
    from evalkit.engines.transformers.engine import TransformersEngine

    if checkpoint not in _loaded:
        _loaded[checkpoint] = TransformersEngine(checkpoint, TransformersOptions(device="cpu", dtype="float32"))
    return _loaded[checkpoint]


def _requests(questions: Sequence[str], limit: int) -> Iterator[Any]:
    from evalkit.types import Request, SamplingParams

    params = SamplingParams(temperature=0, max_tokens=limit)
    for index, each in enumerate(questions):
        yield Request("benchmark", str(index), index, ({"role": "user", "content": each},), params)


def run_peer(model: Any, texts: Sequence[str], limit: int) -> list[str]:
    from lm_eval.api.instance import Instance

    settings = {"until": [], "max_gen_toks": limit, "do_sample": False}
    requests = [Instance("generate_until", {}, (text, dict(settings)), index) for index, text in enumerate(texts)]
    return list(model.generate_until(requests, disable_tqdm=True))


def work(arguments: argparse.Namespace) -> None:
    """One side, once, in this process: seconds, CPU seconds, texts to a file."""
    questions = json.loads(Path(arguments.questions).read_text())
    counts = None
    if arguments.worker == "ours":
        run_ours(arguments.checkpoint, questions[:8], 16)
        started, cpu = time.perf_counter(), time.process_time()
        texts, counts = run_ours(arguments.checkpoint, questions, arguments.limit)
    else:
        from lm_eval.models.huggingface import HFLM

        batch = int(arguments.worker)
        model = HFLM(pretrained=arguments.checkpoint, device="cpu", dtype="float32", batch_size=batch, max_length=1024)
        rendered = [
            model.tokenizer.apply_chat_template(
                [{"role": "user", "content": each}], tokenize=False, add_generation_prompt=True
            )
            for each in questions
        ]
        run_peer(model, rendered[:8], 16)
        started, cpu = time.perf_counter(), time.process_time()
        texts = run_peer(model, rendered, arguments.limit)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    Path(arguments.out).write_text(
        json.dumps({"seconds": seconds, "cpu": cpu_seconds, "texts": texts, "counts": counts})
    )


def plain(text: str) -> str:
    """The peer decodes without special tokens."""
    for each in SPECIAL:
        text = text.replace(each, "")
    return text.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="the python of a venv with lm_eval[hf]")
    parser.add_argument("--checkpoint", help="another checkpoint than the random one")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--limit", type=int, default=512, help="new tokens a prompt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", default="1,16,64,200", help="of the peer")
    for hidden in ("--worker", "--questions", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    if not arguments.peer_python:
        parser.error("--peer-python is missing")
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    checkpoint = arguments.checkpoint or str(folder / "checkpoint")
    if not arguments.checkpoint:
        make_checkpoint(checkpoint)
    (folder / "questions.json").write_text(json.dumps(prompts(arguments.prompts, bool(arguments.checkpoint))))

    def run(side: str) -> dict[str, Any]:
        python = sys.executable if side == "ours" else arguments.peer_python
        options = ["--worker", side, "--checkpoint", checkpoint, "--limit", str(arguments.limit)]
        files = ["--questions", str(folder / "questions.json"), "--out", str(folder / "out.json")]
        done = subprocess.run([python, __file__, *options, *files], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
        result: dict[str, Any] = json.loads((folder / "out.json").read_text())
        print(f"  {side}: {result['seconds']:.2f} s, {result['cpu']:.2f} CPU s", file=sys.stderr, flush=True)
        return result

    sides = ["ours", *arguments.batch_sizes.split(",")]
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(arguments.rounds):
        print(f"round {number + 1}", file=sys.stderr, flush=True)
        for side in sides:
            results[side].append(run(side))
        # What is far from the peer's best cannot become it: later rounds leave it out.
        best = min(results[side][0]["cpu"] for side in sides[1:])
        sides = ["ours", *(side for side in sides[1:] if results[side][0]["cpu"] < 1.5 * best)]
    report(results)


def report(results: dict[str, list[dict[str, Any]]]) -> None:
    ours = results["ours"][0]
    counts = sorted(ours["counts"])
    tokens, median = sum(counts), counts[len(counts) // 2]
    print(
        f"{len(counts)} prompts, {tokens} new tokens: mean {tokens / len(counts):.0f}, median {median},"
        f" 95th percentile {counts[int(0.95 * len(counts))]}, longest {counts[-1]}\n"
    )
    print("| side | rounds | s (median) | CPU s (median) | tokens/s | tokens/CPU s | equal texts |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    speed = {}
    for side, rounds in results.items():
        seconds = statistics.median(each["seconds"] for each in rounds)
        cpu = statistics.median(each["cpu"] for each in rounds)
        equal = min(
            sum(plain(a) == plain(b) for a, b in zip(ours["texts"], each["texts"], strict=True)) for each in rounds
        )
        speed[side] = (tokens / seconds, tokens / cpu)
        name = "evalkit" if side == "ours" else f"lm_eval hf, batch {side}"
        print(
            f"| {name} | {len(rounds)} | {seconds:.2f} | {cpu:.2f} | {speed[side][0]:.0f} | {speed[side][1]:.0f} "
            f"| {equal}/{len(counts)} |"
        )
    peers = [side for side in results if side != "ours"]
    for unit, name in enumerate(("wall clock", "CPU time")):
        best = max(peers, key=lambda side: speed[side][unit])
        print(f"\n{name}: {speed['ours'][unit] / speed[best][unit]:.2f} times the peer's best (batch {best})", end="")
    print()


if __name__ == "__main__":
    main()
