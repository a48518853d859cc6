"""The documentation: the site builds, links lead somewhere, commands exist, and the examples of docstrings run."""

import dataclasses
import doctest
import importlib
import json
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from helpers import REPOSITORY
from test_package import commands

import evalkit
import evalkit.grading
import evalkit.stats
from evalkit import Completion, DataSource, Protocol, Request
from evalkit.cli.main import cli
from evalkit.importers.files import LogFile, log_files
from evalkit.importers.reader import Log

PAGES = sorted([*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("examples/**/*.md")])
PUBLIC = [(module, name) for module in (evalkit, evalkit.grading, evalkit.stats) for name in module.__all__]
# Names whose use examples/ and the guides show: they need a run directory, or are no function or class.
WITHOUT_EXAMPLE = {
    *("__version__", "Report", "Run", "leaderboard", "load_results", "load_runs", "rescore"),
}


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_names_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    for module, name in PUBLIC:
        page = (tmp_path / "api" / module.__name__.rpartition(".")[2] / "index.html").read_text()
        assert f'id="{module.__name__}.{name}"' in page or name in WITHOUT_EXAMPLE, f"{name} is not in the reference"
    for page_file in tmp_path.rglob("*.html"):
        fetched = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:)?//', page_file.read_text())
        assert not fetched, f"{page_file} makes its reader fetch from another host"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def command_lines(text: str) -> list[str]:
    """What stands behind `evalkit` in indented lines, fenced blocks and code spans; a backslash joins two lines."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    fenced = "\n".join(re.findall(r"^```.*?^```", joined, re.MULTILINE | re.DOTALL))
    return [
        *re.findall(r"^ {4,}evalkit (.+)$", joined, re.MULTILINE),
        *re.findall(r"^(?:\$ )?evalkit (.+)$", fenced, re.MULTILINE),
        *re.findall(r"`evalkit ([^`\n]+)`", joined),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_commands_of_the_docs_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # tells what there was
    for line in command_lines(page.read_text()):
        problem = complaint(line)
        assert problem is None, f"{page.name}: evalkit {line}: {problem}"


@pytest.mark.parametrize(("path", "command"), commands(cli), ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_commands_in_help_texts_exist(path: tuple[str, ...], command: click.Command) -> None:
    texts = [command.help or "", *(p.help or "" for p in command.params if isinstance(p, click.Option))]
    for line in re.findall(r"(?:^ *|`|&& )evalkit ([^`\n&]+)", "\n".join(texts), re.MULTILINE):
        problem = complaint(line)
        assert problem is None, f"evalkit {' '.join(path)} --help: evalkit {line}: {problem}"


def complaint(line: str) -> str | None:
    """What is wrong with a command line of the docs: a command or an option that does not exist."""
    words = shlex.split(re.split(r"\s#\s|\s\|\s|\s&&\s", line)[0])
    command: click.Command = cli
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return None if re.fullmatch(r"[A-Z…<\[.]\W*\w*", words[0]) else f"there is no command {words[0]}"
        command, words = found, words[1:]
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help", "--version"}
    for word in words:
        option = re.match(r"--[a-z][\w-]*|-[A-Za-z](?=$|[=\d])", word)
        if option and option[0] not in options:
            return f"there is no option {option[0]}"
    return None


def test_a_command_that_does_not_exist_is_found() -> None:
    assert complaint("run ./checkpoint -t math500 --limit 50") is None
    assert complaint("rum ./checkpoint") == "there is no command rum"
    assert complaint("run ./checkpoint --limt 50") == "there is no option --limt"
    assert command_lines("    evalkit tasks  # all\n`evalkit doctor`\n    evalkit run a \\\n      -n 4") == [
        "tasks  # all",
        "run a -n 4",
        "doctor",
    ]


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda value: getattr(value, "__name__", value))
def test_the_example_of_a_public_name_runs(module: ModuleType, name: str) -> None:
    found = getattr(module, name)
    if name in WITHOUT_EXAMPLE:
        assert ">>>" not in (found.__doc__ or ""), f"take {name} from WITHOUT_EXAMPLE"
        return
    home = importlib.import_module(found.__module__)
    test = doctest.DocTestParser().get_doctest(found.__doc__ or "", dict(vars(home)), name, home.__file__, 0)
    assert test.examples, f"the docstring of {name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def example(page: str, line: str) -> dict[str, Any]:
    """What the indented example with this line defines."""
    text = (REPOSITORY / "docs" / page).read_text()
    (code,) = [block for block in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE) if line in block]
    module = ModuleType("example_of_the_docs")
    sys.modules[module.__name__] = module
    exec(textwrap.dedent(code), vars(module))  # a page of this repository
    return vars(module)


def test_the_example_of_a_code_task_judges() -> None:
    task = example("adding-a-task.md", "class Increments(Task)")["Increments"]()
    (problem,) = task.load(DataSource())
    task.require_machine()
    assert task.score(problem, task.gold_response(problem)).status == "correct"
    wrong = task.score(problem, "```python\nprint(int(input()))\n```")
    assert (wrong.status, wrong.explanation) == ("wrong", "wrong answer")
    assert task.score(problem, "I do not know.").status == "no_answer"


class JudgingServer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][0]["content"]
        word = "maybe" if "cheese" in asked else "Yes" if "the moon and the sun" in asked else "no"
        reply = json.dumps({"choices": [{"message": {"content": word}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        pass


def test_the_example_of_a_judged_task_asks() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), JudgingServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        task = example("adding-a-task.md", "class Judged(Task)")["Judged"](judge_url=url)
        (problem,) = task.load(DataSource())
        answers = (task.gold_response(problem), "the wind", " ")
        assert [task.score(problem, each).status for each in answers] == ["correct", "wrong", "no_answer"]
        with pytest.raises(ValueError, match="the judge said 'MAYBE'"):
            task.score(problem, "cheese")
    finally:
        server.shutdown()
        server.server_close()


def test_the_example_of_a_protocol_and_of_a_reader_run(tmp_path: Path) -> None:
    protocol = example("adding-a-task.md", "MY_PROTOCOL = ")["MY_PROTOCOL"]
    assert (protocol.max_tokens, protocol.temperature) == (16384, 0.6)
    reader = example("importing.md", "class Mine(Reader)")["Mine"]()
    rows = {"my_question": "1 + 1?", "gold": 2, "my_answers": [{"text": "2", "right": True}]}
    (tmp_path / "sums.jsonl").write_text(json.dumps(rows) + "\n")
    (file,) = log_files(str(tmp_path / "sums.jsonl"))
    part = reader.recognise(file)
    (sample,) = Log(reader, part.task, (part,)).samples()
    assert (part.task, sample.gold, sample.text, sample.verdicts[0].value) == ("sums", "2", "2", 1.0)


@pytest.mark.parametrize(
    ("page", "title", "owner"),
    [
        ("adding-an-engine.md", "Request", Request),
        ("adding-an-engine.md", "Completion", Completion),
        ("importing.md", "LogFile", LogFile),
        ("adding-a-task.md", "field", Protocol),
    ],
)
def test_a_table_of_fields_has_those_that_there_are(page: str, title: str, owner: type[Any]) -> None:
    text = (REPOSITORY / "docs" / page).read_text()
    (table,) = re.findall(rf"^\| `?{title}`? \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    rows = table.splitlines()[2:]
    fields = {field.name for field in dataclasses.fields(owner)}
    named = {name for row in rows for name in re.findall(r"`(\w+)(?:\(\w*\))?`", row.split("|")[1])}
    assert all(hasattr(owner, name) or name in fields for name in named)
    if owner is not LogFile:
        given = {"name", "source"} if owner is Protocol else set()
        assert fields - given <= named
