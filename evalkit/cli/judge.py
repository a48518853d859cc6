"""`evalkit judge`: run programs against tests, without a model."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="judge", short_help="Run programs against tests in the sandbox.")
@click.argument("cases", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="VERDICTS",
    help="JSON lines file to write.",
)
@click.option(
    "--mode",
    type=click.Choice(["script", "lcb-compat", "lcb-compat-2025-05"]),
    default="script",
    show_default=True,
    help="Run programs as scripts, or reproduce LiveCodeBench's official runner (January 2025, or May 2025 and later).",
)
@click.option("--workers", type=click.IntRange(min=1), help="Programs judged at once [default: number of cores].")
@click.option("--all-tests", is_flag=True, help="Continue after the first failed test.")
@click.option(
    "--memory-mb", type=click.IntRange(64, 1 << 20), default=4096, show_default=True, help="Memory limit per program."
)
@click.option(
    "--output-mb", type=click.IntRange(1, 4096), default=64, show_default=True, help="Output limit per program."
)
@click.option(
    "--unsafe-no-sandbox",
    is_flag=True,
    help="Run the programs without isolation. Use only on a disposable machine.",
)
def command(
    cases: Path,
    output: Path,
    mode: str,
    workers: int | None,
    all_tests: bool,
    memory_mb: int,
    output_mb: int,
    unsafe_no_sandbox: bool,
) -> None:
    """Run the programs of CASES against their tests and write one verdict per program, in the same order.

    CASES is a JSON lines file, which may be gzipped (.gz). Each line has the fields id, code, tests ([[input, output],
    ...]), fn_name (a function's name, or null for stdin and stdout), timeout (seconds) and language. Each line of
    VERDICTS has id, passed, verdict, results, cpu_seconds and explanation.

    Running the same command again resumes. The exit code is 1 if a program could not be judged because the sandbox
    failed or its tests are invalid.

    \b
    evalkit judge cases.jsonl.gz -o verdicts.jsonl
    evalkit judge cases.jsonl -o compat.jsonl --mode lcb-compat --workers 8
    """
    from typing import cast

    from evalkit.errors import RunIncompleteError
    from evalkit.sandbox import Limits, Mode, Sandbox
    from evalkit.sandbox.cases import judge_file
    from evalkit.workers import processors

    if unsafe_no_sandbox:
        echo(
            "UNSAFE: programs run without a sandbox, with all permissions of this user.", red=True, bold=True, err=True
        )
    with Sandbox(unsafe=unsafe_no_sandbox) as sandbox:
        counts = judge_file(
            cases,
            output,
            mode=cast(Mode, mode),
            workers=workers or processors(),
            limits=Limits(memory_mb=memory_mb, output_mb=output_mb),
            all_tests=all_tests,
            sandbox=sandbox,
        )
    echo(f"{sum(counts.values())} programs, mode {mode}: " + ", ".join(f"{n} {v}" for v, n in counts.most_common()))
    if counts["sandbox error"]:
        raise RunIncompleteError(
            f"{counts['sandbox error']} programs have no verdict: the sandbox failed or their tests are invalid.",
            f"{output} has an explanation for each; to try again, delete the first of those lines and all after it.",
        )
