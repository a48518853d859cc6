"""Runs a stranger's programs and says whether they are right.

A program gets: an empty root in which only the interpreter and the system's libraries are seen, read-only; a temporary
folder of its own, in memory; user, mount, pid, network, IPC and host-name namespaces of its own or of its jail; no
capability and no way to gain one; an allow-list of system calls; Landlock where the kernel has it; limits on CPU time,
wall time, memory, threads, open files, file sizes and output. It cannot start processes. No process that it descends
from was ever told an expected output: those stay in the judge, which also makes every comparison.

What this does not stop:
- A fault in the Linux kernel. Programs share the host's kernel; the filter makes that surface small, not empty. For
  people who attack you on purpose use a virtual machine around it.
- What processors leak: timing, caches, speculative execution.
- Use of what the limits allow: a program may burn its CPU seconds and fill its memory, on every core that you lend.
- Reading what is inside: the interpreter, the standard library, the system's libraries and their versions, the kernel's
  version, the clock, the number of processors. Nothing of the user's files, environment or other processes is there.
- Memory pressure: limits are on address space, not on a control group; the kernel's out-of-memory killer is told to
  take a program first.
- With `unsafe=True`: nothing at all is stopped, save by limits.
"""

from evalkit.sandbox.judging import judge
from evalkit.sandbox.languages import LANGUAGES, Language, find_language
from evalkit.sandbox.machine import SandboxUnavailableError
from evalkit.sandbox.pool import Sandbox, shared_sandbox
from evalkit.sandbox.records import (
    MODES,
    VERDICTS,
    Checker,
    Judgement,
    Limits,
    Mode,
    Program,
    TestResult,
    Verdict,
)

__all__ = [
    "LANGUAGES",
    "MODES",
    "VERDICTS",
    "Checker",
    "Judgement",
    "Language",
    "Limits",
    "Mode",
    "Program",
    "Sandbox",
    "SandboxUnavailableError",
    "TestResult",
    "Verdict",
    "find_language",
    "judge",
    "shared_sandbox",
]
