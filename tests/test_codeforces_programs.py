"""Programs for real problems, written for this test: right, wrong, slow, in C++ and Python, each with its verdict."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from evalkit_tasks.codeforces.problems import problem_from_row
from evalkit_tasks.codeforces.task import CodeForces

from evalkit.types import Problem

# each line: what one test case prints, from I (the next integer), L (that many integers), W (the next word)
PYTHON = """\
import sys
from collections import Counter
from math import ceil, gcd, isqrt
words = iter(sys.stdin.read().split())
def I(): return int(next(words))
def L(n): return [int(next(words)) for _ in range(n)]
def W(): return next(words)
def yes(b): return "YES" if b else "NO"
def case():
{body}
for _ in range(I()):
    print(case())
"""
CPP = """\
#include <algorithm>
#include <iostream>
#include <map>
#include <vector>
using namespace std;
typedef long long ll;
ll I() {{ ll x; cin >> x; return x; }}
string W() {{ string s; cin >> s; return s; }}
vector<ll> L(ll n) {{ vector<ll> v(n); for (auto &x : v) cin >> x; return v; }}
string yes(bool b) {{ return b ? "yes" : "no"; }}
void run() {{
{body}
}}
int main() {{
    ll t = I();
    while (t--) run();
}}
"""

# problem -> (language, right program's body, [(wrong body, why)])
PROGRAMS: dict[str, tuple[str, str, str]] = {
    "1971/A": ("python", "a, b = I(), I(); return f'{min(a, b)} {max(a, b)}'", "a, b = I(), I(); return f'{a} {b}'"),
    "1971/C": (
        "python",
        "a, b, c, d = L(4); a, b = sorted((a, b)); return yes((a < c < b) != (a < d < b))",
        "a, b, c, d = L(4); return yes((a < c < b) != (a < d < b))",
    ),
    "1972/A": (
        "cpp",
        "ll n = I(); auto a = L(n), b = L(n); ll j = 0; for (ll i = 0; i < n; i++) if (a[j] <= b[i]) j++;"
        ' cout << n - j << "\\n";',
        "ll n = I(); auto a = L(n), b = L(n); ll j = 0; for (ll i = 0; i < n; i++) j += a[i] > b[i];"
        ' cout << j << "\\n";',
    ),
    "1972/B": ("python", "I(); return yes(W().count('U') % 2)", "I(); return yes(W().count('U') % 2 == 0)"),
    "1973/A": (
        "cpp",
        'll a = I(), b = I(), c = I(); cout << ((a + b + c) % 2 ? -1 : min((a + b + c) / 2, a + b)) << "\\n";',
        'll a = I(), b = I(), c = I(); cout << min((a + b + c) / 2, a + b) << "\\n";',
    ),
    "1974/A": (
        "python",
        "x, y = I(), I(); return max(-(-y // 2), -(-(x + 4 * y) // 15))",
        "x, y = I(), I(); return -(-(x + 4 * y) // 15)",
    ),
    "1974/B": (
        "python",
        "I(); s = W(); u = sorted(set(s)); m = dict(zip(u, u[::-1])); return ''.join(m[c] for c in s)",
        "I(); return W()[::-1]",
    ),
    "1975/A": (
        "cpp",
        "ll n = I(); auto a = L(n); ll d = 0; for (ll i = 0; i < n; i++) d += a[i] > a[(i + 1) % n];"
        ' cout << yes(d <= 1) << "\\n";',
        'll n = I(); auto a = L(n); cout << yes(is_sorted(a.begin(), a.end())) << "\\n";',
    ),
    "1975/B": (
        "python",
        "a = L(I()); m = min(a); r = [x for x in a if x % m]; return yes(not r or all(x % min(r) == 0 for x in r))",
        "a = L(I()); m = min(a); return yes(all(x % m == 0 for x in a))",
    ),
    "1976/A": ("python", "I(); s = W(); return yes(list(s) == sorted(s))", "I(); s = W(); return yes(s.isalpha())"),
    "1977/A": (
        "cpp",
        'll n = I(), m = I(); cout << yes(n >= m && (n - m) % 2 == 0) << "\\n";',
        'll n = I(), m = I(); cout << yes(n % m == 0) << "\\n";',
    ),
    "1978/A": ("python", "a = L(I()); return a[-1] + max(a[:-1])", "a = sorted(L(I())); return a[-1] + a[-2]"),
    "1978/B": (
        "cpp",
        "ll n = I(), a = I(), b = I(), k = max(0LL, min(n, b - a)); cout << k * (2 * b - k + 1) / 2 + (n - k) * a"
        ' << "\\n";',
        'll n = I(), a = I(), b = I(); cout << n * max(a, b) << "\\n";',
    ),
    "1979/A": (
        "python",
        "a = L(I()); return min(max(x, y) for x, y in zip(a, a[1:])) - 1",
        "a = L(I()); return min(max(x, y) for x, y in zip(a, a[1:]))",
    ),
    "1979/B": (
        "cpp",
        'll x = I(), y = I(), d = x ^ y; cout << (d & -d) << "\\n";',
        'll x = I(), y = I(); cout << (x ^ y) << "\\n";',
    ),
    "1980/A": (
        "python",
        "n, m = I(), I(); c = Counter(W()); return sum(max(0, m - c[x]) for x in 'ABCDEFG')",
        "n, m = I(), I(); c = Counter(W()); return sum(max(0, m - v) for v in c.values())",
    ),
    "1981/A": ("cpp", 'll l = I(), r = I(); cout << 63 - __builtin_clzll(r) << "\\n";', 'cout << I() << I() << "\\n";'),
    "1982/A": (
        "python",
        "a, b, c, d = L(4); return yes((a > b) == (c > d))",
        "a, b, c, d = L(4); return yes(a + c > b + d)",
    ),
    "1985/B": ("python", "return 3 if I() == 3 else 2", "return 2"),
    "1987/A": (
        "cpp",
        'll n = I(), k = I(); cout << (n - 1) * k + 1 << "\\n";',
        'll n = I(), k = I(); cout << n * k << "\\n";',
    ),
    "1988/A": ("python", "n, k = I(), I(); return -(-(n - 1) // (k - 1))", "n, k = I(), I(); return n // k"),
    "1990/A": (
        "cpp",
        "ll n = I(); auto a = L(n); map<ll, ll> c; for (ll x : a) c[x]++; bool o = false;"
        " for (auto &p : c) o |= p.second % 2;"
        ' cout << yes(o) << "\\n";',
        'll n = I(); auto a = L(n); cout << yes(n % 2) << "\\n";',
    ),
    "1991/A": ("python", "return max(L(I())[::2])", "return max(L(I()))"),
    "1993/A": (
        "python",
        "n = I(); c = Counter(W()); return sum(min(n, c[x]) for x in 'ABCD')",
        "n = I(); return sum(c != '?' for c in W())",
    ),
    "1995/A": (
        "cpp",
        "ll n = I(), k = I(), r = 0; if (k > 0) { k -= n; r = 1; for (ll d = n - 1; k > 0; d--) { k -= d; r++;"
        ' if (k > 0) { k -= d; r++; } } } cout << r << "\\n";',
        'll n = I(), k = I(); cout << (k + n - 1) / n << "\\n";',
    ),
    "1996/A": ("python", "n = I(); return n // 4 + n % 4 // 2", "return I() // 4"),
    "2001/A": (
        "python",
        "n = I(); return n - max(Counter(L(n)).values())",
        "n = I(); return len(set(L(n))) - 1",
    ),
    "2003/A": (
        "cpp",
        'I(); string s = W(); cout << yes(s[0] != s.back()) << "\\n";',
        'I(); string s = W(); cout << yes(s[0] == s.back()) << "\\n";',
    ),
    "2020/A": (
        "cpp",
        'll n = I(), k = I(), r = 0; if (k == 1) r = n; else for (; n; n /= k) r += n % k; cout << r << "\\n";',
        'll n = I(), k = I(); cout << n % k << "\\n";',
    ),
    "2022/A": (
        "python",
        "n, r = I(), I(); a = L(n); p = sum(x // 2 for x in a); o = sum(x % 2 for x in a)\n"
        "    return 2 * p + min(o, 2 * (r - p) - o if o > r - p else o)",
        "n, r = I(), I(); return sum(L(n))",
    ),
    "2024/A": (
        "python",
        "a, b = I(), I(); return a if a >= b else max(0, 2 * a - b)",
        "a, b = I(), I(); return a - b if a >= b else 0",
    ),
    "2027/A": (
        "cpp",
        'll n = I(), w = 0, h = 0; while (n--) { w = max(w, I()); h = max(h, I()); } cout << 2 * (w + h) << "\\n";',
        'll n = I(), s = 0; while (n--) s += I() + I(); cout << 2 * s << "\\n";',
    ),
    "2030/A": ("python", "n = I(); a = L(n); return (n - 1) * (max(a) - min(a))", "a = L(I()); return max(a) - min(a)"),
    "2032/A": (
        "cpp",
        "ll n = I(), s = 0; for (ll x : L(2 * n)) s += x; cout << s % 2 << ' ' << min(s, 2 * n - s) << \"\\n\";",
        "ll n = I(), s = 0; for (ll x : L(2 * n)) s += x; cout << 0 << ' ' << min(s, n) << \"\\n\";",
    ),
    "2033/A": (
        "python",
        "return 'Kosuke' if I() % 2 else 'Sakurako'",
        "return 'Kosuke' if I() % 2 == 0 else 'Sakurako'",
    ),
    "2036/A": (
        "python",
        "a = L(I()); return yes(all(abs(x - y) in (5, 7) for x, y in zip(a, a[1:])))",
        "a = L(I()); return yes(all(abs(x - y) == 5 for x, y in zip(a, a[1:])))",
    ),
}
SLOW = {
    "1971/A": ("python", "while True: pass"),
    "1978/B": ("cpp", "volatile ll x = 0; while (true) x = x + 1;"),
    "1987/A": ("python", "n, k = I(), I()\n    while n: pass"),
}
BROKEN = {
    "1996/A": ("python", "return I() // 0", "runtime error"),
    "2032/A": ("cpp", "this is no program", "syntax error"),
    "1991/A": ("cpp", "vector<ll> v; for (;;) v.resize(v.size() + (1 << 24), 1);", "memory limit"),
    "2030/A": ("python", "I(); import os; os.system('true'); return open('/etc/passwd').read()", "runtime error"),
}


def program(language: str, body: str) -> str:
    filled = (PYTHON if language == "python" else CPP).format(body="    " + body)
    return f"The idea is simple.\n\n```{language}\n{filled}```\n\nIt meets the limits."


@pytest.fixture(scope="module")
def problems(data_dir: Path) -> dict[str, Problem]:
    rows = [json.loads(line) for line in (data_dir / "codeforces" / "problems.jsonl").read_text().splitlines()]
    found = [problem_from_row(row) for row in rows]
    return {p.id: p for p in found if isinstance(p, Problem)}


def verdicts(problems: dict[str, Problem], written: dict[str, tuple[str, str]]) -> dict[str, str]:
    task = CodeForces()
    with ThreadPoolExecutor(4) as pool:
        jobs = {i: pool.submit(task.score, problems[i], program(*source)) for i, source in written.items()}
        return {i: f"{job.result().status}: {job.result().explanation}" for i, job in jobs.items()}


@pytest.mark.real_data
def test_right_programs_are_accepted(problems: dict[str, Problem]) -> None:
    assert len(PROGRAMS) >= 30
    found = verdicts(problems, {i: (language, right) for i, (language, right, _) in PROGRAMS.items()})
    assert {i: v for i, v in found.items() if v != "correct: accepted"} == {}


@pytest.mark.real_data
def test_programs_may_end_in_exit(problems: dict[str, Problem]) -> None:
    solve = "a, b = map(int, input().split())\n    print(min(a, b), max(a, b))"
    endings = ["exit()", "exit(0)", "quit()", "import sys; sys.exit()", "raise SystemExit", "import os; os._exit(0)"]
    task = CodeForces()
    for ending in endings:
        flush = "import sys; sys.stdout.flush()\n" if "_exit" in ending else ""
        code = f"for _ in range(int(input())):\n    {solve}\n{flush}{ending}\n"
        score = task.score(problems["1971/A"], f"```python\n{code}```")
        assert (score.status, score.explanation) == ("correct", "accepted"), ending


@pytest.mark.real_data
def test_wrong_programs_are_not(problems: dict[str, Problem]) -> None:
    found = verdicts(problems, {i: (language, wrong) for i, (language, _, wrong) in PROGRAMS.items()})
    assert {i: v for i, v in found.items() if not v.startswith("wrong: wrong answer")} == {}


@pytest.mark.real_data
def test_slow_and_broken_programs_are_told_apart(problems: dict[str, Problem]) -> None:
    slow = verdicts(problems, SLOW)
    assert {i: v for i, v in slow.items() if not v.startswith("wrong: time limit")} == {}
    broken = verdicts(problems, {i: (language, body) for i, (language, body, _) in BROKEN.items()})
    assert {i: v for i, v in broken.items() if not v.startswith(f"wrong: {BROKEN[i][2]}")} == {}
