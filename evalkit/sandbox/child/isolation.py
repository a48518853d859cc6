"""Which scripts leave nothing behind when they end, so that the next test can run in the same process.

A script that passes here is executed once for every test in fresh globals; any other gets a process for every test.
The check only has to be careful, not complete: a test that fails in a used process is run again in a new one.
"""

import ast

_MODULES = {
    *("sys", "math", "cmath", "collections", "heapq", "bisect", "itertools", "functools", "string", "re", "operator"),
    *("copy", "typing", "time", "datetime", "fractions", "statistics", "json", "array", "numbers", "dataclasses"),
    *("enum", "abc", "random", "numpy"),
}
_SYS = {
    *("stdin", "stdout", "stderr", "setrecursionlimit", "getrecursionlimit", "maxsize", "exit", "version_info"),
    *("version", "argv", "byteorder", "set_int_max_str_digits", "getsizeof", "float_info"),
}
_FORBIDDEN = {
    *("setattr", "delattr", "exec", "eval", "compile", "__import__", "breakpoint", "vars", "__builtins__", "globals"),
    *("getattr", "open", "os", "gc", "atexit", "threading", "signal", "builtins"),
}
_DUNDERS = {"__name__", "__doc__", "__slots__", "__init__"}


def keeps_no_state(tree: ast.Module) -> bool:
    """Whether the script touches only its own names and standard modules that it cannot change by what it calls."""
    modules: set[str] = set(_MODULES)
    foreign: set[str] = set()
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            if any(alias.name.split(".")[0] not in _MODULES for alias in node.names):
                return False
            modules |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level or module.split(".")[0] not in _MODULES | {"__future__"}:
                return False
            if module == "sys" and any(alias.name not in _SYS for alias in node.names):
                return False
            if module != "datetime":
                foreign |= {alias.asname or alias.name for alias in node.names}
    own = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return _Check(modules - own, foreign).passes(nodes)


class _Check:
    def __init__(self, modules: set[str], foreign: set[str]) -> None:
        self.modules, self.foreign = modules, foreign

    def passes(self, nodes: list[ast.AST]) -> bool:
        allowed = {id(n.value) for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
        return all(self._harmless(node, allowed) for node in nodes)

    def _harmless(self, node: ast.AST, allowed: set[int]) -> bool:
        if isinstance(node, ast.Name):
            if node.id in _FORBIDDEN:
                return False
            # a module may only be looked into, never passed on, bound to another name or written to
            return node.id not in self.modules or not isinstance(node.ctx, ast.Load) or id(node) in allowed
        if isinstance(node, ast.Attribute):
            if node.attr.startswith("__") and node.attr not in _DUNDERS:
                return False
            if isinstance(node.value, ast.Name) and node.value.id == "sys" and node.attr not in _SYS:
                return False
            # `self.x = …` is the program's own; a write through a module or what came from one is not
            if not isinstance(node.ctx, ast.Load):
                return not self._is_foreign(node.value)
        return True

    def _is_foreign(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Name) and (node.id in self.modules or node.id in self.foreign)
