"""The report page in a real browser: headless Chromium on pages from disk and from the server."""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attack_strings import ATTACKS, CALL, HOST, PILE
from report_runs import (
    MODELS,
    Sample,
    TaskData,
    add_fidelity,
    append_samples,
    maths_problems,
    maths_sample,
    report_results,
    write_samples,
    write_task_file,
)

from evalkit.results.site.export import Site, copy_front_end, write_site
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.server import SiteServer, serving
from evalkit.store.lines import encode_line
from evalkit.types import Problem

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=30_000)

# without the last ones Chromium asks hosts of its own maker's at start
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 30_000  # milliseconds: a busy machine is slow, and none of the tests measures that


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium. Where the browser has to be there, a missing one is a failure."""
    path = os.environ.get("EVALKIT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("EVALKIT_REQUIRE_REAL_DATA"):
            pytest.fail("there is no Chromium on this machine: apt-get install chromium")
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(CHROMIUM))
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a base, a student and a teacher, with the distillation page."""
    folder = tmp_path_factory.mktemp("page")
    results = report_results(folder)
    runs = [results / model.replace("/", "__") for model, _ in MODELS]
    _add_opinions(runs[1] / "deepseek-r1-0123abcd" / "quadratics")
    add_fidelity(runs[1] / "deepseek-r1-0123abcd")
    # many pieces, as a large site has, so that the search uses the index
    options = SiteOptions(
        (results,), ("deepseek-r1",), teacher=(str(runs[2]),), base=(str(runs[0]),), students=(runs[1],)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evalkit.results.site.texts.PIECE_BYTES", 20_000)
        return write_site(folder / "site", options).folder


def _add_opinions(task: Path) -> None:
    key = {"task": "quadratics", "problem_id": "algebra/00", "sample_index": 0}
    wrong = {"grader": "llm judge-1", "status": "wrong", "answer": "7", "explanation": "the sum is off"}
    right = wrong | {"status": "correct"}
    lines = [
        encode_line({**key, **said, "sample_index": i}) for i in range(4) for said in (wrong, right)[i % 2 : i % 2 + 1]
    ]
    (task / "second_opinions.jsonl").write_bytes(b"".join(lines))


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    server = SiteServer(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.url
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["file", "server"])
def address(request: pytest.FixtureRequest, site: Path, served: str) -> str:
    """The address of the page: from disk, and from a server."""
    return served if request.param == "server" else (site / "index.html").as_uri()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on any error on its console and any request to elsewhere."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    errors: list[str] = []
    strangers: list[str] = []

    def watch(request: Any) -> None:
        if not request.url.startswith(("file:///", "blob:", "http://127.0.0.1:")):
            strangers.append(request.url)

    opened.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))

    def dismiss(dialog: Any) -> None:
        errors.append(f"dialog {dialog.message}")
        dialog.dismiss()

    opened.on("dialog", dismiss)
    context.on("request", watch)
    context.on("page", lambda other: errors.append(f"opened {other.url}") if other is not opened else None)
    opened.add_init_script("window.evalkitPwned = () => { document.documentElement.dataset.pwned = 'yes'; };")
    yield opened
    pwned = opened.evaluate("document.documentElement.dataset.pwned")
    context.close()
    assert errors == []
    assert strangers == []
    assert pwned is None


STUDENT = hashlib.sha256(b"org__student-1.5B/deepseek-r1-0123abcd").hexdigest()[:8]  # its run in addresses
PAGES = {
    "leaderboard": ("", "Leaderboard"),
    "run": (f"#/run/{STUDENT}", "org/student-1.5B"),
    "samples": ("#/samples", "Samples"),
    "task": ("#/task/0", "Quadratics"),
    "problem": ("#/problem/0/algebra%2F03", "algebra/03"),
    "program": ("#/problem/1/program-1", "program-1"),
    "compare": ("#/compare", "Compare"),
    "distillation": ("#/distillation", "Distillation: student-1.5B"),
    "fidelity": ("#/fidelity", "Fidelity"),
    "disputes": ("#/disputes", "Disputes and decisions"),
}


