"""How fast logs are imported and graded, and with how much memory: 1,000,000 samples as JSON lines, 64 a problem.

python benchmarks/import_log.py [--samples 1000000] [--characters 2000] [--format qwen_math] [--folder DIR]
Prints samples a second and the peak resident memory, in MiB of the process itself and of its largest grader, of reading
alone, of the import without grading, and of `evalkit score`, `evalkit leaderboard` and `evalkit grade-diff` on the run.
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
COMMAND = """
from evalkit.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code
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


def measured(code: str, *arguments: str | Path) -> tuple[float, float, float]:
    """Seconds, and the peak resident memory in MiB of a process of its own and of the largest that it started."""
    peaks = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss"
    script = f"{code}\nimport resource\nprint({peaks})"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{arguments[0]}: {done.stderr[-2000:]}")
    own, started = done.stdout.split()[-2:]
    return time.perf_counter() - start, float(own) / 1024, float(started) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--format", choices=["qwen_math", "lm_eval"], default="qwen_math")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        log, run = Path(name) / "log.jsonl", Path(name) / "run"
        with log.open("w") as stream:
            for row in rows(options.format, options.samples, options.characters):
                stream.write(json.dumps(row) + "\n")
        samples = options.samples // N * N
        print(f"{options.format}: {samples:,} samples, {log.stat().st_size / 1e9:.2f} GB", flush=True)
        steps: list[tuple[str, str, tuple[str | Path, ...]]] = [
            ("read", READ, (log,)),
            ("import", IMPORT, (log, run)),
            *((command, COMMAND, (command, run)) for command in ("score", "leaderboard", "grade-diff")),
        ]
        for label, code, arguments in steps:
            seconds, own, grader = measured(code, *arguments)
            rate = f"{samples / seconds:,.0f} samples/s"
            print(f"{label}: {seconds:.0f} s, {rate}, peak {own:.0f} MiB, grader {grader:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
