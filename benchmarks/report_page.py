"""The report page at 20,000 samples of 30,000 characters: how fast it is exported, opened, searched, and its memory.

    python benchmarks/report_page.py [--samples 20000] [--characters 30000] [--folder DIR] [--only-export]
    python benchmarks/report_page.py --folder DIR --only-browse

Browsing needs Chromium. With --folder the completions and the page stay there, and are used again. The texts are
sentences of random words, formulas and numbers; their words follow Zipf's law, so that they compress about as well as
English. A quarter of them has a sign that is not ASCII. Times are wall-clock seconds on this machine.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import tempfile
import threading
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from evalkit.benchmark.data import DataSource
from evalkit.importers.problem_set import PROBLEM_SET, ProblemSet
from evalkit.results.entries import load_entries
from evalkit.results.site.export import write_site
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.server import SiteServer
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory, completion_record, score_record
from evalkit.types import Completion, SampleKey, Score, Status

RUNS = 4
TASK = "benchmark"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
             "--enable-precise-memory-info")  # fmt: skip
RARE = "zyzzyva quokka"


def words(rng: random.Random) -> tuple[list[str], list[float]]:
    """Words, and how often they come, added up."""
    letters = "etaoinshrdlucmfwypvbgk"
    found = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(20_000)]
    return found, list(accumulate(1 / (rank + 2) for rank in range(len(found))))


def sentences(rng: random.Random, count: int) -> list[str]:
    """Sentences to draw from; drawing words for every text would take longer than what is measured."""
    known, weights = words(rng)
    made = []
    for _ in range(count):
        text = " ".join(rng.choices(known, cum_weights=weights, k=rng.randint(6, 24))).capitalize()
        if rng.random() < 0.3:
            text += f", so $x_{{{rng.randint(1, 9)}}} = \\frac{{{rng.randint(1, 9999)}}}{{{rng.randint(2, 99)}}}$"
        if rng.random() < 0.001:
            text += " ≤ 2√3"
        made.append(text + rng.choice([". ", ".\n\n", ". Wait, ", ".\n"]))
    return made


def write_problems(run: Path, problems: list[str]) -> str:
    """The problems with their right answers, as an imported log keeps them; returns the data's fingerprint."""
    path = run / TASK / "problems.jsonl"
    path.parent.mkdir(parents=True)
    rows = [{"id": p, "prompt": f"Which number comes after {p}?", "target": p[1:], "metadata": {}} for p in problems]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = DataSource(root=run)
    ProblemSet(label=TASK).load(source)
    return source.loaded[0].fingerprint