def go(page: Any, address: str, fragment: str = "") -> None:
    """Open the page afresh: another fragment alone would not load it again."""
    page.goto("about:blank")
    page.goto(address + fragment)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_each_page_opens(page: Any, address: str, name: str) -> None:
    fragment, heading = PAGES[name]
    go(page, address, fragment)
    expect(page.locator("h1")).to_have_text(re.compile(re.escape(heading)), timeout=PATIENCE)
    expect(page).to_have_title(re.compile(re.escape(heading)))


@pytest.mark.slow
def test_a_run_page_has_its_figures_settings_and_pictures(page: Any, address: str) -> None:
    go(page, address)
    page.get_by_role("rowheader", name="student-1.5B").get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("org/student-1.5B")
    for told in ("protocol.temperature", "Throughput", "pass@1", "Completion lengths", "packages.torch"):
        expect(page.locator("main")).to_contain_text(told)
    first = page.locator("figure.drawn img").first
    first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('figure.drawn img').naturalWidth > 0")
    page.locator("figure.drawn .frame").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text(re.compile(r"\d"))
    expect(page.locator(".uplot canvas").first).to_be_visible()


@pytest.mark.slow
def test_the_leaderboard_sorts_and_filters(page: Any, address: str) -> None:
    go(page, address)
    names = page.locator("table.leaderboard tbody th a")
    expect(names).to_have_count(3)
    page.get_by_role("button", name="Quadratics").last.click()
    expect(names).to_have_text(["teacher-32B", "student-1.5B", "base-1.5B"])
    page.get_by_role("columnheader", name="Quadratics").get_by_role("button").click()
    expect(names).to_have_text(["base-1.5B", "student-1.5B", "teacher-32B"])
    expect(page.get_by_role("columnheader", name="Quadratics")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Models").fill("teach")
    expect(names).to_have_count(1)
    page.get_by_label("Models").fill("")
    page.get_by_role("button", name="AIME 2024").first.click()
    expect(page.get_by_role("rowheader", name="DeepSeek-R1-Distill-Qwen-7B")).to_be_visible()
    expect(page.get_by_role("rowheader", name="QwQ-32B-Preview")).to_have_count(0)
    page.get_by_role("button", name="all their models and metrics").click()
    expect(page.get_by_role("rowheader", name="QwQ-32B-Preview")).to_be_visible()


@pytest.mark.slow
def test_a_wrongly_graded_sample_is_three_clicks_from_the_leaderboard(page: Any, address: str) -> None:
    go(page, address)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="student-1.5B"))
    row.get_by_role("cell").first.get_by_role("link").click()
    page.get_by_role("button", name=re.compile("right answer missed")).click()
    page.locator("table.samples tbody a").first.click()
    expect(page.locator(".sample .status")).to_contain_text("no answer")
    expect(page.locator(".sample")).to_contain_text("Therefore the answer is")


@pytest.mark.slow
def test_text_search_finds_every_sample_that_has_it_and_the_link_keeps_it(page: Any, address: str, site: Path) -> None:
    go(page, address, "#/samples")
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("i COULD not determine")
    page.keyboard.press("Enter")
    expect(page.locator("main [role=status]").first).to_contain_text("have it")
    found = int(re.match(r"\d+", page.locator("main [role=status]").first.inner_text())[0])  # type: ignore[index]
    expect(page.locator("tr.hit mark")).to_have_count(found)
    expect(page.locator("tr.hit mark").first).to_have_text("I could not determine")
    assert found > 3
    assert "q=i+COULD+not+determine" in page.url
    link = page.url
    go(page, link)
    expect(page.locator("tr.hit mark")).to_have_count(found)
    go(page, address, "#/samples?status=wrong&q=could not determine")
    expect(page.locator("main")).to_contain_text("No sample matches.")


