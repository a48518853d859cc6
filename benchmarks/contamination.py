"""What `evalkit contamination` finds and how fast it reads.

    python benchmarks/contamination.py speed --megabytes 200     MB/s of a core, memory, datasketch's MinHash beside it
    python benchmarks/contamination.py pairs                     precision and recall on judged pairs
    python benchmarks/contamination.py planted                   recall of planted copies, by kind
    python benchmarks/contamination.py write FILE --megabytes N  a set like R1's, to be scanned
    python benchmarks/contamination.py large --megabytes 10000   a large set, made by repetition and noise: written,
                                                                 scanned, scanned with kill -9 half way, audited

All need EVALKIT_DATA. contamination_pairs.csv has pairs of a MATH-500 problem and the most similar problem of MATH's
training split or of AIME 1983 to 2023, by cosine of character 6-grams, sampled by similarity, and the 40 most similar
pairs of GSM8K's two splits. They were judged by reading both: `same`, `near` (the same problem with other words, names
or numbers, or another question about the same situation) or `different`. Problems that share no five words beside
their numbers count as different. The thresholds were chosen on the first list. The second one was judged afterwards,
before it was scanned: pairs of MATH-500 that are not in the first.
"""

import argparse
import base64
import csv
import json
import math
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.contamination.index import Index, Item
from evalkit.contamination.reading import set_files
from evalkit.contamination.scan import Scan

DATA = Path(os.environ.get("EVALKIT_DATA", "data"))
PAIRS = Path(__file__).with_name("contamination_pairs.csv")
NAMES = ("Olga", "Marek", "Imani", "Kenji", "Rosalind", "Tobias", "Yusuf", "Freya")
TRANSLATED = (
    "Wie viele Möglichkeiten gibt es, {n} Kugeln auf {m} Kisten zu verteilen? Gib die Antwort als ganze Zahl an. "
    "Dabei sind weder die Kugeln noch die Kisten voneinander zu unterscheiden."
)


def rows(name: str) -> list[dict[str, Any]]:
    text = (DATA / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]


def math500() -> list[Item]:
    return [Item("math500", row["unique_id"], row["problem"]) for row in rows("MATH-500/test.jsonl")]


def gsm8k() -> list[Item]:
    return [Item("gsm8k", str(i), row["question"]) for i, row in enumerate(rows("gsm8k/test.jsonl"))]


def set_like_r1(megabytes: float, seed: int = 0) -> Iterator[str]:
    """Lines of messages with long responses: sentences of AIME solutions in random order with other numbers."""
    rng = random.Random(seed)
    solutions = " ".join(row["solution"] or "" for row in rows("training_sets/aime_1983_2023.json"))
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", solutions) if 20 < len(s) < 300]
    prompts = [row["question"] for row in rows("gsm8k/train.jsonl")]
    written = 0.0
    while written < megabytes * 1e6:
        chosen = rng.choices(sentences, k=rng.randrange(40, 160))
        response = "\n".join(re.sub(r"\d+", str(rng.randrange(1000)), s) for s in chosen)
        messages = [
            {"role": "user", "content": rng.choice(prompts)},
            {
                "role": "assistant",
                "content": f"<think>\n{response}\n</think>\n\nSo it is \\boxed{{{rng.randrange(99)}}}.",
            },
        ]
        line = json.dumps({"messages": messages}) + "\n"
        written += len(line)
        yield line


def speed(megabytes: float, folder: Path) -> None:
    """Scan a set of that size, in CPU seconds; then the same with datasketch, on a smaller part."""
    path = folder / "set.jsonl"
    if not path.exists():
        with path.open("w") as stream:
            stream.writelines(set_like_r1(megabytes))
    size = path.stat().st_size / 1e6
    index = Index(math500())
    scan = Scan(index, set_files([str(path)]), folder / "partial", {})
    (folder / "partial").unlink(missing_ok=True)
    started = time.process_time()
    found = scan.run()
    spent = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"evalkit: {size:.0f} MB in {spent:.1f} CPU s, {size / spent:.1f} MB/s, {memory:.0f} MB of memory at most,",
        end=" ",
    )
    print(f"{len(found.best)} problems found")
    _datasketch(path, index, min(size, 2.0))


