"""The grading package in layers: latex below answers below equality; no cycle, no import inside a function."""

import ast
from pathlib import Path

import pytest

import evalkit.grading

ROOT = Path(evalkit.grading.__file__).parent
PARTS = ("latex", "equality")


def imported(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def modules() -> dict[str, Path]:
    return {f"evalkit.grading.{part}.{path.stem}": path for part in PARTS for path in (ROOT / part).glob("*.py")}


def test_latex_knows_neither_answers_nor_equality() -> None:
    for path in (ROOT / "latex").glob("*.py"):
        assert not [name for name in imported(path) if ".answers" in name or ".equality" in name], path.name


def test_no_module_imports_another_in_a_circle() -> None:
    edges = {name: imported(path) & modules().keys() for name, path in modules().items()}
    while leaves := {name for name, below in edges.items() if not below}:
        edges = {name: below - leaves for name, below in edges.items() if name not in leaves}
    assert not edges


@pytest.mark.parametrize("path", modules().values(), ids=lambda path: path.stem)
def test_no_module_is_imported_inside_a_function(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lazy = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in lazy if (node.module or "").startswith("evalkit")]
