"""What the report page is written from: marks, redaction, pieces, options, the server, and the built front-end."""

import base64
import gzip
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, told
from report_runs import (
    Sample,
    TaskData,
    append_samples,
    maths_problems,
    maths_sample,
    report_results,
    write_samples,
    write_task_file,
)
from synthetic_runs import write_run

import evalkit.results.site as site_package
from evalkit.benchmark.registry import trust_task_file
from evalkit.errors import EvalkitError
from evalkit.results.report import load_report, stored_report
from evalkit.results.runs import Run, RunDifference, load_runs
from evalkit.results.site.export import Site, write_site
from evalkit.results.site.marks import find_loops, mark
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pieces import BUCKETS, SHARDS, grams_of, write_grams
from evalkit.results.site.redaction import Redaction
from evalkit.results.site.server import SiteServer
from evalkit.results.site.texts import Source, write_texts
from evalkit.types import Problem

STATIC = Path(site_package.__file__).parent / "static"
FRONT_END = REPOSITORY / "frontend"


def piece(site: Path, name: str) -> Any:
    """The content of a data file, read as a browser reads it."""
    text = (site / "data" / f"{name}.js").read_text()
    assert text.startswith(f'evalkitPiece("{name}","')
    return json.loads(gzip.decompress(base64.b64decode(text.split('"')[3])))


def texts(site: Path) -> list[dict[str, Any]]:
    """Every text; a piece whose texts were all left out is not there."""
    names = [f"p{i}" for i in range(piece(site, "index")["pieces"])]
    return [sample for name in names if (site / "data" / f"{name}.js").exists() for sample in piece(site, name)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_results(tmp_path_factory.mktemp("runs"))


def test_marks_count_as_a_browser_counts() -> None:
    text = "<think>\n𝒳 = 12 so the answer is 12\n</think>\n\n\\boxed{12}"
    found = mark(text, "12")
    units = text.encode("utf-16-le")
    assert units[2 * found.thinking_end :].decode("utf-16-le").startswith("</think>")
    assert found.stated is not None
    assert units[: 2 * found.stated].decode("utf-16-le").endswith("answer is 12")
    assert (found.closed, found.answer_stated) == (True, True)
    open_ended = mark("<think>\nno end", "12")
    assert (open_ended.thinking_end, open_ended.closed, open_ended.stated) == (14, False, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start!" + " Wait, let me recompute." * 60, (6, 24)),
        ("Start!" + " Wait, let me recompute." * 60 + " Wa", (6, 24)),
        ("x" * 5000, (0, 1)),
        ("\n".join(f"{i}: we try the next value of n here" for i in range(200)), None),
        ("abc" * 50, None),  # too short to say
        ("", None),
    ],
)
def test_loops_are_found_where_they_begin(text: str, expected: tuple[int, int] | None) -> None:
    found = find_loops(text)
    assert (found[0][0], found[0][2]) == expected if expected else found == ()


def test_a_line_that_comes_again_and_again_is_a_loop() -> None:
    line = "But wait, the problem says that n has to be prime, so this fails."
    text = "\n".join(part for i in range(12) for part in (line, f"Then I try n = {i * i + 7}."))
    ((start, stop, _),) = find_loops(text)
    assert text[start : start + len(line)] == line
    assert text[:stop].endswith(line)


def test_quotations_of_a_redacted_question_are_masked() -> None:
    question = "A beam of neutrons passes through a slit of width one micrometre, and hits a screen far away."
    secret = Redaction([question])
    quoted = f"So the question: {question.upper()} Let me think of slits."
    masked = secret.masked(quoted)
    assert "NEUTRONS" not in masked
    assert masked.startswith("So the question: [18 words of the question left out]")
    assert masked.endswith("Let me think of slits.")
    assert secret.masked("A beam of neutrons passes.") == "A beam of neutrons passes."
    assert Redaction([""]).masked("anything") == "anything"


def test_grams_rule_out_only_pieces_without_the_text() -> None:
    def bits(text: str) -> set[int]:
        import numpy as np

        return set(np.flatnonzero(np.unpackbits(grams_of([text]))).tolist())

    page = bits("The Discriminant of the quadratic is 1729. Größe. \ud800")
    assert bits("discriminant") <= page
    assert bits("1729") <= page
    assert not bits("eigenvalue") <= page
    assert max(page) < BUCKETS
    assert BUCKETS % SHARDS == 0


