"""Which programs may run their tests one after another in one process: those that are shown to leave nothing behind.

What a program can reach is closed by positive lists: of its syntax, of the names it does not define itself, of the
members of modules, and of the special methods it defines. Everything on the lists is immutable or made anew for every
test; what is shared and could be changed (a function or class written in Python) may only be called, so that no name,
container or argument ever holds it. Nothing that a test leaves behind runs later: no `__del__`, no `finally` around a
`yield`. A program that is not on the lists is no worse off: it gets a process for every test.
"""

import ast
import builtins
import functools
import importlib
import symtable
import types
from typing import Any

_SYNTAX = {
    *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With),
    *(ast.withitem, ast.Pass, ast.Break, ast.Continue, ast.Return, ast.Yield, ast.YieldFrom, ast.FunctionDef),
    *(ast.ClassDef, ast.Lambda, ast.arguments, ast.arg, ast.keyword, ast.Import, ast.ImportFrom, ast.alias),
    *(ast.Global, ast.Nonlocal, ast.Delete, ast.Assert, ast.Raise, ast.Try, ast.ExceptHandler, ast.NamedExpr),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.IfExp, ast.Compare),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Call, ast.FormattedValue, ast.JoinedStr, ast.Constant),
    *(ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Slice),
}
_OPERATORS = {"ctx", "op", "ops"}  # the fields of a node that hold no names
_BUILTINS = {
    *("abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr", "classmethod", "complex"),
    *("dict", "divmod", "enumerate", "exit", "filter", "float", "format", "frozenset", "hasattr", "hash", "hex"),
    *("input", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "object", "oct"),
    *("ord", "pow", "print", "property", "quit", "range", "repr", "reversed", "round", "set", "slice", "sorted"),
    *("staticmethod", "str", "sum", "super", "tuple", "zip", "__name__", "__debug__"),
    *("NotImplemented", "Ellipsis", "Exception", "BaseException", "ArithmeticError", "AssertionError"),
    *("AttributeError", "EOFError", "IndexError", "KeyError", "LookupError", "NameError", "OverflowError"),
    *("RecursionError", "RuntimeError", "StopIteration", "SystemExit", "TypeError", "ValueError", "ZeroDivisionError"),
}
_MEMBERS = {
    "math": {name for name in dir(importlib.import_module("math")) if not name.startswith("_")},
    "cmath": {name for name in dir(importlib.import_module("cmath")) if not name.startswith("_")},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"},
    "heapq": {
        *("heapify", "heappop", "heappush", "heappushpop", "heapreplace", "merge", "nlargest", "nsmallest"),
    },
    "bisect": {"bisect", "bisect_left", "bisect_right", "insort", "insort_left", "insort_right"},
    "itertools": {name for name in dir(importlib.import_module("itertools")) if not name.startswith("_")},
    "functools": {"cache", "cmp_to_key", "lru_cache", "partial", "reduce"},
    "operator": {
        *("add", "and_", "concat", "contains", "eq", "floordiv", "ge", "getitem", "gt", "iadd", "index", "inv"),
        *("invert", "itemgetter", "le", "lshift", "lt", "mod", "mul", "ne", "neg", "not_", "or_", "pos", "pow"),
        *("rshift", "sub", "truediv", "truth", "xor"),
    },
    "string": {
        *("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits", "punctuation"),
        *("printable", "whitespace"),
    },
    "copy": {"copy", "deepcopy"},
    "sys": {
        *("argv", "byteorder", "exit", "float_info", "getrecursionlimit", "getsizeof", "intern", "maxsize"),
        *("set_int_max_str_digits", "setrecursionlimit", "stderr", "stdin", "stdout", "version", "version_info"),
    },
    "typing": {
        *("Any", "Callable", "DefaultDict", "Deque", "Dict", "FrozenSet", "Generator", "Iterable", "Iterator", "List"),
        *("NoReturn", "Optional", "Sequence", "Set", "Tuple", "Union"),
    },
}
# a text with one of these words is not worth a closer look
NEVER_SHARE = {
    *("open", "os", "re", "io", "random", "numpy", "threading", "time", "datetime", "json", "decimal", "fractions"),
    *("eval", "exec", "compile", "getattr", "setattr", "delattr", "type", "vars", "globals", "locals", "id", "gc"),
    *("dataclass", "async", "await", "__import__", "__del__", "__class__", "__dict__", "__builtins__", "memoryview"),
}
# made anew for every test, or without any attribute that could be written
_RENEWED = {("sys", name) for name in ("argv", "stderr", "stdin", "stdout", "float_info", "version_info")}
_SPECIAL_METHODS = {
    f"__{name}__"
    for name in (
        *("init", "repr", "str", "len", "bool", "int", "float", "index", "hash", "iter", "next", "call", "contains"),
        *("getitem", "setitem", "delitem", "missing", "reversed", "enter", "exit", "lt", "le", "gt", "ge", "eq", "ne"),
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul"),
        *("radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod", "rpow", "rand", "ror", "rxor", "divmod"),
        *("iadd", "isub", "imul", "ifloordiv", "imod", "iand", "ior", "ixor", "neg", "pos", "abs", "invert"),
    )
}
_READABLE = _SPECIAL_METHODS | {"__name__", "__doc__", "__slots__"}
# what leads from objects that a program can have to frames, to shared functions and to shared containers
_LEADS_OUT = ("gi_", "f_", "cr_", "ag_", "tb_", "co_")
_LEAD_OUT = {
    *("cache_info", "cache_parameters", "detach", "mro", "_asdict", "_field_defaults", "_fields", "_make", "_replace"),
}
_ANNOTATION = (
    *(ast.Name, ast.Subscript, ast.Tuple, ast.List, ast.Constant, ast.Load, ast.Attribute, ast.BinOp, ast.BitOr),
)
_IMMUTABLE_TYPE, _HEAP_TYPE = 1 << 8, 1 << 9
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


