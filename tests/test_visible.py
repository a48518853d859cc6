"""What commands print: nothing of a file, a model or a server reaches a terminal, a page or a spreadsheet raw."""

import ast
import csv
import io
import json
import logging
import shutil
import unicodedata
from pathlib import Path

import file_fuzz
import pytest
from file_fuzz import REPOSITORY, observed
from synthetic_runs import solve_rates, write_run

import evalkit
from evalkit.results.formats.renderers.latex import latex_escape
from evalkit.store.lines import encode_line
from evalkit.visible import json_text, spreadsheet_text, visible, visible_line

ROOT = Path(evalkit.__file__).parent
ESCAPES = (
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b31m",
    "\x9d0;title\x9c",
    "\x90data\x9c",
    "a\x08\x08\x08b",
    "a\rb",
    "\x7f",
    "\x00",
    "\x85next",
    "\u202eright to left",
    "\u2066isolate\u2069",
    "\u200e\u200f\u061c",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff",
    "tags\U000e0041\U000e0042\U000e007f",
    "fill\u3164\u115f\uffa0",
    "select\ufe00\U000e0100",
    "soft\u00adhyphen",
    "\u2028line\u2029",
    "\ud800 surrogate",
    "\ue000 private",
    "\U0001bca0 shorthand",
)
HOSTILE = " ".join(ESCAPES)


