"""`evalkit judge`: verdicts on programs, without a model."""

from pathlib import Path

import click


@click.command(name="judge", short_help="Judge programs in the sandbox; no model needed.")
@click.argument("cases", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="VERDICTS", help="JSON lines.")
@click.option(
    "--mode",
    type=click.Choice(["script", "lcb-compat", "lcb-compat-2025-05"]),
    default="script",
    show_default=True,
    help="As ordinary scripts, or as LiveCodeBench's official runner of January 2025, or of May 2025 and later, does.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Programs judged at once [default: the cores].")
@click.option("--all-tests", is_flag=True, help="Go on after the first test that fails.")
@click.option(
    "--memory-mb", type=click.IntRange(64, 1 << 20), default=4096, show_default=True, help="Limit for a program."
)
@click.option("--output-mb", type=click.IntRange(1, 4096), default=64, show_default=True, help="Limit on its output.")
@click.option(
    "--unsafe-no-sandbox",
    is_flag=True,
    help="Run the programs without any protection. Only in a machine to throw away.",
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
    """Judge the programs of CASES, JSON lines (or .gz) of {id, code, tests: [[input, output], …], fn_name or null,
    timeout in seconds, language}; write {id, passed, verdict, results, cpu_seconds, explanation} in the same order.

    The same command again resumes. All cases are read before the first is judged. Ends with 1 where a program could not
    be judged: the sandbox failed, or its tests are not fit for it.

    \b
    evalkit judge cases.jsonl.gz -o verdicts.jsonl
    evalkit judge cases.jsonl -o compat.jsonl --mode lcb-compat --workers 8
    """
    import os
    from typing import cast

    from evalkit.errors import RunIncompleteError
    from evalkit.sandbox import Limits, Mode, Sandbox
    from evalkit.sandbox.cases import judge_file

    if unsafe_no_sandbox:
        click.secho(
            "UNSAFE: programs run without a sandbox, with all that this user may do.", fg="red", bold=True, err=True
        )
    with Sandbox(unsafe=unsafe_no_sandbox) as sandbox:
        counts = judge_file(
            cases,
            output,
            mode=cast(Mode, mode),
            workers=workers or os.cpu_count() or 1,
            limits=Limits(memory_mb=memory_mb, output_mb=output_mb),
            all_tests=all_tests,
            sandbox=sandbox,
        )
    click.echo(
        f"{sum(counts.values())} programs, mode {mode}: " + ", ".join(f"{n} {v}" for v, n in counts.most_common())
    )
    if counts["sandbox error"]:
        raise RunIncompleteError(
            f"{counts['sandbox error']} programs have no verdict: the sandbox failed, or their tests are unfit.",
            f"the explanations in {output} say why; delete those lines and all after them to try again.",
        )