@functools.cache
def only_callable() -> set[tuple[str, str]]:
    """The (module, member) pairs on the lists whose values could be written to; `builtins` is a module here too."""
    pairs = {(module, name) for module, names in _MEMBERS.items() for name in names if module != "typing"}
    pairs |= {("builtins", name) for name in _BUILTINS if hasattr(builtins, name)}
    return {pair for pair in pairs - _RENEWED if not _is_inert(getattr(importlib.import_module(pair[0]), pair[1]))}


def _is_inert(value: object) -> bool:
    if isinstance(value, type):
        return bool(value.__flags__ & _IMMUTABLE_TYPE) or not value.__flags__ & _HEAP_TYPE
    return isinstance(value, (*_PLAIN, types.BuiltinFunctionType)) or value in (NotImplemented, Ellipsis)


@functools.cache
def predefined() -> dict[str, tuple[str, str]]:
    """The free names of a program that are on the lists, and where they come from."""
    found = {name: ("builtins", name) for name in _BUILTINS}
    for module, names in _MEMBERS.items():
        for name in names:
            found.setdefault(name, (module, name))
    return found


def may_share(source: str, tree: ast.Module, prelude: dict[str, object]) -> set[str] | None:
    """The predefined names to leave out where the tests of this program may share a process, None where they may not.

    `prelude` holds the names that the program finds defined. Those that the program defines itself are left out, since
    before its own definition they would be shared ones.
    """
    try:
        scopes = [symtable.symtable(source, "solution.py", "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    used, own = set(), set()
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        top = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if top or symbol.is_global():
                used.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_namespace() or symbol.is_imported():
                    own.add(symbol.get_name())
    checked = _Check(tree)
    if not checked.passes(used - own, prelude):
        return None
    return own if not own & {"exit", "quit", "help", "copyright", "credits", "license"} else None


class _Check:
    def __init__(self, tree: ast.Module) -> None:
        self.nodes = _by_type(tree)
        self.modules: dict[str, str] = {}  # names of modules
        self.guarded: set[str] = set()  # names that may only be called
        self.annotating: set[str] = set()  # names that may only stand in annotations
        self.called: set[int] = set()
        self.owners: set[int] = set()
        self.annotations: set[int] = set()

    def passes(self, free: set[str], prelude: dict[str, object]) -> bool:
        nodes = self.nodes
        if not nodes.keys() <= _SYNTAX or not all(self._imports(n) for n in self._of(ast.Import, ast.ImportFrom)):
            return False
        if not all(self._name(name, prelude) for name in free):
            return False
        self._note()
        yields = ast.Yield in nodes or ast.YieldFrom in nodes
        if yields and any(_guards_a_yield(function) for function in self._of(ast.FunctionDef)):
            return False
        checked = (ast.Name, ast.Attribute, ast.ClassDef, ast.FunctionDef, ast.arg, ast.alias, ast.Global, ast.Nonlocal)
        return all(self._harmless(node) for node in self._of(*checked))

    def _of(self, *kinds: type[ast.AST]) -> list[Any]:
        return [node for kind in kinds for node in self.nodes.get(kind, ())]

    def _bind(self, name: str, origin: tuple[str, str]) -> None:
        if origin[0] == "typing":
            self.annotating.add(name)
        elif origin in only_callable():
            self.guarded.add(name)

    def _name(self, name: str, prelude: dict[str, object]) -> bool:
        """Whether a name that the program does not define is on the lists."""
        if name in _MEMBERS and isinstance(prelude.get(name), types.ModuleType):
            self.modules[name] = name
            return True
        origin = predefined().get(name)
        if origin is None or origin in _RENEWED:
            return False
        if name in prelude and prelude[name] is not getattr(importlib.import_module(origin[0]), name, None):
            return False  # two modules have a member of that name, and the prelude means the other
        self._bind(name, origin)
        return True

    def _imports(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in _MEMBERS:
                    return False
                self.modules[alias.asname or alias.name] = alias.name
        if isinstance(node, ast.ImportFrom):
            if node.level or (node.module != "__future__" and node.module not in _MEMBERS):
                return False
            for alias in node.names:
                if node.module == "__future__":
                    continue
                if alias.name == "*":
                    continue  # what it defines are free names then, and looked up as such
                if alias.name not in _MEMBERS[node.module or ""]:
                    return False
                self._bind(alias.asname or alias.name, (node.module or "", alias.name))
        return True

    def _note(self) -> None:
        """Where names stand: called, before a dot, in annotations."""
        self.called = {id(call.func) for call in self._of(ast.Call)}
        self.owners = {id(attribute.value) for attribute in self._of(ast.Attribute)}
        for definition in self._of(ast.FunctionDef, ast.ClassDef):
            self.called |= {id(decorator) for decorator in definition.decorator_list}
        for function in self._of(ast.FunctionDef):
            if function.returns is not None:
                self._annotation(function.returns)
        for annotated in self._of(ast.arg, ast.AnnAssign):
            if annotated.annotation is not None:
                self._annotation(annotated.annotation)

    def _annotation(self, node: ast.expr) -> None:
        inside = list(ast.walk(node))
        if all(isinstance(part, _ANNOTATION) for part in inside):
            self.annotations |= {id(part) for part in inside}

    def _harmless(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return self._harmless_name(node)
        if isinstance(node, ast.Attribute):
            return self._harmless_attribute(node)
        if isinstance(node, ast.ClassDef):
            plain = all(isinstance(base, ast.Name) and base.id not in self.guarded for base in node.bases)
            return plain and not node.keywords and _is_harmless_definition(node.name)
        if isinstance(node, ast.FunctionDef):
            return _is_harmless_definition(node.name)
        if isinstance(node, ast.arg):
            return _is_harmless_definition(node.arg)
        if isinstance(node, ast.alias):
            return _is_harmless_definition(node.asname or "")
        if isinstance(node, ast.Global | ast.Nonlocal):
            return all(_is_harmless_definition(name) for name in node.names)
        return True

    def _harmless_name(self, node: ast.Name) -> bool:
        if not isinstance(node.ctx, ast.Load):
            return _is_harmless_definition(node.id)
        if node.id in self.modules:
            return id(node) in self.owners
        if node.id in self.annotating and id(node) not in self.annotations:
            return False
        return node.id not in self.guarded or id(node) in self.called or id(node) in self.annotations

    def _harmless_attribute(self, node: ast.Attribute) -> bool:
        name = node.attr
        if name.startswith("__") and name.endswith("__") and name not in _READABLE:
            return False
        if name in _LEAD_OUT or name.startswith(_LEADS_OUT):
            return False
        module = self.modules.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if isinstance(node.ctx, ast.Load):
            if module is None:
                # a method of a class that may only be called would be a shared function
                return not (isinstance(node.value, ast.Name) and node.value.id in self.guarded)
            if name not in _MEMBERS[module]:
                return False
            if module == "typing":
                return id(node) in self.annotations
            return (module, name) not in only_callable() or id(node) in self.called
        is_special = name.startswith("__") and name.endswith("__")
        return not is_special and not self._comes_from_a_module(node.value)

    def _comes_from_a_module(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        return isinstance(node, ast.Name) and (node.id in self.modules or node.id in self.guarded)


def _by_type(tree: ast.Module) -> dict[type[ast.AST], list[Any]]:
    """Every node but the operators, by its type."""
    found: dict[type[ast.AST], list[Any]] = {}
    waiting: list[ast.AST] = [tree]
    for node in waiting:
        found.setdefault(type(node), []).append(node)
        for name in node._fields:
            if name in _OPERATORS:
                continue
            value = getattr(node, name, None)
            if type(value) is list:
                waiting += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                waiting.append(value)
    return found


def _is_harmless_definition(name: str) -> bool:
    return not (name.startswith("__") and name.endswith("__")) or name in _SPECIAL_METHODS or name == "__slots__"


def _guards_a_yield(function: ast.FunctionDef) -> bool:
    inside = list(ast.walk(function))
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inside) and any(
        isinstance(n, ast.Try | ast.With) for n in inside
    )
