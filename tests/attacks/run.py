"""Runs attacks in one sandbox, JSON lines out. From tests/: `python -m attacks.run [as-nobody] [bending] [NAME…]`."""

import json
import os
import sys
import tempfile
from pathlib import Path

NOBODY = 65534


def become_nobody() -> None:
    """From root: an ordinary user, to whom the interpreter is shown even where it lies in root's home."""
    from evalkit.sandbox.child import kernel

    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    for needed in {os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), str(Path(__file__).parents[2])}:
        closed = [p for p in reversed(Path(needed).parents) if not p.stat().st_mode & 0o001]
        if closed:
            handle = os.open(needed, os.O_PATH)
            kernel.mount("tmpfs", str(closed[0]), "tmpfs", 0, "mode=0755")
            os.makedirs(needed)
            kernel.mount(f"/proc/self/fd/{handle}", needed, None, kernel.MS_BIND | kernel.MS_REC)
            os.close(handle)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    home = tempfile.mkdtemp()
    os.environ.update(HOME=home, XDG_CACHE_HOME=home)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["as-nobody"]:
        become_nobody()
        arguments = arguments[1:]
    os.environ["EVALKIT_ATTACK_SECRET"] = "1"
    if arguments[:1] == ["bending"]:
        bend(arguments[1:])
        return
    from concurrent.futures import ThreadPoolExecutor

    from attacks.programs import SECRET, attacks
    from evalkit.sandbox import Limits, Program, Sandbox, judge

    chosen = {name: value for name, value in attacks().items() if not arguments or name in arguments}
    limits = Limits(cpu_seconds=0.6, wall_seconds=1.2, memory_mb=512, output_mb=4, folder_mb=8)
    with Sandbox() as sandbox, ThreadPoolExecutor(2) as executor:

        def attack(name: str) -> dict[str, object]:
            language, code = chosen[name]
            program = Program(
                code, [("1\n", SECRET if name.startswith("secret") else "ESCAPED")], None, language, limits
            )
            done = judge(program, sandbox=sandbox)
            healthy = judge(Program("print(int(input()) + 1)", [("1\n", "2")]), sandbox=sandbox)
            return {
                "name": name,
                "verdict": done.verdict,
                "explanation": done.explanation,
                "alive": healthy.passed,
                "uid": os.getuid(),
            }

        for result in executor.map(attack, chosen):
            print(json.dumps(result), flush=True)


def bend(names: list[str]) -> None:
    """Judge the programs that try to bend a verdict, and after each a healthy one."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    from attacks.bending import Bending, suite
    from evalkit.sandbox import Checker, Limits, Program, Sandbox, judge

    with Sandbox() as sandbox, ThreadPoolExecutor(2) as executor:

        def attack(one: Bending) -> dict[str, object]:
            limits = Limits(one.seconds, 3 * one.seconds, one.memory_mb, output_mb=4, folder_mb=8)
            program = Program(one.code, one.tests, one.fn_name, one.language, limits)
            comparison = "lines" if one.checker is None else Checker(one.checker, limits=limits)
            begin = time.monotonic()
            done = judge(program, mode=one.mode, comparison=comparison, sandbox=sandbox)  # type: ignore[arg-type]
            seconds = time.monotonic() - begin
            healthy = judge(Program("print(int(input()) + 1)", [("1\n", "2")]), sandbox=sandbox)
            return {
                "name": one.name,
                "verdict": done.verdict,
                "explanation": done.explanation,
                "seconds": round(seconds, 2),
                "alive": healthy.passed,
                "uid": os.getuid(),
            }

        for result in executor.map(attack, [one for one in suite() if not names or one.name in names]):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
