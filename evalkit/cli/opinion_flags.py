"""The options of `evalkit run` and `evalkit score` for a second grader."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.benchmark.data import DataFolders
    from evalkit.store.run import RunDirectory

Command = TypeVar("Command", bound=Callable[..., Any])


def opinion_flags(command: Command) -> Command:
    """Give a command `--second-opinion`, `--judge-url` and `--judge-model`."""
    command = click.option("--judge-model", metavar="NAME", help="The judge's model [default: the server's first].")(
        command
    )
    command = click.option("--judge-url", metavar="URL", help="An OpenAI-compatible server for --second-opinion llm.")(
        command
    )
    return click.option(
        "--second-opinion",
        type=click.Choice(["math-verify", "prm800k", "llm"]),
        help="Have a second grader judge the completions; disputes are counted and listed.",
    )(command)


def require_second_opinion(second_opinion: str | None, judge_url: str | None, judge_model: str | None) -> None:
    """Raise EvalkitError, before anything is graded, if the second grader that was named cannot be asked."""
    if second_opinion is not None:
        from evalkit.run.opinions import require_second_opinion as require

        require(second_opinion, judge_url, judge_model)
    elif judge_url is not None or judge_model is not None:
        given = "--judge-url" if judge_url is not None else "--judge-model"
        raise EvalkitError(f"{given} is for a second opinion, and none was asked for.", "add --second-opinion llm.")


def ask_second_opinion(
    run: "RunDirectory",
    names: list[str],
    second_opinion: str | None,
    judge_url: str | None,
    judge_model: str | None,
    data: "DataFolders",
) -> None:
    """Ask the second grader that was named, if one was."""
    if second_opinion is None:
        return
    from evalkit.run.opinions import second_opinions

    asked = second_opinions(run, names, second_opinion, judge_url, judge_model, data)
    echo(f"{second_opinion}: {asked} new opinions", err=True)
