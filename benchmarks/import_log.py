"""How fast logs are imported, and with how much memory: 1,000,000 samples as JSON lines, 64 a problem.

python benchmarks/import_log.py [--samples 1000000] [--characters 2000] [--format qwen_math] [--folder DIR]
Prints, for reading alone and for the whole import without grading, samples a second and the peak resident memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

N = 64
READ = """
import sys
from evalkit.importers.reader import find_logs
print(sum(1 for log in find_logs(sys.argv[1]).logs for _ in log.samples()))
"""
IMPORT = """
import sys
from evalkit.run.importing import import_run
print(sum(t.samples for t in import_run(sys.argv[1], sys.argv[2], model="m", score=False).tasks))
"""


def rows(form: str, samples: int, characters: int) -> Iterator[dict[str, object]]:
    text = "I think about it. " * (characters // 18)
    for i in range(samples // N):
        texts = [f"{text}{i * N + k}\n</think>\n\n\\boxed{{{k}}}" for k in range(N)]
        if form == "qwen_math":
            yield {"idx": i, "question": f"What is {i}?", "gt": "1", "code": texts, "score": [k == 1 for k in range(N)]}
            continue
        arguments = {"gen_args_0": {"arg_0": f"What is {i}?\n<think>\n", "arg_1": {"until": []}}}
        row = {"doc_id": i, "doc": {"problem": f"What is {i}?"}, "target": "1", "arguments": arguments}
        yield {**row, "resps": [texts], "filtered_resps": ["0"], "filter": "none", "metrics": ["em"], "em": 0.0}


def measured(code: str, *arguments: Path) -> tuple[float, float]:
    """Seconds and peak resident memory in MiB of a process of its own."""
    script = f"{code}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--format", choices=["qwen_math", "lm_eval"], default="qwen_math")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        log = Path(name) / "log.jsonl"
        with log.open("w") as stream:
            for row in rows(options.format, options.samples, options.characters):
                stream.write(json.dumps(row) + "\n")
        samples = options.samples // N * N
        print(f"{options.format}: {samples:,} samples, {log.stat().st_size / 1e9:.2f} GB", flush=True)
        for label, code, arguments in (
            ("read", READ, (log,)),
            ("import", IMPORT, (log, Path(name) / "run")),
        ):
            seconds, memory = measured(code, *arguments)
            print(f"{label}: {seconds:.0f} s, {samples / seconds:,.0f} samples/s, peak {memory:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
