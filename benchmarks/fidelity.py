"""What `evalkit fidelity` costs: memory against the length of a text, and speed against plain forward passes.

    python benchmarks/fidelity.py memory      # 2,048 to 32,768 tokens of a vocabulary of 150,000, at tiny width
    python benchmarks/fidelity.py speed       # the demo's teacher and student, beside transformers alone

Memory is the peak of a process of its own, less what it holds before the text is read. Speed is in CPU seconds of one
thread, so that other work on the machine does not count; the two sides take turns and the best of each is told.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from evalkit.fidelity.forcing import Forcing
from evalkit.fidelity.forward import ForcedText
from evalkit.fidelity.measure import FidelitySettings
from evalkit.fidelity.tokens import SharedVocabulary

VOCABULARY = 150_000
LENGTHS = (2048, 8192, 32768)
DEMO = Path(__file__).parents[1] / "examples" / "tiny_distill"


def tiny_width(seed: int) -> Any:
    """A model of the vocabulary's full size and of hardly any width."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=40960, initializer_range=0.5,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def megabytes() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_one(length: int) -> None:
    """Measure one text and print tokens, megabytes before and after, seconds."""
    teacher, student = tiny_width(0), tiny_width(1)
    forcing = Forcing(teacher, student, SharedVocabulary(VOCABULARY), FidelitySettings())
    generator = torch.Generator().manual_seed(2)
    ids = tuple(torch.randint(0, VOCABULARY, (length,), generator=generator).tolist())
    before, start = megabytes(), time.process_time()
    for _, rows in forcing.paired([ForcedText(ids[:16], ids[:16], ids[16:])], lambda _: True):
        assert rows.shape[0] == length - 16
    print(f"{length} {before:.0f} {megabytes():.0f} {time.process_time() - start:.0f}")


def memory() -> None:
    full = VOCABULARY * 4 / 2**20
    print(f"{'tokens':>8} {'peak MB more':>13} {'full logits of both, MB':>24} {'CPU s':>6}")
    for length in LENGTHS:
        command = [sys.executable, __file__, "one", "--length", str(length)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"{length:>8,} {float(out[2]) - float(out[1]):>13,.0f} {2 * length * full:>24,.0f} {out[3]:>6}")


def speed(rounds: int) -> None:
    teacher, student = (
        AutoModelForCausalLM.from_pretrained(DEMO / name).eval() for name in ("teacher", "student-distilled")
    )
    generator = torch.Generator().manual_seed(0)
    texts = []
    for length in torch.randint(24, 48, (1000,), generator=generator).tolist():
        ids = tuple(torch.randint(0, 448, (24 + length,), generator=generator).tolist())
        texts.append(ForcedText(ids[:24], ids[:24], ids[24:]))
    forcing = Forcing(teacher, student, SharedVocabulary(448), FidelitySettings())
    tokens = sum(text.length for text in texts)
    times: dict[str, list[float]] = {"plain": [], "fidelity": []}
    ordered = sorted(texts, key=lambda text: text.length)
    for _ in range(rounds):
        start = time.process_time()
        with torch.inference_mode():
            for i in range(0, len(ordered), 64):
                batch = ordered[i : i + 64]
                longest = max(text.length for text in batch)
                rows = [[*t.teacher_prompt, *t.completion] + [0] * (longest - t.length) for t in batch]
                for model in (teacher, student):
                    model(input_ids=torch.tensor(rows), use_cache=False)
        times["plain"].append(time.process_time() - start)
        start = time.process_time()
        for _number, _rows in forcing.paired(texts, lambda _: True):
            pass
        times["fidelity"].append(time.process_time() - start)
    best = {name: tokens / min(found) for name, found in times.items()}
    print(f"{tokens:,} tokens, both models: plain {best['plain']:,.0f} tokens/s, fidelity {best['fidelity']:,.0f}")
    print(f"ratio {best['fidelity'] / best['plain']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "speed", "one"))
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "one":
        read_one(args.length)
    elif args.what == "memory":
        memory()
    else:
        speed(args.rounds)


if __name__ == "__main__":
    main()
