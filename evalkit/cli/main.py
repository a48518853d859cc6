"""The command line: finds the commands, and prints errors as one sentence and a hint."""

import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import click

from evalkit.cli.terminal import close_output, echo, end_process, guard_output, ignore_interrupts, open_closed_streams
from evalkit.errors import EvalkitError
from evalkit.visible import visible_line
from evalkit.workers import end_with_parent

COMMANDS = (
    "run",
    "score",
    "settle",
    "merge",
    "suite",
    "watch",
    "import",
    "export",
    "samples",
    "adjudicate",
    "verify",
    "leaderboard",
    "view",
    "compare",
    "distill",
    "transfer",
    "audit",
    "contamination",
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


_HTTP_PACKAGES = {"httpx", "httpx2", "httpcore", "httpcore2", "hf_xet", "huggingface_hub", "filelock", "urllib3"}
_LIBRARIES = {
    "accelerate",
    "asyncio",
    "datasets",
    "fsspec",
    "matplotlib",
    "peft",
    "ray",
    "torch",
    "transformers",
    "root",
}


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
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_for_the_user)
    logging.getLogger("torch").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])


def _is_for_the_user(record: logging.LogRecord) -> bool:
    """What evalkit and its plug-ins say; of other packages warnings, and of those that speak HTTP errors alone.

    An HTTP client logs each request, and the hub's addresses are signed: whoever reads them has access.
    """
    package = record.name.partition(".")[0]
    if package in _HTTP_PACKAGES:
        return record.levelno >= logging.ERROR
    return record.levelno >= logging.WARNING or package not in _LIBRARIES


def fail(error: EvalkitError) -> int:
    """Print an error to stderr and return its exit code."""
    for word, told in (("error:", error.message), ("hint:", error.hint)):
        echo(word, err=True, bold=True, red=word == "error:", nl=False)
        echo(f" {visible_line(told)}", err=True)
    return error.exit_code


def _print_every_character() -> None:
    """Tables have signs that Windows' code pages lack: what is piped is UTF-8, and a terminal shows what it can."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or stream.encoding.lower().replace("-", "") == "utf8":
            continue
        if stream.isatty() or "PYTHONIOENCODING" in os.environ:
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8")


_CLOSED_PIPE = 141  # as a shell tells of other commands that such a pipe ends: it says nothing of the run


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 the run could not finish, 2 wrong usage or input.

    After Ctrl-C it is 130, and 141 where what reads the output has closed it, as `head` does. What keeps a command from
    going on is told in one sentence and a hint.
    """
    try:
        cli.main(arguments, standalone_mode=False)
        close_output()
        return 0
    except EvalkitError as error:
        return fail(error)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "evalkit"
        return fail(EvalkitError(error.format_message(), f"see `{command} --help`."))
    except (click.Abort, KeyboardInterrupt):
        ignore_interrupts()
        fail(EvalkitError("Stopped.", "finished work is kept; run the same command again to resume."))
        return 130
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit:
        if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # what click does where a pipe is closed
            return _CLOSED_PIPE
        raise
    except BrokenPipeError:
        sys.stderr.close()
        return _CLOSED_PIPE
    except MemoryError:
        return fail(EvalkitError("There is not enough memory.", "raise `ulimit -v`, or take smaller files."))
    except OSError as error:
        what = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        told = f"{what}{error.strerror or error}."
        return fail(EvalkitError(told, "see that the file can be read, and that the disk has free space."))


def main() -> None:
    """The entry point `evalkit`. Exits as `run` returns."""
    open_closed_streams()
    end_with_parent()
    _print_every_character()
    guard_output()
    end_process(run())
