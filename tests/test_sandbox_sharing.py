# ruff: noqa: E501  programs stand on one line, as strings
"""Which programs may share a process between their tests, and that what they may reach is as the lists say."""

import ast
import importlib
import subprocess
import sys

import pytest
from attacks import bending

from evalkit.sandbox.child import sharing
from evalkit.sandbox.child.python_programs import STAR_MODULES, prelude_names


@pytest.fixture(scope="module")
def prelude() -> dict[str, object]:
    for name in STAR_MODULES:
        importlib.import_module(name)
    return dict(prelude_names())


def shares(code: str, prelude: dict[str, object]) -> bool:
    return sharing.may_share(code, ast.parse(code), prelude) is not None


ORDINARY = [
    "print(int(input()))",
    "import sys\ninput = sys.stdin.readline\nsys.setrecursionlimit(10**6)\nprint(input())",
    "from sys import stdin, stdout\nstdout.write(stdin.readline())",
    "import math as m\nprint(m.gcd(4, 6))",
    "from math import *\nprint(gcd(4, 6))",
    "from collections import *\nd = defaultdict(list)\nd[1].append(2)",
    "from collections import Counter, deque\nc = Counter(input())\nprint(c.most_common(1), deque())",
    "class Node:\n    def __init__(self, v):\n        self.v = v\n        self.__w = v\n        self.next = None\nNode(1).next = Node(2)",
    "from heapq import heappush\nheap = []\nheappush(heap, 1)",
    "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(n): return n\nprint(f(1))",
    "import functools\n@functools.cache\ndef f(n): return n\nprint(f(1))",
    "from typing import List, Optional\nclass Solution:\n    def f(self, a: List[int]) -> Optional[int]:\n        return None",
    "class Solution:\n    def f(self, a: List[int]) -> int:\n        path = [gcd(x, 2) for x in a]\n        return sum(path)",
    "class Solution:\n    def f(self, string: str) -> int:\n        return len(string)",
    "from itertools import permutations, product\nfor p in permutations(range(3)): print(*p)",
    "def main():\n    n, *a = map(int, input().split())\n    print(max(a), sorted(a, key=lambda x: -x))\nif __name__ == '__main__':\n    main()",
    "import bisect\nprint(bisect.bisect_left([1, 2], 2))",
    "def g():\n    yield 1\n    yield from g()\nprint(next(g()))",
    "import copy\nprint(copy.deepcopy([1]))",
    "exit()",
]  # fmt: skip
NOT = [
    "import math\nmath.seen = 1",
    "import math as m\nm.seen = 1",
    "import math\nx = math\nx.seen = 1",
    "math.seen = 1",
    "x = string\nx.seen = 1",
    "from collections import Counter\nCounter.x = 1",
    "from collections import Counter\nx = [Counter]",
    "from collections import Counter\nclass A(Counter): pass",
    "from collections import Counter\nprint(Counter.update)",
    "from collections import defaultdict, Counter\ndefaultdict(Counter)",
    "from typing import Counter\nCounter[int].x = 1",
    "from typing import List\nT = List[int]",
    "def f(x: (y := List[int])): pass",
    "import sys\nsys.stdin = None",
    "import sys\nsys.modules['x'] = 1",
    "from sys import modules\nmodules['x'] = 1",
    "print(stdin.read())",
    "print(sys.path)",
    "from sys import *\npath.append(1)",
    "import random\nrandom._os",
    "import re",
    "import os",
    "import io\nio.FileIO",
    "import typing\ntyping.sys",
    "import numpy",
    "open('x', 'w')",
    "print(().__class__.__bases__)",
    "def f(): pass\nf.__globals__",
    "def f(m): m.x = 1\nimport math\nf(math)",
    "class A:\n    def __del__(self): print(1)",
    "class A:\n    def __getattr__(self, n): return 1",
    "class A:\n    __del__ = print",
    "class A(metaclass=type): pass",
    "def g():\n    try: yield 1\n    finally: print(2)",
    "def g():\n    with a: yield 1",
    "import heapq\nheapq.merge([1]).gi_frame",
    "class A: gi_frame = 1\ng = (i for i in [1])\nprint(g.gi_frame)",
    "from functools import lru_cache\n@lru_cache\ndef f(): pass\nf.cache_info()._field_defaults",
    "from operator import attrgetter\nattrgetter('x')",
    "from functools import wraps\nwraps(print).func",
    "from functools import total_ordering",
    "import sys\nsys.stdout.detach()",
    "async def f(): pass",
    "match 1:\n    case 1: pass",
    "from . import x",
    "exit.seen = 1",
    "if 0: exit = 1\ny = exit",
    "__builtins__",
    "e = globals",
    "import collections.abc",
    "class A:\n    def f(self, __class__): pass",
]


@pytest.mark.parametrize("code", ORDINARY)
def test_ordinary_programs_may(code: str, prelude: dict[str, object]) -> None:
    assert shares(code, prelude)


@pytest.mark.parametrize("code", NOT)
def test_programs_that_reach_outside_may_not(code: str, prelude: dict[str, object]) -> None:
    assert not shares(code, prelude)


# what is set anew before every test
RENEWED = {"recursion_limit"}


@pytest.mark.parametrize("name", sorted(set(bending.memories()) - RENEWED))
def test_no_program_that_remembers_may(name: str, prelude: dict[str, object]) -> None:
    assert not shares(bending.counting(name), prelude)
    assert not shares(bending.counting(name), {})


def test_the_names_that_it_defines_itself_are_left_out(prelude: dict[str, object]) -> None:
    code = "path = [1]\nfor gcd in path: print(lcm(4, 6))\nif 0: string = 1\nx = string\n"
    left_out = sharing.may_share(code, ast.parse(code), prelude)
    assert left_out is not None
    assert {"path", "gcd", "string"} <= left_out
    assert "lcm" not in left_out


def test_what_is_not_only_callable_cannot_be_written_to() -> None:
    """In an interpreter of its own: where one of them can be, this changes it."""
    script = """
import builtins, importlib
from evalkit.sandbox.child import sharing
pairs = {(m, n) for m, names in sharing._MEMBERS.items() for n in names if m != "typing"}
pairs |= {("builtins", n) for n in sharing._BUILTINS if hasattr(builtins, n)}
for module, name in sorted(pairs - sharing.only_callable() - sharing._RENEWED):
    try:
        setattr(getattr(importlib.import_module(module), name), "seen", 1)
    except (AttributeError, TypeError):
        continue
    print(module, name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == done.stderr == ""
