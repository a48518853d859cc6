"""The shape of the code: who may import whom, how long a module may get, what `import evalkit` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit

ROOT = Path(evalkit.__file__).parent
LAYERS = [
    {"errors"},
    {"types", "workers", "thinking"},
    {"sandbox", "stats"},
    {"grading", "benchmark", "store"},
    {"importers"},
    {"engines"},
    {"results"},
    {"run"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = ("torch", "transformers", "vllm", "pandas", "matplotlib", "sympy", "scipy", "datasets", "numpy", "pydantic")


def modules() -> list[Path]:
    return sorted([*ROOT.rglob("*.py"), *(ROOT.parent / "tasks").rglob("*.py")])


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_module_has_a_layer() -> None:
    unplaced = {layer_of(p) for p in ROOT.rglob("*.py")} - LEVEL.keys() - {"__init__"}
    assert not unplaced, f"say in LAYERS where these stand: {unplaced}"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    own = layer_of(path)
    if own == "__init__":
        return
    for name in imported_names(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "evalkit_tasks":
            pytest.fail(f"{path.name} knows a benchmark by name: {name}")
        if parts[0] == "evalkit" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            assert LEVEL[parts[1]] < LEVEL[own], f"{own} imports {parts[1]}"


def test_no_cycles_within_a_layer() -> None:
    edges: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        if layer_of(path) != "__init__":
            found = {n.split(".")[1] for n in imported_names(_without_type_checking(path)) if n.startswith("evalkit.")}
            edges.setdefault(layer_of(path), set()).update((found & LEVEL.keys()) - {layer_of(path)})
    while leaves := {name for name, below in edges.items() if not below}:
        edges = {name: below - leaves for name, below in edges.items() if name not in leaves}
    assert not edges, f"these import each other: {edges}"


def _without_type_checking(path: Path) -> ast.AST:
    tree = ast.parse(path.read_text())

    class Strip(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node

    return Strip().visit(tree)


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.name)
def test_a_module_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 700


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
