"""The command line: finds the commands, and prints errors as one sentence and a hint."""

import importlib
import logging
import sys
from importlib.metadata import EntryPoint, entry_points

import click

from evalkit.errors import EvalkitError
from evalkit.workers import end_with_parent

COMMANDS = (
    "run",
    "score",
    "merge",
    "suite",
    "watch",
    "import",
    "export",
    "samples",
    "adjudicate",
    "verify",
    "leaderboard",
    "compare",
    "distill",
    "fidelity",
    "plot",
    "tasks",
    "protocols",
    "engines",
    "grade",
    "grade_diff",
    "judge",
    "doctor",
)


def _module(name: str) -> str:
    """The module of a command: `import` is no name that Python can import."""
    return f"evalkit.cli.{'import_log' if name == 'import' else name.replace('-', '_')}"


class _Commands(click.Group):
    """Imports a command when it is used. Other packages add commands with the entry-point group `evalkit.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        ours = [name.replace("_", "-") for name in COMMANDS if importlib.util.find_spec(_module(name))]
        return ours + sorted(entry.name for entry in entry_points(group="evalkit.commands"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name.replace("-", "_") in COMMANDS and importlib.util.find_spec(_module(name)):
            command: click.Command = importlib.import_module(_module(name)).command
            return command
        for entry in entry_points(group="evalkit.commands", name=name):
            return _plugged(entry)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from evalkit.benchmark.registry import did_you_mean

            known = self.list_commands(ctx)
            raise EvalkitError(
                f"There is no command {args[0]!r}.{did_you_mean(args[0], known)}", f"available: {', '.join(known)}."
            )
        return super().resolve_command(ctx, args)


def _plugged(entry: EntryPoint) -> click.Command:
    """A command of another package. If it cannot be imported, calling it raises the error."""
    from evalkit.benchmark.registry import load_plugin

    try:
        command: click.Command = load_plugin(entry, "command")
    except EvalkitError as error:
        failure = error

        def fail_now(**_: object) -> None:
            raise failure

        return click.Command(
            entry.name,
            callback=fail_now,
            short_help="(cannot be imported)",
            params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True},
        )
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="evalkit", prog_name="evalkit")
def cli() -> None:
    """Evaluate reasoning models and print their results with error bars.

    \b
    evalkit run ./checkpoint -t aime24,math500     evaluate a checkpoint
    evalkit leaderboard results/                   print the table
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "huggingface_hub", "filelock"):
        logging.getLogger(name).setLevel(logging.ERROR)


def fail(error: EvalkitError) -> int:
    """Print an error to stderr and return its exit code."""
    from evalkit.results.formats.escaping import one_line  # an error may quote a stranger's file

    click.echo(f"{click.style('error:', fg='red', bold=True)} {one_line(error.message)}", err=True)
    click.echo(f"{click.style('hint:', bold=True)} {one_line(error.hint)}", err=True)
    return error.exit_code


def main() -> None:
    """The entry point `evalkit`. Exit codes: 0 success, 1 the run could not finish, 2 wrong usage or input."""
    end_with_parent()
    try:
        cli.main(standalone_mode=False)
    except EvalkitError as error:
        sys.exit(fail(error))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "evalkit"
        sys.exit(fail(EvalkitError(error.format_message(), f"see `{command} --help`.")))
    except click.Abort:
        sys.exit(fail(EvalkitError("Stopped.", "finished work is kept; run the same command again to resume.")))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
