"""`evalkit audit`: what a training set is made of and what is wrong with it."""

import sys

import click

from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

_BAR = 40


@click.command(name="audit", short_help="Check a training set: format, repeats, languages, duplicates, answers.")
@click.argument("sets", nargs=-1, required=True, metavar="SETS...")
@click.option("--gold", metavar="FIELD", help="Grade the answers against this field.")
@click.option("--kind", type=click.Choice(["math", "choice"]), default="math", show_default=True, help="How to grade.")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="FAULT=SHARE",
    help="Share of the records that may have a fault, such as 'no box=0.01'. Repeatable.",
)
def command(sets: tuple[str, ...], gold: str | None, kind: str, allowed: tuple[str, ...]) -> None:
    """Check SETS: JSON lines, JSON lists or parquet in the chat format, also as gz or zst.

    The exit code is 1 if a fault is in more records than is allowed.

    \b
    evalkit audit set.jsonl --gold gold
    evalkit audit set.parquet --allow duplicate=0.01
    """
    from evalkit.results.formats.escaping import one_line
    from evalkit.transfer.audit import FAULTS, audit_set

    shares = _shares(allowed, list(FAULTS))
    found = audit_set(sets, gold=gold, kind=kind)  # type: ignore[arg-type]  # click has checked it
    echo(f"{found.records:,} records")
    for name, counts in found.histograms.items():
        echo(f"\n{name}")
        most = max(counts.values(), default=1)
        for label, count in counts.items():
            echo(f"  {label:>22} {count:>9,} {'█' * round(_BAR * count / most)}".rstrip())
    echo("\nfaults" if found.faults else "\nno faults")
    for name, fault in found.faults.items():
        where = ", ".join(map(one_line, fault.first))
        echo(f"  {name:<20} {fault.count:>9,} {fault.count / found.records:>8.2%}  {FAULTS[name]}: {where}")
    if found.graded is not None:
        right, graded = found.graded
        echo(f"\n{right:,} of {graded:,} graded answers are right")
    if failing := found.failing(shares):
        for line in failing:
            echo(f"above what is allowed: {line}", err=True)
        sys.exit(1)


def _shares(allowed: tuple[str, ...], known: list[str]) -> dict[str, float]:
    from evalkit.benchmark.registry import did_you_mean

    shares = {}
    for pair in allowed:
        name, _, share = pair.partition("=")
        if name not in known:
            raise EvalkitError(f"There is no fault {name!r}.{did_you_mean(name, known)}", f"{', '.join(known)}.")
        try:
            shares[name] = float(share)
        except ValueError:
            raise EvalkitError(f"{pair!r} has no share.", "write FAULT=SHARE, such as duplicate=0.01.") from None
    return shares
