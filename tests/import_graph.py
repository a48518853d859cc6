"""Which module imports which, read from the source; `python tests/import_graph.py` prints it.

Imports within functions count, those under TYPE_CHECKING do not.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGES = {"evalkit": REPOSITORY / "evalkit", "evalkit_tasks": REPOSITORY / "tasks"}


@dataclass(frozen=True)
class Function:
    name: str  # path:qualified name
    lines: int
    complexity: int


def module_files() -> dict[str, Path]:
    """The file of each module, by its dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_names(tree: ast.AST, module: str = "", is_package: bool = False, for_types: bool = False) -> set[str]:
    """Dotted names that a module imports, relative ones resolved by its own name; `for_types` adds TYPE_CHECKING."""
    names = set()
    for node in ast.walk(tree) if for_types else _without_type_checking(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1 if is_package else node.level
            base = ".".join(module.split(".")[: len(module.split(".")) - up]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def import_graph() -> dict[str, set[str]]:
    """For each module the modules of ours that it imports."""
    files = module_files()
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found = set()
        tree = ast.parse(path.read_text())
        names = imported_names(tree, module, path.name == "__init__.py")
        # of `from package import module` the module is meant, of `from package import name` the package
        for name in names - {name.rpartition(".")[0] for name in names if name in files}:
            while name and name not in files:
                name = name.rpartition(".")[0]
            found |= {name} - {"", module}
        graph[module] = found
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other, by repeatedly following the imports."""
    reached = {module: set(below) for module, below in graph.items()}
    changed = True
    while changed:
        changed = False
        for below in reached.values():
            more = set().union(*(reached[name] for name in below)) - below
            below |= more
            changed |= bool(more)
    groups = {tuple(sorted(other for other in reached[m] if m in reached[other])) for m in graph if m in reached[m]}
    return [list(group) for group in sorted(groups)]


def functions() -> Iterator[Function]:
    """Every function with its length, docstring left out, and its cyclomatic complexity, as ruff's C901 counts it."""
    for path in module_files().values():
        place = path.relative_to(REPOSITORY).as_posix()
        for name, node in _definitions(ast.parse(path.read_text()), ""):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
            yield Function(f"{place}:{name}", lines, 1 + sum(map(_branches, node.body)))


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, child
            yield from _definitions(child, f"{name}.")
        else:
            yield from _definitions(child, prefix)


def _branches(node: ast.AST) -> int:
    """Decisions in a statement: a function within a function counts one and its own."""
    own = 0
    if isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.FunctionDef):
        own = 1
    if isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.Try) and node.orelse:
        own += 1
    if isinstance(node, ast.Match):
        own = len(node.cases) - any(_catches_all(case) for case in node.cases)
    return own + sum(_branches(child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))


def _catches_all(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


def _without_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            yield from _without_type_checking(node)


def main() -> None:
    graph = import_graph()
    imported_by = Counter(below for modules in graph.values() for below in modules)
    packages = {m: ".".join(m.split(".")[:2]).removesuffix(".__main__") for m in graph}
    arrows = {(packages[m], packages[b]) for m, below in graph.items() for b in below if packages[m] != packages[b]}
    print(f"{len(graph)} modules, {sum(imported_by.values())} imports; {len(arrows)} between packages")
    print(f"cycles: {cycles(graph) or 'none'}")
    print("\nimported by  imports  module")
    for module in sorted(graph, key=lambda name: (-imported_by[name], name)):
        print(f"{imported_by[module]:11}  {len(graph[module]):7}  {module}")
    print("\nlines  complexity  function")
    for function in sorted(functions(), key=lambda f: -f.lines)[:20]:
        print(f"{function.lines:5}  {function.complexity:10}  {function.name}")


if __name__ == "__main__":
    main()
