"""`evalkit fidelity`: how close students' distributions are to their teacher's."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("numbers with commas between them") from None


@click.command(name="fidelity", short_help="Students' distributions beside their teacher's, from logits.")
@click.argument("students", nargs=-1, required=True, metavar="STUDENT...")
@click.option("--teacher", required=True, metavar="MODEL", help="A folder or hub id.")
@click.option(
    "--traces",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="The texts that both read: a run directory, or JSON lines with a prompt and a response.",
)
@click.option("--temperatures", default="1,2,4", show_default=True, callback=_numbers, help="Of the soft losses.")
@click.option("--gamma", default="2,4,8", show_default=True, callback=_numbers, help="Numbers of drafted tokens.")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Of the overlap.")
@click.option(
    "--undecided",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="The teacher is undecided where its likeliest token is below this.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N texts.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Leave longer texts out.")
@click.option("--per-token", is_flag=True, help="Write the measures of every token as well (.npz).")
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16 or float16.")
@click.option("--device", help="cuda, mps or cpu [default: the best there is].")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with a checkpoint.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option(
    "-f", "--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True, help="What to print."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where fidelity.json goes.")
def command(
    students: tuple[str, ...],
    teacher: str,
    traces: Path,
    temperatures: tuple[float, ...],
    gamma: tuple[float, ...],
    top_k: int,
    undecided: float,
    limit: int | None,
    max_tokens: int | None,
    per_token: bool,
    dtype: str,
    device: str | None,
    trust_remote_code: bool,
    data_folder: str | None,
    form: str,
    output: Path | None,
) -> None:
    """Let each STUDENT and the teacher read the same texts, and say how far their distributions are apart.

    The results are in fidelity.json, in the run directory or in FILE.fidelity/. The same command again measures only
    what is missing.

    \b
    evalkit fidelity ./student --teacher ./teacher --traces results/teacher/deepseek-r1-1a2b3c4d
    evalkit fidelity ./student --teacher ./teacher --traces transfer-set.jsonl --limit 1000
    """
    from evalkit.fidelity.measure import FidelitySettings, measure_fidelity
    from evalkit.results.formats.fidelity import fidelity_json, fidelity_markdown

    report = measure_fidelity(
        students,
        teacher,
        traces,
        settings=FidelitySettings(temperatures, top_k, undecided, tuple(map(int, gamma)), max_tokens),
        engine_options={"dtype": dtype, "device": device, "trust_remote_code": trust_remote_code},
        output=output,
        limit=limit,
        per_token=per_token,
        data=data_folder,
    )
    echo(fidelity_markdown(report) if form == "md" else fidelity_json(report), nl=False)