def write_results(folder: Path, samples: int, characters: int) -> None:
    """Runs of one task with so many samples in all."""
    rng = random.Random(0)
    pool = sentences(rng, 60_000)
    n = 8
    problems = [f"p{i}" for i in range(max(1, samples // RUNS // n))]
    for number in range(RUNS):
        run = RunDirectory(folder / f"model-{number}" / "run")
        fingerprint = write_problems(run.path, problems)
        run.rewrite({
            "schema": 1, "evalkit": "0.2.0", "model": f"org/model-{number}",
            "identity": {"engine": {}, "protocol": {"name": "deepseek-r1"}, "seed": 0},
            "protocol": {"name": "deepseek-r1"}, "environment": {},
            "tasks": {TASK: {
                "title": "Benchmark", "spec": {"name": TASK, "file": PROBLEM_SET, "options": {"label": TASK}},
                "identity": {
                    "version": 1, "sampling": {"max_tokens": 32768}, "prompt": "{problem}",
                    "data": [{"hub_id": f"imported/{TASK}", "fingerprint": fingerprint}],
                },
                "sampling": {"n": n}, "problem_ids": problems, "problems_available": len(problems),
            }},
        })  # fmt: skip
        files = run.files(TASK)
        with files.completions_path.open("wb") as completions, files.scores_path.open("wb") as scores:
            for problem in problems:
                for i in range(n):
                    parts, length = [], 0
                    while length < characters:
                        parts.append(rng.choice(pool))
                        length += len(parts[-1])
                    if problem == "p7" and i == 3:
                        parts.append(RARE)
                    right = rng.random() < 0.6
                    text = f"{''.join(parts)}\n</think>\n\nThe answer is \\boxed{{{problem[1:]}}}."
                    done = Completion(TASK, problem, i, text, "stop", 90, len(text) // 4, 20.0, "<think>\n")
                    completions.write(encode_line(completion_record(done)))
                    status: Status = "correct" if right else "wrong"
                    score = Score(float(right), status, problem[1:], "", "box", key=SampleKey(TASK, problem, i))
                    scores.write(encode_line(score_record(score, f"{TASK}@1")))


def browse(address: str) -> dict[str, Any]:
    """First paint, search times and memory of the page at `address`."""
    from playwright.sync_api import expect, sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    told: dict[str, Any] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(180_000)
        start = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("table.leaderboard")
        told["leaderboard there"] = time.perf_counter() - start
        told["first contentful paint"] = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0]?.startTime / 1000"
        )
        start = time.perf_counter()
        page.goto(f"{address}#/samples")
        page.wait_for_selector("table.samples")
        told["list of all samples"] = time.perf_counter() - start
        queries = {"rare": RARE, "absent": "nowhere to be found", "two letters": "zq", "in every text": "wait, "}
        for name, query in queries.items():
            start = time.perf_counter()
            page.goto("about:blank")
            page.goto(f"{address}#/samples?q={query}")
            status = page.locator("main p[role=status]").first
            expect(status).to_contain_text(re.compile("have it|stopped here"), timeout=180_000)
            told[f"search, {name}"] = time.perf_counter() - start
            told[f"hits, {name}"] = status.inner_text()
            told[f"most memory until then, {name}, MB"] = _largest(browser)
        start = time.perf_counter()
        page.locator("table.samples tbody a").first.click()
        page.wait_for_selector("details.thinking")
        told["a sample"] = time.perf_counter() - start
        page.keyboard.press("o")
        page.wait_for_selector(".prose .katex")
        told["most memory, MB"] = _largest(browser)
        browser.close()
    return told


def _largest(browser: Any) -> float:
    """The most memory that a page's process has had, in MB."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return max(_resident(p["id"]) for p in found if p["type"].lower() == "renderer")


def _resident(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 1000, 1)
    return 0.0


def export(results: Path, site: Path) -> dict[str, Any]:
    """Write the page; returns how fast that was. The runs' reports are there before, as after every run."""
    size = sum(f.stat().st_size for f in results.rglob("completions.jsonl")) / 1e6
    reports = time.perf_counter()
    load_entries(sorted(results.glob("*/*")))
    wall, cpu = time.perf_counter(), _processor_time()
    reports = wall - reports
    write_site(site, SiteOptions((results,), pictures=False))
    wall, cpu = time.perf_counter() - wall, _processor_time() - cpu
    return {
        "completions, MB": size,
        "reports of the runs before, s": reports,
        "export, s": wall,
        "export, MB/s": size / wall,
        "export, MB per second of processor time": size / cpu,
        "export, most memory of this process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "export, most memory of another, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000,
        "site, MB": sum(f.stat().st_size for f in site.rglob("*") if f.is_file()) / 1e6,
        "load average": os.getloadavg()[0],
        "processors": os.cpu_count(),
    }


def _processor_time() -> float:
    """Seconds of this process and of those that it started and that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--characters", type=int, default=30_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only-export", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--only-browse", action="store_true", help="open the page that is in the folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="report-page-"))
    results, site = folder / "results", folder / "site"
    if not options.only_browse:
        if not results.exists():
            write_results(results, options.samples, options.characters)
        print(json.dumps(export(results, site), indent=1), flush=True)
    if options.only_export:
        return
    print(json.dumps({"from disk": browse((site / "index.html").as_uri())}, indent=1), flush=True)
    server = SiteServer(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"from a server": browse(server.url)}, indent=1))
    server.shutdown()


if __name__ == "__main__":
    main()
