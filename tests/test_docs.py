"""The documentation: the site builds, links lead somewhere, commands exist, and the examples of docstrings run."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from helpers import REPOSITORY
from test_package import commands

import evalkit
import evalkit.grading
import evalkit.stats
from evalkit.cli.main import cli

PAGES = sorted([*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("examples/**/*.md")])
PUBLIC = [(module, name) for module in (evalkit, evalkit.grading, evalkit.stats) for name in module.__all__]
# Names whose use examples/ and the guides show: they need a run directory, or are no function or class.
WITHOUT_EXAMPLE = {
    *("__version__", "Report", "Run", "evaluate", "leaderboard", "load_results", "load_runs", "rescore"),
    # to be written
    *("DataSource", "Interval", "Protocol"),
    *("Distance", "distance", "error_of_runs", "error_towards", "leaders", "least_p_value", "published_error"),
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