def write_large(path: Path, megabytes: float, block: float = 40, plants: int = 20) -> list[str]:
    """A set of repetitions of a block like R1's, each in another order and with other digits, and planted problems.

    A record has as much noise, in base64 as of a picture, as text. Returns the problems of MATH-500 that were planted,
    one in every so many repetitions.
    """
    rng = random.Random(19)
    noise = base64.b64encode(rng.randbytes(1 << 20)).decode()
    lines = []
    for line in set_like_r1(block / 2):
        begin = rng.randrange(len(noise) - len(line))
        lines.append((json.dumps({**json.loads(line), "image": noise[begin : begin + len(line)]}) + "\n").encode())
    repetitions = math.ceil(megabytes * 1e6 / sum(map(len, lines)))
    chosen = rng.sample([item for item in math500() if len(item.text) > 150], min(plants, repetitions))
    with path.open("wb") as stream:
        for repetition in range(repetitions):
            digits = bytes.maketrans(b"0123456789", bytes(rng.sample(b"0123456789", 10)))
            rng.shuffle(lines)
            stream.write(b"".join(lines).translate(digits))
            if repetition * len(chosen) % repetitions < len(chosen):
                item = chosen[repetition * len(chosen) // repetitions]
                answer = {"role": "assistant", "content": f"Another one first. {item.text} We come back to it."}
                messages = [{"role": "user", "content": "What comes to your mind?"}, answer]
                stream.write(json.dumps({"messages": messages}).encode() + b"\n")
    return [item.problem_id.removeprefix("test/").removesuffix(".json") for item in chosen]  # as the task has them


def large(megabytes: float, folder: Path) -> None:
    """Write a large set, scan it in one go and with kill -9 half way; and audit one of a fifth of the size."""
    path = folder / "large.jsonl"
    planted = write_large(path, megabytes)
    size = path.stat().st_size
    print(f"{size / 1e9:.2f} GB written, {len(planted)} problems planted", flush=True)
    command = [sys.executable, "-m", "evalkit", "contamination", str(path), "-t", "math500,aime24", "--quiet",
               "--show", "0", "-o"]  # fmt: skip
    whole, killed = folder / "whole.json", folder / "killed.json"
    for result in (whole, killed):
        result.with_name(f".{result.name}.partial").unlink(missing_ok=True)
    _timed("in one go", [*command, str(whole)], size)
    _timed("killed", [*command, str(killed)], size, killed.with_name(".killed.json.partial"))
    _timed("resumed", [*command, str(killed)], size)
    found = {p["problem_id"] for p in json.loads(whole.read_text())["tasks"]["math500"]["found"]}
    print(f"same result: {whole.read_bytes() == killed.read_bytes()}; {len(found)} found, "
          f"of {len(planted)} planted {len(found.intersection(planted))}", flush=True)  # fmt: skip
    write_large(path, megabytes / 5)
    _timed("audit of a fifth", [sys.executable, "-m", "evalkit", "audit", str(path)], path.stat().st_size)
    path.unlink()


def _timed(name: str, command: list[str], size: int, kill_half_way: Path | None = None) -> None:
    """Run a command and tell its CPU seconds and its memory at most; with a scan's state, kill it half way."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while kill_half_way is not None:
        time.sleep(1)
        if process.poll() is not None:
            raise SystemExit("the scan ended before it was killed")
        last = kill_half_way.read_bytes().splitlines()[-2:] if kill_half_way.exists() else []
        if last and sum(json.loads(last[0]).get("characters", [0])) > size / 2:
            process.kill()
            break
    _, status, used = os.wait4(process.pid, 0)
    spent = used.ru_utime + used.ru_stime
    print(
        f"{name}: status {os.waitstatus_to_exitcode(status)}, {spent:.0f} CPU s, {time.monotonic() - began:.0f} s, "
        f"{size / 1e6 / spent:.1f} MB per CPU s of the whole file, {used.ru_maxrss / 1024:.0f} MB of memory at most",
        flush=True,
    )


def _datasketch(path: Path, index: Index, megabytes: float) -> None:
    from datasketch import MinHash, MinHashLSH

    def signature(text: str) -> MinHash:
        made = MinHash(num_perm=128)
        words = re.findall(r"[a-z]+|[0-9]+", text.lower())
        made.update_batch([" ".join(words[i : i + 3]).encode() for i in range(max(len(words) - 2, 1))])
        return made

    lsh = MinHashLSH(threshold=0.5, num_perm=128)
    for number, item in enumerate(index.items):
        lsh.insert(number, signature(item.text))
    read, started = 0, time.process_time()
    with path.open() as stream:
        for line in stream:
            for message in json.loads(line)["messages"]:
                lsh.query(signature(message["content"]))
            read += len(line)
            if read > megabytes * 1e6:
                break
    print(f"datasketch {megabytes:.0f} MB: {read / 1e6 / (time.process_time() - started):.1f} MB/s")


def pairs() -> None:
    """Precision and recall on the judged pairs."""
    sets = {n: [row["problem"] for row in rows(f"training_sets/{n}.json")] for n in ("math_train", "aime_1983_2023")}
    sets["gsm8k_train"] = [row["question"] for row in rows("gsm8k/train.jsonl")]
    with PAIRS.open() as stream:
        judged = list(csv.DictReader(stream))
    indices = {"math500": Index(math500()), "gsm8k": Index(gsm8k())}
    counts: defaultdict[tuple[str, str], Counter[tuple[str, bool]]] = defaultdict(Counter)
    for row in judged:
        text = sets[row["training_set"]][int(row["training_row"])]
        kind = indices[row["benchmark"]].likeness(int(row["row"]), text).kind
        counts[row["list"], row["benchmark"]][row["label"], kind is not None] += 1
    for (which, name), found in counts.items():
        right = found["same", True] + found["near", True]
        wanted = right + found["same", False] + found["near", False]
        print(f"{which} list, {name}: {dict(sorted(found.items()))}")
        print(f"    precision {right}/{right + found['different', True]}, recall {right}/{wanted}")


def planted_copies(text: str, rng: random.Random) -> dict[str, str]:
    """One copy of each kind of a problem in words."""
    names = list(dict.fromkeys(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", text) + re.findall(r"^[A-Z][a-z]{2,}", text)))
    renamed = text
    for name, other in zip(names, rng.sample(NAMES, len(NAMES)), strict=False):
        renamed = re.sub(rf"\b{name}\b", other, renamed)

    def numbered(source: str) -> str:
        return re.sub(r"\d+", lambda found: str(int(found[0]) + rng.randrange(1, 9)), source)

    spaced = re.sub(r"([=+\-$(){}])", r" \1 ", text).replace("\\frac", "\\dfrac").replace("  ", " ")
    words = text.split()
    dropped = " ".join(word for word in words if rng.random() > 0.08)
    return {
        "verbatim": f"Question: {text} Please reason step by step.",
        "LaTeX and spacing": spaced.upper() if rng.random() < 0.2 else spaced,
        "names": renamed,
        "numbers": numbered(text),
        "names and numbers": numbered(renamed),
        "8% of the words dropped": dropped,
        "inside a long response": "Let me think about another one. " * 60 + text + " Now back to it. " * 60,
        "translation": TRANSLATED.format(n=rng.randrange(9), m=rng.randrange(9)),
    }


def planted() -> None:
    """Recall by kind on GSM8K's test split and MATH-500, and false alarms on GSM8K's training split."""
    for name, items in (("gsm8k", gsm8k()), ("math500", math500())):
        index, rng = Index(items), random.Random(19)
        hits: defaultdict[str, list[bool]] = defaultdict(list)
        for number in rng.sample(range(len(items)), 200):
            for kind, copy in planted_copies(items[number].text, rng).items():
                hits[kind].append(index.likeness(number, copy).kind is not None)
        for kind, found in hits.items():
            print(f"{name:<8} {kind:<26} {sum(found)}/{len(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "pairs", "planted", "write", "large"])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/evalkit_contamination"))
    args = parser.parse_args()
    if args.what == "write":
        with args.file.open("w") if args.file else sys.stdout as stream:
            stream.writelines(set_like_r1(args.megabytes))
    elif args.what in ("speed", "large"):
        args.folder.mkdir(parents=True, exist_ok=True)
        {"speed": speed, "large": large}[args.what](args.megabytes, args.folder)
    else:
        {"pairs": pairs, "planted": planted}[args.what]()


if __name__ == "__main__":
    main()