@pytest.mark.parametrize("text", ESCAPES)
def test_what_acts_on_a_terminal_becomes_an_escape(text: str) -> None:
    for made in (visible(text), visible_line(text)):
        assert all(c == " " or unicodedata.category(c)[0] != "C" for c in made.replace("\n", " ").replace("\t", " "))
        assert "\x1b" not in made
        made.encode()
    assert "\n" not in visible_line(text)
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", ["plain", "é ü ß", "数学", "−±≤", "a b c\u2009d", "✔️ 😀", "tab\tand\nline", ""])
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", ESCAPES)
def test_json_has_its_own_escapes(text: str) -> None:
    made = json_text({"text": text, text: 1}, indent=1)
    assert visible(made) == made
    assert json.loads(made) == {"text": text, text: 1}


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(1)", " =1", "\t=1", "\r=1", "\n=1", "\t1", "\r1", "\u00a0=1", "\u3000=1"),
        *("＝1+1", "＋1", "－1+1", "＠A1", "﹦1", "﹢1", "﹣1", "﹫1", " ＝1", "\u200b=1", "\ufeff=1", "\u2060@x"),
        *("\x00=1", "\u202e=1", "\U000e0041=1", "-2+3*cmd|' /C calc'!A0", "+44 123", "--1", "-", "=", "-1e5x"),
    ],
)
def test_no_spreadsheet_runs_a_cell(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([spreadsheet_text(text)])
    (cell,) = next(csv.reader(io.StringIO(out.getvalue())))
    assert cell.startswith("'")


@pytest.mark.parametrize("text", ["-5", "+5.25", "-1e5", "-.5", "5", "a=b", "x-y", "'=1", "text", ""])
def test_numbers_and_text_stay_in_a_spreadsheet(text: str) -> None:
    assert spreadsheet_text(text) == text


@pytest.mark.parametrize(
    "label", ["[2cm] x", "*", "* x", "[", "]x[", "\\\\[x]", "\\input{/etc/passwd}", "^^41", "%x", "~"]
)
def test_no_label_means_anything_to_tex(label: str) -> None:
    made = latex_escape(label)
    assert made[0] not in "[*%"
    assert "\\input" not in made.replace("\\textbackslash{}input", "")
    for special in "[]*":
        assert made.count(special) == made.count(f"{{{special}}}")


@pytest.mark.slow
def test_commands_print_in_one_place_only() -> None:
    """`print`, `click.echo` and writes to the standard streams stand in cli/terminal.py, and nowhere else."""
    found = []
    for path in [*ROOT.rglob("*.py"), *(REPOSITORY / "tasks").rglob("*.py")]:
        inside = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
        if path == ROOT / "cli" / "terminal.py" or "child" in path.parts:  # the sandbox's child has no terminal
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _prints(node):
                found.append(f"{inside}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert not found, found


def _prints(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name == "print":  # what is printed elsewhere has to be made visible on the spot
        return not (len(call.args) == 1 and ast.unparse(call.args[0]).startswith("visible_line("))
    if name in (
        "click.echo",
        "click.secho",
        "click.echo_via_pager",
        "pprint",
        "sys.displayhook",
        "warnings.showwarning",
    ):
        return True
    return name.startswith(("sys.stdout.write", "sys.stderr.write", "sys.__stdout__", "sys.__stderr__", "rich.print"))


def test_the_scan_sees_prints_of_every_form() -> None:
    code = "print(x)\nclick.echo(x)\nclick.secho(x)\nsys.stderr.write(x)\nprint(visible_line(x), end='')\nf(x)\n"
    calls = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)]
    assert sum(map(_prints, calls)) == 4


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text that a stranger can choose is hostile."""
    path = tmp_path_factory.mktemp("hostile") / "run"
    run = write_run(path, f"lab/{HOSTILE}", {"arithmetic": solve_rates(6, 2, 0.5)}, titles={"arithmetic": HOSTILE})
    content = json.loads(run.description_path.read_text())
    content["identity"]["protocol"]["name"] = HOSTILE
    content["identity"]["protocol"]["system_prompt"] = HOSTILE
    content["identity"]["engine"] = {"backend": HOSTILE, "peer": HOSTILE, "quantization": HOSTILE, HOSTILE: HOSTILE}
    task = content["tasks"]["arithmetic"]
    task["identity"]["data"] = [{"hub_id": HOSTILE, "fingerprint": HOSTILE}]
    task["identity"]["prompt"] = task["data_folder"] = HOSTILE
    ids = task["problem_ids"]
    task["problem_ids"] = [f"{HOSTILE}{i}" for i in ids]
    run.rewrite(content)
    folder = path / "arithmetic"
    for name in ("completions", "scores"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            row.pop("crc")
            row["problem_id"] = f"{HOSTILE}{row['problem_id']}"
            row.update({"text": HOSTILE} if name == "completions" else {"explanation": HOSTILE, "answer": HOSTILE})
        (folder / f"{name}.jsonl").write_bytes(b"".join(map(encode_line, rows)))
    key = {"task": "arithmetic", "problem_id": rows[0]["problem_id"], "sample_index": 0}
    opinion = {**key, "grader": HOSTILE, "status": "wrong", "answer": HOSTILE, "explanation": HOSTILE}
    (folder / "second_opinions.jsonl").write_bytes(encode_line(opinion))
    verdict = {"name": HOSTILE, "value": 1.0, "scope": "sample", "answer": HOSTILE}
    (folder / "peer_scores.jsonl").write_bytes(encode_line({**key, "verdicts": [verdict]}))
    return path


@pytest.mark.parametrize(
    "command", [*file_fuzz.READING, *file_fuzz.DISTILLING, ("grade-diff", "{run}"), ("score", "{run}")]
)
def test_a_hostile_run_is_printed_with_nothing_raw(hostile_run: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    copies = {}
    for name in ("other", "base"):
        copies[name] = tmp_path / f"{name}s" / "run"
        shutil.copytree(hostile_run, copies[name])
        content = json.loads((copies[name] / "run.json").read_text())
        (copies[name] / "run.json").write_text(json.dumps({**content, "model": f"lab/{name} {HOSTILE}"}))
    values = {"{f}": hostile_run, "{run}": hostile_run, "{w}/others/teacher": copies["other"]}
    values |= {"{other}": copies["other"], "{base}": copies["base"]}
    values["{o}"] = tmp_path / "out"
    arguments = list(command)
    for name, value in values.items():
        arguments = [part.replace(name, str(value)) for part in arguments]
    code, out, err, broken = observed(arguments)
    assert broken is None, broken
    assert code in (0, 1, 2)
    told = out + err
    for path in tmp_path.glob("out*"):
        content = path.read_text()
        assert visible(content) == content, f"{path} holds raw characters"
        told += content
    assert code == 2 or "x1b" in told or "u001b" in told or "{o}" in command or command[0] == "verify", (
        "nothing of the run was shown"
    )


@pytest.mark.parametrize("form", ["md", "csv", "html", "json", "latex"])
def test_a_published_table_is_printed_with_nothing_raw(tmp_path: Path, form: str) -> None:
    heads = ["model", "benchmark", "metric", "value", "source", "note"]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        safe = HOSTILE.replace("\ud800", "").replace("\x00", "")
        csv.writer(stream).writerows([heads, [safe, safe, "pass@1", "50", safe, safe]])
    code, out, _, broken = observed(["leaderboard", "--published", str(tmp_path / "t.csv"), "-f", form])
    assert (broken, code) == (None, 0)
    assert "x1b" in out or "u001b" in out


def test_logs_and_warnings_are_made_visible() -> None:
    done = file_fuzz.process(
        "from evalkit.cli.terminal import guard_output; guard_output()\n"
        "import logging, warnings; logging.basicConfig()\n"
        "logging.getLogger('x').warning('%s', 'a\\x1b[31m\\u202e')\nwarnings.warn('b\\x9b31m')\n"
    )
    assert "a\\x1b[31m\\u202e" in done.stderr
    assert "b\\x9b31m" in done.stderr
    assert "\x1b" not in done.stderr
    assert logging.getLogRecordFactory() is not None


def test_errors_quote_arguments_visibly() -> None:
    for arguments in (["leaderboard", HOSTILE[:200].replace("\x00", "")], [HOSTILE], ["tasks", "show", HOSTILE]):
        code, _, err, broken = observed(arguments)
        assert (broken, code) == (None, 2)
        assert "\\x1b" in err


def test_what_a_grader_prints_is_made_visible() -> None:
    done = file_fuzz.process(
        "from evalkit.workers import WorkerPool\n"
        "pool = WorkerPool('builtins:print', workers=1)\npool.call('a\\x1b[31m\\u202e', 60)\npool.close()\n"
    )
    assert "a\\x1b[31m\\u202e" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


@pytest.mark.slow
def test_what_libraries_print_of_a_checkpoint_is_made_visible(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(file_fuzz.CHECKPOINT, tmp_path / "checkpoint"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {"0": {"content": "x", HOSTILE: 1}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    code = f"import sys; from evalkit.cli.main import main; sys.argv = ['evalkit', 'run', {str(folder)!r}, '-t', "
    done = file_fuzz.process(code + "'arithmetic', '--dry-run']; main()", HF_HUB_OFFLINE="1")
    assert "\x1b" not in done.stdout + done.stderr
    assert visible(done.stderr) == done.stderr