@pytest.mark.slow
def test_the_keyboard_alone_reads_samples(page: Any, address: str) -> None:
    go(page, address, "#/samples?flag=repeats")
    expect(page.locator("table.samples tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("sample 2 of")
    page.keyboard.press("n")
    expect(page.locator("main")).to_contain_text("sample 3 of")
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(page.locator("main")).to_contain_text("sample 1 of")
    expect(page.locator(".prose")).to_have_count(0)
    page.keyboard.press("o")
    expect(page.locator(".mark.loop").first).to_contain_text("repeats itself from here")
    expect(page.locator(".mark.limit").first).to_contain_text("cut at the limit of 8,192 tokens")
    page.keyboard.press("r")
    expect(page.locator("pre.raw")).to_contain_text("discriminant once more")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next and previous sample")
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    expect(page.locator("h1")).to_have_text("Leaderboard")


@pytest.mark.slow
def test_thinking_has_an_outline_formulas_and_marks(page: Any, address: str) -> None:
    go(page, address, "#/samples?status=correct&task=quadratics")
    page.locator("table.samples tbody a").first.click()
    page.locator("details.thinking > summary").click()
    expect(page.locator(".outline .box").first).to_be_visible()
    expect(page.locator(".outline .stated")).to_have_count(1)
    expect(page.locator(".mark").first).to_contain_text("the right answer is first stated here")
    page.locator(".outline .stated button").click()
    expect(page.locator(".prose .katex").first).to_be_attached()
    loaded = page.evaluate("document.fonts.load('16px KaTeX_Math').then(found => found.length)")
    assert loaded == 1, "KaTeX's fonts come with the page"


@pytest.mark.slow
def test_a_program_stands_beside_its_failing_test(page: Any, address: str) -> None:
    go(page, address, "#/samples?task=programs&status=wrong")
    page.get_by_label("Tests' verdict").select_option("wrong answer")
    page.locator("table.samples tbody a").first.click()
    expect(page.locator("pre.code").first).to_contain_text("def solve")
    expect(page.locator("pre.code .hl-keyword").first).to_be_attached()
    expect(page.locator("pre.explanation")).to_contain_text("expected:")


@pytest.mark.slow
def test_runs_stand_side_by_side_on_one_problem(page: Any, address: str) -> None:
    go(page, address, "#/problem/0/algebra%2F05")
    expect(page.locator("section.column")).to_have_count(3)
    page.get_by_role("button", name="take base-1.5B away").click()
    expect(page.locator("section.column")).to_have_count(2)
    page.locator("section.column").first.get_by_role("button", name=re.compile("^sample 2")).click()
    expect(page.locator("section.column").first).to_contain_text("sample 2 ·")
    link = page.url
    go(page, link)
    expect(page.locator("section.column").first).to_contain_text("sample 2 ·")
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("algebra/06")


@pytest.mark.slow
def test_a_comparison_lists_gains_and_losses(page: Any, address: str) -> None:
    go(page, address, "#/compare")
    expect(page.locator("main")).to_contain_text("Gained: B solves it more often")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Quadratics"))
    gain = row.get_by_role("cell").nth(3).inner_text()
    page.get_by_role("button", name="swap").click()
    expect(row.get_by_role("cell").nth(3)).to_have_text(gain.replace("+", "−"))
    page.locator("section.flips a").first.click()
    expect(page.locator("section.column")).to_have_count(2)


@pytest.mark.slow
def test_fidelity_is_told_by_group_and_by_position(page: Any, address: str) -> None:
    go(page, address, "#/fidelity")
    expect(page.locator("main")).to_contain_text("Teacher: org/teacher-32B. Texts: quadratics, written by the teacher.")
    expect(page.locator("main")).to_contain_text("org/other-tokenizer-7B: its tokens are not the teacher's")
    measures = page.get_by_role("table").first
    expect(measures.get_by_role("columnheader")).to_have_text(
        ["measure", "all", "thinking", "answer", "undecided", "right", "wrong"]
    )
    expect(measures.get_by_role("row", name="same likeliest token")).to_contain_text(re.compile(r"\d+\.\d% ±2\.0"))
    expect(page.get_by_role("row", name="tokens 256-1023")).to_have_count(1)
    page.get_by_role("link", name="student-1.5B").first.click()
    expect(page.locator("h1")).to_have_text("org/student-1.5B")


@pytest.mark.slow
def test_a_search_of_every_text_goes_on_in_another_worker(page: Any, address: str, site: Path) -> None:
    pieces = len(list((site / "data").glob("p*.js")))
    assert pieces > 8, "more than one worker reads"
    workers: list[str] = []
    page.on("worker", lambda worker: workers.append(worker.url))
    go(page, address, "#/samples?q=we")  # too short for the index
    expect(page.locator("main [role=status]").first).to_contain_text("of 312 have it")
    expect(page.locator("main [role=status]").first).to_contain_text(re.compile("^(2[0-9][0-9]|3[01][0-9]) samples"))
    assert len(workers) == (pieces + 7) // 8


@pytest.mark.slow
def test_disputes_lead_to_their_samples(page: Any, address: str) -> None:
    go(page, address, "#/disputes")
    page.locator("tbody a").first.click()
    expect(page.locator(".sample").first).to_contain_text("llm judge-1 says")


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_serious_fault_of_accessibility(browser: Any, site: Path, name: str, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # axe is a script of the test's, which the page's policy would refuse
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme=colours, bypass_csp=True)
    opened = context.new_page()
    opened.goto((site / "index.html").as_uri() + PAGES[name][0])
    expect(opened.locator("h1")).to_be_visible(timeout=PATIENCE)
    opened.wait_for_timeout(500)
    opened.keyboard.press("o")
    opened.wait_for_timeout(500)
    found = axe.Axe().run(opened).response["violations"]
    context.close()
    serious = [
        (v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.slow
def test_a_growing_run_is_followed(page: Any, tmp_path: Path) -> None:
    task = TaskData("quadratics", "Quadratics", maths_problems(), maths_sample(0.9, 5))
    file = write_task_file(tmp_path / "tasks", [task])
    run = write_samples(tmp_path / "results" / "growing" / "run", "org/growing", [task], file, until=10)
    options = SiteOptions((tmp_path / "results",), pictures=False)  # drawing them is slow on a busy machine
    site = Site((tmp_path / "served").resolve(), options, live=True)
    copy_front_end(site.folder)
    site.refresh()
    with serving(site, every=0.2) as server:
        page.goto(server.url)
        expect(page.locator("main")).to_contain_text("10 of 96")
        expect(page.locator(".live")).to_be_visible()
        append_samples(run, task, 10, 30)
        expect(page.locator("main")).to_contain_text("30 of 96", timeout=PATIENCE)
        append_samples(run, task, 30)
        expect(page.locator("table.leaderboard")).to_contain_text("growing", timeout=3 * PATIENCE)
        page.goto(f"{server.url}#/samples")
        expect(page.locator("main")).to_contain_text("96 samples", timeout=PATIENCE)


@pytest.mark.slow
def test_a_page_fits_a_phone_and_a_printer(browser: Any, site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    for fragment, _ in PAGES.values():
        opened.goto("about:blank")
        opened.goto((site / "index.html").as_uri() + fragment)
        expect(opened.locator("h1")).to_be_visible(timeout=PATIENCE)
        opened.wait_for_timeout(300)
        wide = opened.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{fragment} scrolls sideways: {wide}"
    opened.emulate_media(media="print")
    expect(opened.locator("header")).to_be_hidden()
    context.close()


# One attack in each field of a task, in rotation; the tests go through every page that shows it.
def hostile_tasks() -> list[TaskData]:
    def sample(problem: Problem, i: int) -> Sample:
        attack = ATTACKS[int(problem.id.partition(" ")[0])]
        pile = PILE if problem.id.startswith("0 ") else ""
        text = f"{attack}\n\nthinking {attack}\n</think>\n\n{attack}\n\n\\boxed{{{attack}}} {pile}"
        return Sample(
            text, "wrong", attack, f"{attack} is not {attack}\n{attack}", facts={"verdict": attack, attack: attack}
        )

    problems = [
        Problem(f"{i} {_encodable(attack)}", attack, attack, {"subject": attack, "level": attack, "note": attack})
        for i, attack in enumerate(ATTACKS)
    ]
    return [TaskData("hostile", ATTACKS[0], problems, sample, n=1, prompt="{problem} " + ATTACKS[1])]


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    tasks = hostile_tasks()
    # the data set cannot hold lone surrogates
    clean = [
        replace(t, problems=[replace(p, prompt=_encodable(p.prompt), target=_encodable(p.target)) for p in t.problems])
        for t in tasks
    ]
    file = write_task_file(folder / "tasks", clean)
    for i, name in enumerate((ATTACKS[9], ATTACKS[12], "\u202egnp.exe")):
        path = folder / "results" / f"<img src=x onerror={CALL.replace('/', '')}> {i}" / "r'\"><script>x"
        write_samples(path, name, tasks, file)
        opinions = [
            encode_line({
                "task": "hostile", "problem_id": p.id, "sample_index": 0, "grader": _encodable(attack),
                "status": "correct", "answer": attack, "explanation": attack,
            })
            for p, attack in zip(tasks[0].problems, ATTACKS, strict=True)
        ]  # fmt: skip
        (path / "hostile" / "second_opinions.jsonl").write_bytes(b"".join(opinions))
    return write_site(folder / "site", SiteOptions((folder / "results",))).folder


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def test_the_corpus_is_large() -> None:
    assert len(set(ATTACKS)) == len(ATTACKS) >= 60
    assert sum(CALL in attack or HOST in attack for attack in ATTACKS) >= 50


@pytest.mark.slow
def test_hostile_text_runs_nothing_and_sends_nothing(page: Any, hostile_site: Path) -> None:
    address = (hostile_site / "index.html").as_uri()
    go(page, address)
    expect(page.locator("main")).to_contain_text("<script>evalkitPwned(1)</script>")
    keys = page.evaluate("[...document.querySelectorAll('table.leaderboard tbody th a')].map(a => a.hash)")
    assert len(keys) == 3
    for fragment in (*keys, "#/task/0", "#/compare", "#/disputes", "#/samples", "#/samples?q=evalkitPwned"):
        go(page, address, fragment)
        expect(page.locator("main")).to_contain_text(CALL)
    expect(page.locator("main")).to_contain_text(f"of {3 * len(ATTACKS)} have it", timeout=PATIENCE)
    page.get_by_role("searchbox").fill("<script>")
    page.keyboard.press("Enter")
    expect(page.locator("tr.hit mark").first).to_have_text("<script>")


# KaTeX's own boxes hold zero-width spaces; what it was given is in its annotation
_SHOWN = """() => {
    const main = document.querySelector("main").cloneNode(true);
    for (const set of main.querySelectorAll(".katex-html")) set.remove();
    return main.textContent;
}"""


@pytest.mark.slow
def test_each_attack_is_shown_as_text_by_the_reader(page: Any, hostile_site: Path) -> None:
    go(page, (hostile_site / "index.html").as_uri(), "#/task/0?sort=set")
    page.locator("table.problems tbody a").first.click()
    page.keyboard.press("o")
    seen = []
    for _ in ATTACKS:
        expect(page.locator("main")).to_contain_text("is not", timeout=PATIENCE)
        page.wait_for_timeout(120)  # formulas and code are set a moment later
        seen.append(page.evaluate(_SHOWN))
        page.keyboard.press("j")
    for attack, text in zip(ATTACKS, seen, strict=True):
        assert "\u202e" not in text
        assert "\u200b" not in text
        assert "\x1b" not in text
        if attack in ATTACKS[:40]:
            assert re.sub(r"\s+", " ", attack) in re.sub(r"\s+", " ", text), attack
    assert "⟨U+202E⟩gnp.exe" in "".join(seen)
    assert "more combining marks⟩" in seen[0]


def test_the_policy_is_strict_and_there_is_no_inline_code() -> None:
    import evalkit.results.site.server as server

    index = (Path(server.__file__).parent / "static" / "index.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', index)
    assert policy == server.POLICY
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|<script>|style=", index)
    bundle = (Path(server.__file__).parent / "static" / "assets" / "app.js").read_text()
    assert "eval(" not in bundle.replace(".eval(", "")
    assert "new Function(" not in bundle
