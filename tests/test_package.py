"""What a stranger gets: the wheel in an empty environment, a fast --help, examples that run."""

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import click
import pytest
from helpers import REPOSITORY, evalkit

from evalkit.cli.main import cli


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # a copy of what is packaged alone: setuptools would also pack what an earlier build left
    source = folder / "source"
    for name in ("evalkit", "tasks", "results/published"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_no_top_level_tasks_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {t for t in top if not t.endswith(".dist-info")} <= {"evalkit", "evalkit_tasks", "evalkit_published"}
    assert "evalkit/py.typed" in names
    page = "evalkit/results/site/static/"
    static = {str(p.relative_to(REPOSITORY / page)) for p in (REPOSITORY / page).rglob("*") if p.is_file()}
    assert {n.removeprefix(page) for n in names if n.startswith(page)} == static, "the report page is in the wheel"
    packaged = {n for n in names if n.startswith("evalkit/") and n.endswith(".py")}
    written = {f"evalkit/{p.relative_to(REPOSITORY / 'evalkit')}" for p in (REPOSITORY / "evalkit").rglob("*.py")}
    assert packaged == written, "pyproject.toml lists the packages one by one"
    packaged = {n for n in names if n.startswith("evalkit_tasks/") and n.endswith(".py")}
    written = {f"evalkit_tasks/{p.relative_to(REPOSITORY / 'tasks')}" for p in (REPOSITORY / "tasks").rglob("*.py")}
    assert packaged == written


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_lists_the_tasks(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    # the dependencies come from this environment by path, so that nothing is fetched: the wheel alone is installed
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    script = (
        "import sys, site; "
        f"sys.path += {[p for p in sys.path if p.endswith('site-packages')]!r}; "
        "sys.argv = ['evalkit', 'tasks']; import evalkit; "
        f"assert evalkit.__file__.startswith({str(tmp_path)!r}), evalkit.__file__; "
        "from evalkit.cli.main import main; main()"
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    for name in ("aime24", "arithmetic", "gpqa_diamond", "math500"):
        assert name in done.stdout
    missing = subprocess.run([python, "-c", "import tasks"], capture_output=True, text=True, cwd=tmp_path)
    assert "No module named 'tasks'" in missing.stderr


def test_the_version_is_the_tags(tmp_path: Path) -> None:
    def version_of(folder: Path) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "setuptools_scm"]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout.strip()

    def git(folder: Path, *arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, cwd=folder)

    source, shallow = tmp_path / "source", tmp_path / "shallow"
    source.mkdir()
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes"):
        shutil.copy(REPOSITORY / name, source / name)
    fallback = tomllib.loads((source / "pyproject.toml").read_text())["tool"]["setuptools_scm"]["fallback_version"]
    assert version_of(source) == fallback, "a copy without git"
    git(source, "init")
    git(source, "add", "--all")
    git(source, "commit", "--message", "first")
    assert version_of(source).startswith(f"{fallback}+g"), "a checkout without tags"
    git(source, "tag", "v9.8.7")
    assert version_of(source) == "9.8.7"
    git(source, "commit", "--allow-empty", "--message", "second")
    assert version_of(source).startswith("9.8.7+g"), "a commit behind the tag"
    git(tmp_path, "clone", "--depth", "1", source.as_uri(), str(shallow))
    assert version_of(shallow).startswith(f"{fallback}+g"), "a shallow checkout, whose tag is out of reach"


def test_the_version_is_told(tmp_path: Path) -> None:
    # asked in another folder: a build leaves an .egg-info here, which may be of an earlier version
    script = "import importlib.metadata as m; print('evalkit, version', m.version('evalkit'))"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert evalkit("--version").stdout == told.stdout


def test_help_imports_little() -> None:
    # what --help costs is what it imports: about 200 modules, 0.15 s of CPU
    script = "import sys; sys.argv[1:] = ['--help']; before = len(sys.modules)\nfrom evalkit.cli.main import main\n"
    script += "try: main()\nfinally: print(len(sys.modules) - before, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("Usage: ")
    assert int(done.stderr.split()[-1]) < 250


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize(("path", "command"), commands(cli), ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_every_command_says_what_it_does(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help
    assert command.short_help or command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} of {' '.join(path)} has no help"


@pytest.mark.slow
def test_the_first_example_of_run_runs(tmp_path: Path) -> None:
    example = re.search(r"evalkit (run examples.*)", evalkit("run", "--help").stdout)
    assert example is not None
    evalkit(*example.group(1).split(), "--limit", 4, "--results", tmp_path)
