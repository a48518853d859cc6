"""The shape of the code: who may import whom, how long a module may get, what `import evalkit` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import REPOSITORY, cycles, functions, import_graph, imported_names, module_files

import evalkit

ROOT = Path(evalkit.__file__).parent
LAYERS = [
    {"errors", "files", "visible", "words"},
    {"types", "workers", "thinking", "hub"},
    {"sandbox", "stats"},
    {"grading", "benchmark", "store"},
    {"importers"},
    {"contamination"},
    {"engines"},
    {"results"},
    {"fidelity", "transfer"},
    {"run"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
KNOWN_CYCLES: list[list[str]] = []
# What is still over a limit, and why. An entry that is not needed any more fails the test.
LONG_FUNCTIONS: dict[str, str] = {}
COMPLEX_FUNCTIONS: dict[str, str] = {}
HEAVY = ("torch", "transformers", "vllm", "pandas", "matplotlib", "sympy", "scipy", "datasets", "numpy", "pydantic")


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_module_has_a_layer() -> None:
    unplaced = {layer_of(p) for p in ROOT.rglob("*.py")} - LEVEL.keys() - {"__init__"}
    assert not unplaced, f"say in LAYERS where these stand: {unplaced}"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    own = layer_of(path)
    if own == "__init__":
        return
    for name in imported_names(ast.parse(path.read_text()), for_types=True):
        parts = name.split(".")
        if parts[0] == "evalkit_tasks":
            pytest.fail(f"{path.name} knows a benchmark by name: {name}")
        if parts[0] == "evalkit" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            assert LEVEL[parts[1]] < LEVEL[own], f"{own} imports {parts[1]}"


@pytest.mark.slow
def test_no_module_imports_itself_by_way_of_others() -> None:
    found = cycles(import_graph())
    unlisted = [group for group in found if group not in KNOWN_CYCLES]
    assert not unlisted, f"these import each other: {unlisted}"
    assert found == KNOWN_CYCLES, "a cycle is gone: take it from KNOWN_CYCLES"


@pytest.mark.parametrize("path", sorted(module_files().values()), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_module_has_at_most_700_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 700


@pytest.mark.slow
def test_a_function_has_at_most_60_lines() -> None:
    _hold({f.name: f.lines for f in functions()}, 60, LONG_FUNCTIONS)


@pytest.mark.slow
def test_a_function_has_a_complexity_of_at_most_15() -> None:
    _hold({f.name: f.complexity for f in functions()}, 15, COMPLEX_FUNCTIONS)


def _hold(measured: dict[str, int], limit: int, listed: dict[str, str]) -> None:
    over = {name: value for name, value in measured.items() if value > limit}
    unlisted = {name: value for name, value in over.items() if name not in listed}
    assert not unlisted, f"over {limit}: {unlisted}"
    assert not listed.keys() - over.keys(), f"no longer over {limit}: take {listed.keys() - over.keys()} from the list"


@pytest.mark.slow
def test_long_regular_expressions_are_verbose() -> None:
    long = []
    for path in module_files().values():
        source = path.read_text()
        for call in ast.walk(ast.parse(source)):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("re.") or not call.args:
                continue
            pattern = " ".join((ast.get_source_segment(source, call.args[0]) or "").split())
            if len(pattern) > 80 and "VERBOSE" not in ast.unparse(call):
                long.append(f"{path.relative_to(REPOSITORY)}:{call.lineno}")
    assert not long, "write them over several lines, with re.VERBOSE"


def test_the_graph_sees_imports_of_every_form() -> None:
    code = "import a.b\nfrom a import c\nfrom . import d\nfrom ..e import f\ndef g():\n    import h\n"
    code += "if TYPE_CHECKING:\n    import never\n"
    names = imported_names(ast.parse(code), "p.q.module")
    assert names == {"a.b", "a", "a.c", "p.q", "p.q.d", "p.e", "p.e.f", "h"}
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [["b", "c"], ["d"]]


@pytest.mark.slow
def test_the_engine_names_no_benchmark() -> None:
    names = ("aime24", "math500", "gpqa_diamond", "livecodebench")
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                assert not any(repr(name) in ast.unparse(node) for name in names), f"{path}: {ast.unparse(node)}"


def test_start_up_imports_nothing_heavy() -> None:
    script = "import sys, evalkit.cli.main; print([m for m in sys.argv[1].split(',') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script, ",".join(HEAVY)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_is_exported() -> None:
    assert sorted(evalkit.__all__) == evalkit.__all__, "keep __all__ sorted"
    for name in evalkit.__all__:
        assert getattr(evalkit, name) is not None
