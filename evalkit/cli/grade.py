"""`evalkit grade`: grade one response and explain the verdict."""

import sys
from pathlib import Path

import click

from evalkit.cli.terminal import echo
from evalkit.visible import visible_line


@click.command(name="grade", short_help="Grade one response against a gold answer, and explain the verdict.")
@click.option("--gold", required=True, help="The right answer, as written in the benchmark.")
@click.option(
    "--response",
    "response_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the response; - reads stdin.",
)
@click.option("--answer", help="Compare this answer directly, instead of extracting it from a response.")
@click.option("--choices", metavar="TEXT|TEXT|…", help="Grade as multiple choice with these options, A first.")
@click.option(
    "--grader", "grader_name", default="evalkit", show_default=True, help="Grader: evalkit, math-verify or prm800k."
)
def command(gold: str, response_file: Path | None, answer: str | None, choices: str | None, grader_name: str) -> None:
    """Grade one response: print its status, the extracted answer, the rule that found it, and an explanation.

    \b
    evalkit grade --gold '\\frac{1}{2}' --answer 0.5
    evalkit grade --gold 42 --response completion.txt
    evalkit grade --gold B --choices 'red|green|blue' --response -
    """
    from evalkit.errors import EvalkitError
    from evalkit.grading import grade_choice
    from evalkit.grading.external import grader
    from evalkit.grading.math import compare_answers

    if (response_file is None) == (answer is None):
        raise EvalkitError("Give either --response FILE or --answer.", "--response - reads standard input.")
    if answer is not None and choices is None and grader_name == "evalkit":
        verdict = compare_answers(gold, answer)
        status = "error" if verdict.equal is None else "correct" if verdict.equal else "wrong"
        echo(f"status       {status}\nexplanation  {visible_line(verdict.why)}")
        return
    text = answer if response_file is None else _read(response_file)
    assert text is not None
    options = None if choices is None else choices.split("|")
    score = grader(grader_name)(text, gold) if options is None else grade_choice(text, gold, options)
    shown = "(none)" if score.answer is None else visible_line(score.answer)
    echo(f"status       {score.status}\nanswer       {shown}\nfound by     {score.extracted_by or '(nothing)'}")
    echo(f"explanation  {visible_line(score.explanation)}")


def _read(path: Path) -> str:
    from evalkit.errors import EvalkitError
    from evalkit.files import read_file

    if str(path) == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        return read_file(path).decode("utf-8-sig", "replace")
    except OSError as error:
        raise EvalkitError(
            f"{path} cannot be read: {error.strerror}.", "pass the path of a text file that holds a response."
        ) from error