def test_the_index_of_grams_is_by_bucket(tmp_path: Path) -> None:
    import numpy as np

    write_grams(tmp_path, [grams_of([text]) for text in ("alpha beta", "gamma delta", "alpha gamma")])
    (bucket, *_) = np.flatnonzero(np.unpackbits(grams_of(["alph"]))).tolist()
    width = BUCKETS // SHARDS
    packed = (tmp_path / "data" / f"g{bucket // width}.js").read_text().split('"')[3]
    table = gzip.decompress(base64.b64decode(packed))
    assert f"{table[bucket % width]:08b}"[:3] == "101"


def test_pieces_do_not_depend_on_how_many_processes_write_them(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.results.site.texts.PIECE_BYTES", 30_000)
    (path,) = results.glob("org__student*/*/quadratics/completions.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    ids = sorted({json.loads(line)["problem_id"] for line in lines})
    asked = "Let me set up the problem carefully before computing anything."  # some texts quote it
    source = Source(3, str(path), ids, dict.fromkeys(ids, "12"), dict.fromkeys(ids, asked), None)
    start = len(b"".join(lines[:5]))
    found, written = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        found.append(list(write_texts(folder, [(source, start, 5)], 7, processes)))
        written.append({p.name: p.read_bytes() for p in (folder / "data").iterdir()})
    assert written[0] == written[1]
    assert [one.number for one in found[0]] == list(range(7, 7 + len(written[0])))
    assert len(found[0]) > 10
    for one, other in zip(*found, strict=True):
        assert (one.samples, one.parts) == (other.samples, other.parts)
        assert one.grams is not None
        assert other.grams is not None
        assert (one.grams == other.grams).all()
    assert sum(len(one.samples) for one in found[0]) == len(lines) - 5
    texts = [sample["text"] for one in found[0] for sample in piece(tmp_path / "1", f"p{one.number}")]
    assert any("words of the question left out" in text for text in texts)


def test_names_with_lone_surrogates_stay_apart_in_a_report_and_on_the_page(tmp_path: Path) -> None:
    names = ["a\ud800", "a\ud801", "a"]

    def sample(problem: Problem, i: int) -> Sample:
        return Sample("\\boxed{1}", "correct" if problem.id == "a\ud801" else "wrong", "1")

    task = TaskData("odd", "Odd \udfff", [Problem(name, "What is 1?", "1") for name in names], sample, n=1)
    clean = TaskData("odd", "Odd", [Problem("a", "What is 1?", "1")], sample, n=1)
    file = write_task_file(tmp_path / "tasks", [clean])
    run = write_samples(tmp_path / "results" / "m" / "run", "m\ud83d", [clean], file)
    described = json.loads(run.description_path.read_text())
    described["tasks"]["odd"] |= {"problem_ids": names, "title": task.title}
    run.rewrite(described)
    for path in (run.files("odd").completions_path, run.files("odd").scores_path):
        path.unlink()
    append_samples(run, task, 0)
    report = load_report(run.task("odd"))
    assert list(report.values.items()) == list(zip(names, ([0.0], [1.0], [0.0]), strict=True))
    assert stored_report(run.task("odd")) == report
    assert "a\\ud801" in run.files("odd").report_path.read_text()
    site = write_site(tmp_path / "site", SiteOptions((tmp_path / "results",), pictures=False)).folder
    index = piece(site, "index")
    assert index["problems"][0]["ids"] == names
    assert index["runs"][0]["model"] == "m\ud83d"


def test_a_damaged_line_is_told_of_wherever_it_was_read(results: Path, tmp_path: Path) -> None:
    (path,) = results.glob("org__student*/*/quadratics/completions.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = tmp_path / "completions.jsonl"
    damaged.write_bytes(b"".join([*lines[:50], lines[50].replace(b"algebra", b"algebro"), *lines[51:]]))
    for processes in (1, 2):
        with pytest.raises(EvalkitError, match=r"^Line 51 of .* is damaged: its checksum is wrong"):
            list(write_texts(tmp_path, [(Source(0, str(damaged), [], {}, None, None), 0, 0)], 0, processes))


def test_the_site_holds_every_sample_and_figure(results: Path, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", SiteOptions((results,), pictures=False)).folder
    index = piece(site, "index")
    assert [run["model"] for run in index["runs"]] == ["org/base-1.5B", "org/student-1.5B", "org/teacher-32B"]
    assert len(texts(site)) == sum(feed["planned"] for feed in index["feeds"]) == 3 * (24 * 4 + 4 * 2)
    assert [s["title"] for s in index["problems"]] == ["Quadratics", "Programs"], "runs of one task share its problems"
    for at, feed in enumerate(index["feeds"]):
        samples = piece(site, f"s{at}")
        rate = samples["status"].count(0) / len(samples["status"])
        assert feed["report"]["metrics"][0]["value"] == pytest.approx(100 * rate)
        for row in range(len(samples["problem"])):
            stored = piece(site, f"p{samples['piece'][row]}")[samples["row"][row]] if row % 29 == 0 else None
            assert stored is None or (stored["f"], stored["p"], stored["i"]) == (
                at, samples["problem"][row], samples["index"][row]
            )  # fmt: skip


def test_a_notebook_shows_a_run_and_a_comparison_with_the_pages_parts(results: Path) -> None:
    base, student, _ = load_runs(results)
    shown = base._repr_html_()
    assert "<b>org/base-1.5B</b>" in shown
    assert shown.count("<svg") == 4, "intervals and shares of two tasks"
    compared = base.compare(student)
    assert [task.task for task in compared.tasks] == ["quadratics", "programs"]
    page = compared._repr_html_()
    assert page.count("<svg") == 2
    gained = next(f.problem_id for f in compared.tasks[0].flips if f.after > f.before)
    assert gained in page
    hostile = RunDifference("<script>x</script>", "\u202eb", compared.tasks)._repr_html_()
    assert "<script" not in hostile
    assert "\u202e" not in hostile


@pytest.mark.slow
def test_the_same_runs_give_the_same_site(results: Path, tmp_path: Path) -> None:
    folders = [write_site(tmp_path / name, SiteOptions((results,))).folder for name in ("one", "two")]
    digests = [
        {str(p.relative_to(f)): hashlib.sha256(p.read_bytes()).hexdigest() for p in f.rglob("*") if p.is_file()}
        for f in folders
    ]
    assert digests[0] == digests[1]


def test_the_flags_name_what_to_look_at(results: Path, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", SiteOptions((results,), pictures=False)).folder
    index, samples = piece(site, "index"), piece(site, "s0")
    bit = {name: 1 << i for i, name in enumerate(index["flags"])}
    stored = {(t["p"], t["i"]): t["text"] for t in texts(site) if t["f"] == 0}
    for row, flags in enumerate(samples["flags"]):
        text = stored[samples["problem"][row], samples["index"][row]]
        assert bool(flags & bit["right answer missed"]) == ("Therefore the answer is" in text)
        assert bool(flags & bit["repeats"]) == ("once more. \n\nWait" in text)
        assert bool(flags & bit["cut"]) == (samples["status"][row] == 3)
        assert bool(flags & bit["nothing found"]) == (samples["answer"][row] is None)
    assert sum(bool(f & bit["right answer missed"]) for f in samples["flags"]) > 3


def test_options_leave_texts_out_and_say_so(results: Path, tmp_path: Path) -> None:
    few = write_site(tmp_path / "few", SiteOptions((results,), max_samples=10, pictures=False)).folder
    assert len(texts(few)) == 3 * (10 + 8)  # ten of 96, all eight of the programs
    assert {t["i"] for t in texts(few) if t["f"] == 0} == {0}
    assert "at most 10 completions" in piece(few, "index")["notices"][0]
    wrong = write_site(tmp_path / "wrong", SiteOptions((results,), only_wrong=True, pictures=False)).folder
    statuses = piece(wrong, "s0")["status"]
    assert len([t for t in texts(wrong) if t["f"] == 0]) == sum(s != 0 for s in statuses)
    assert len(statuses) == 96, "the list is of all"
    redacted = write_site(tmp_path / "redacted", SiteOptions((results,), redact_prompts=True, pictures=False)).folder
    assert "prompt" not in piece(redacted, "q0-0")[0]
    assert "as was asked" in piece(redacted, "index")["notices"][0]


def test_a_gated_set_is_redacted_unless_told_otherwise(tmp_path: Path) -> None:
    question = "Which moon of Saturn has a dense atmosphere of nitrogen and lakes of liquid methane near its poles?"

    def sample(problem: Problem, i: int) -> Sample:
        return Sample(f"They ask: {question}\n</think>\n\n\\boxed{{A}}", "correct", "A", f"asked: {question}")

    task = TaskData("moons", "Moons", [Problem("moon-1", question, "A")], sample, n=1, gated=True)
    file = write_task_file(tmp_path / "tasks", [task])
    write_samples(tmp_path / "results" / "m" / "run", "m", [task], file)
    site = write_site(tmp_path / "site", SiteOptions((tmp_path / "results",), pictures=False)).folder
    everything = "".join(json.dumps(piece(site, p.stem)) for p in (site / "data").glob("[!g]*.js"))
    assert "nitrogen" not in everything
    assert "[18 words of the question left out]" in everything
    (notice,) = piece(site, "index")["notices"]
    assert notice.startswith("Moons: the problems' texts were left out (its authors ask that they are not published)")
    kept = write_site(tmp_path / "kept", SiteOptions((tmp_path / "results",), redact_prompts=False, pictures=False))
    assert piece(kept.folder, "q0-0")[0]["prompt"] == question
    (tmp_path / "tasks" / "problems0.jsonl").unlink()
    blind = write_site(tmp_path / "blind", SiteOptions((tmp_path / "results",), pictures=False)).folder
    assert texts(blind) == [], "what a completion quotes cannot be told without the problems"


def test_a_tasks_own_messages_are_told_as_they_were_sent(tmp_path: Path) -> None:
    def sample(problem: Problem, i: int) -> Sample:
        return Sample("\\boxed{1}", "correct", "1")

    task = TaskData("own", "Own", [Problem(f"p{i}", f"What is {i}?", f"{i}") for i in range(2)], sample, n=1)
    file = write_task_file(tmp_path / "tasks", [task])
    own = "    def messages(self, problem):\n"
    own += "        return [{'role': 'user', 'content': f'Q{problem.id}: {problem.prompt}'}]\n"
    file.write_text(file.read_text() + own)
    trust_task_file(str(file))
    write_samples(tmp_path / "results" / "m" / "run", "m", [task], file)
    site = write_site(tmp_path / "site", SiteOptions((tmp_path / "results",), pictures=False)).folder
    assert [p["messages"][0]["content"] for p in piece(site, "q0-0")] == ["Qp0: What is 0?", "Qp1: What is 1?"]
    assert piece(site, "index")["feeds"][0]["messages"] == []


@pytest.mark.slow
def test_the_command_writes_a_folder_and_replaces_only_its_own(results: Path, tmp_path: Path) -> None:
    done = evalkit("view", results, "-o", tmp_path / "site")
    assert f"wrote {tmp_path / 'site' / 'index.html'}" in done.stderr
    (tmp_path / "site" / "stale").write_text("")
    evalkit("view", results, "-o", tmp_path / "site", "--max-samples", 1)
    assert not (tmp_path / "site" / "stale").exists()
    assert not list(tmp_path.glob(".*")), "nothing half-made is left"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    assert "is not empty and is not a report page" in told(evalkit("view", results, "-o", tmp_path / "mine", code=2))
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"
    assert "does not exist" in told(evalkit("view", tmp_path / "nowhere", "-o", tmp_path / "x", code=2))


def test_a_refresh_reads_only_what_was_added(tmp_path: Path) -> None:
    task = TaskData("quadratics", "Quadratics", maths_problems(), maths_sample(0.9, 5))
    file = write_task_file(tmp_path / "tasks", [task])
    run = write_samples(tmp_path / "results" / "m" / "run", "m", [task], file, until=20)
    site = Site(tmp_path / "site", SiteOptions((tmp_path / "results",), pictures=False), live=True)
    assert site.refresh()
    assert not site.refresh()
    before = (tmp_path / "site" / "data" / "p0.js").read_bytes()
    append_samples(run, task, 20)
    assert site.refresh()
    assert (tmp_path / "site" / "data" / "p0.js").read_bytes() == before
    assert len(texts(tmp_path / "site")) == 96
    assert piece(tmp_path / "site", "index")["feeds"][0]["report"] is not None


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(results: Path) -> None:
    command = [str(EVALKIT), "view", str(results / "org__base-1.5B")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]), timeout=60)
        connection.request("GET", "/data/state.json")
        assert json.loads(connection.getresponse().read()) == {"version": 1}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "stopped" in process.stderr.read()


@pytest.fixture(scope="module")
def server(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    folder = tmp_path_factory.mktemp("served")
    site = write_site(folder / "site", SiteOptions((results,), pictures=False)).folder
    (folder / "secret.json").write_text("{}")
    (site / "link.json").symlink_to(folder / "secret.json")
    (site / "page.php").write_text("")
    started = SiteServer(site)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def ask(
    server: SiteServer, path: str, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host if host is not None else f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


def test_the_server_sends_its_own_files_to_this_machine_alone(server: SiteServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, headers, body = ask(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"evalkit report" in body
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert ask(server, "/data/index.js?x=1")[0] == 200
    assert ask(server, "/", method="HEAD")[2] == b""
    assert ask(server, "/", f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../secret.json", "/%2e%2e/secret.json", "/data/../../secret.json", "//etc/passwd", "/link.json", "/page.php",
     "/data", "/assets/%00", "/..%5csecret.json", "/evalkit-site"],
)  # fmt: skip
def test_the_server_sends_nothing_else(server: SiteServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "host", ["attacker.invalid", "127.0.0.1", "127.0.0.1:1", "localhost.attacker.invalid:{port}", ""]
)
def test_the_server_answers_to_its_own_name_alone(server: SiteServer, host: str) -> None:
    assert ask(server, "/", host.replace("{port}", str(server.server_port)))[0] == 421


def test_the_server_writes_nothing(server: SiteServer) -> None:
    assert ask(server, "/", method="POST")[0] == 501


def test_a_taken_port_is_told(server: SiteServer) -> None:
    with pytest.raises(EvalkitError, match="cannot be used"):
        SiteServer(server.folder, server.server_port)


def test_the_built_front_end_is_that_of_its_sources() -> None:
    manifest = json.loads((STATIC / "manifest.json").read_text())
    for root, listed in ((FRONT_END, manifest["sources"]), (STATIC, manifest["built"])):
        for name, digest in listed.items():
            found = hashlib.sha256((root / name).read_bytes()).hexdigest()
            assert found == digest, f"{name}: cd {FRONT_END}; npm ci; npm run build"
    built = {str(p.relative_to(STATIC)) for p in STATIC.rglob("*") if p.is_file()} - {"manifest.json"}
    assert built == manifest["built"].keys()
    sources = {str(p.relative_to(FRONT_END)) for p in (FRONT_END / "src").rglob("*") if p.is_file()}
    assert sources <= manifest["sources"].keys()


def test_katex_comes_with_its_fonts_and_licence() -> None:
    licences = (STATIC / "assets" / "licences.txt").read_text()
    pinned = json.loads((FRONT_END / "package.json").read_text())["dependencies"]
    for name in ("katex", "preact", "uplot", "highlight.js"):
        assert f"{name} {pinned[name]} (" in licences
    assert "The MIT License (MIT)" in licences
    style = (STATIC / "assets" / "katex.css").read_text()
    import re

    fonts = set(re.findall(r"url\(fonts/([\w-]+\.woff2)\)", style))
    assert len(fonts) == 20
    assert fonts == {p.name for p in (STATIC / "assets" / "fonts").iterdir()}
    assert "http" not in style
    assert json.loads((STATIC / "manifest.json").read_text())["katex"] == pinned["katex"]


@pytest.mark.slow
def test_a_build_of_the_sources_gives_the_committed_files(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        if os.environ.get("EVALKIT_REQUIRE_REAL_DATA"):
            pytest.fail("there is no npm on this machine")
        pytest.skip("there is no npm on this machine: the manifest alone is checked")
    source = tmp_path / "frontend"
    shutil.copytree(FRONT_END, source, ignore=shutil.ignore_patterns("node_modules"))
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build", "--", str(tmp_path / "static")]):
        subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=600)
    built = {
        str(p.relative_to(tmp_path / "static")): p.read_bytes() for p in (tmp_path / "static").rglob("*") if p.is_file()
    }
    committed = {str(p.relative_to(STATIC)): p.read_bytes() for p in STATIC.rglob("*") if p.is_file()}
    assert built.keys() == committed.keys()
    assert [name for name in built if built[name] != committed[name]] == []


def test_a_notebook_says_that_a_run_is_a_subset(tmp_path: Path) -> None:
    for name, available in (("part", 200), ("whole", 3)):
        write_run(tmp_path / name, "org/m", {"math500": [[True, False]] * 3}, available=available)
    assert "<td>3 of 200 × 2</td>" in Run(tmp_path / "part")._repr_html_()
    assert "<td>3 × 2</td>" in Run(tmp_path / "whole")._repr_html_()
