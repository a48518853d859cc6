"""`evalkit codeforces`: contest sets, and ratings of what was solved."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from evalkit.cli.terminal import echo

if TYPE_CHECKING:
    from .contests import Contest


@click.group(name="codeforces", short_help="CodeForces ratings: contest sets, and a rating of any table of solves.")
def command() -> None:
    """Ratings with an interval, offline: `rate` needs no network, `contest fetch` is what fetches standings."""


@command.group(name="contest", short_help="Contest sets: fetch, import, list.")
def contest() -> None:
    """A contest set holds what a rating needs of its contests: problems, people's ratings and scores, no handles."""


_Command = TypeVar("_Command", bound=Callable[..., None])


def _with_api(function: _Command) -> _Command:
    for option in (
        click.option("--interval", type=float, default=2.1, show_default=True, help="Seconds between requests."),
        click.option("--refresh", is_flag=True, help="Fetch again what is cached."),
        click.option(
            "--api-url", default="https://codeforces.com/api", show_default=True, help="Another server's API."
        ),
    ):
        function = option(function)
    return function


@contest.command(name="fetch", short_help="Build a set from the public API.")
@click.argument("ids", nargs=-1, type=int)
@click.option("--set", "name", help="The set to make or to add to; default: custom, or div2-2024 where no id is given.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The set's file; default: where sets are looked for."
)
@_with_api
def fetch_command(
    ids: tuple[int, ...], name: str | None, output: Path | None, api_url: str, refresh: bool, interval: float
) -> None:
    """Fetch the contests IDS (their numbers; none: all of the set) and write them into the set.

    Two requests a contest, one every 2 seconds. What was fetched is kept: a broken run takes up where it was.
    """
    from .api import Api
    from .building import build_contest, fetch
    from .contests import load_set, user_folder

    name = name or ("custom" if ids else "div2-2024")
    wanted = list(ids) or [c.id for c in load_set(name).contests]
    api = Api(user_folder() / "cache", api_url, interval, refresh)
    responses = fetch(api, wanted)
    echo(f"{api.requests} requests", err=True)
    built = []
    for contest_id in wanted:
        one, notes = build_contest(responses, contest_id)
        built.append(one)
        echo(f"{contest_id} {one.name}: {'; '.join(notes)}", err=True)
    _save(name, output, built)


@contest.command(name="import", short_help="Build a set from saved API responses.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--set", "name", default="custom", show_default=True, help="The set to make or to add to.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The set's file; default: where sets are looked for."
)
def import_command(files: tuple[Path, ...], name: str, output: Path | None) -> None:
    """Take up FILES: responses of contest.standings, contest.ratingChanges, problemset.problems, plain or gzipped."""
    from .building import Responses, build_contest

    responses = Responses()
    for path in files:
        responses.add_file(path)
    built = []
    for contest_id in sorted(responses.standings.keys() | responses.changes.keys()):
        one, notes = build_contest(responses, contest_id)
        built.append(one)
        echo(f"{contest_id} {one.name}: {'; '.join(notes)}", err=True)
    _save(name, output, built)


def _save(name: str, output: Path | None, built: "list[Contest]") -> None:
    from evalkit.errors import EvalkitError

    from .contests import ContestSet, load_set, save_set, set_names, user_folder

    if not built:
        raise EvalkitError("No contest was given.", "name contests by id, or give responses of contest.standings.")
    path = output or user_folder() / f"{name}.json"
    if path.exists():
        old = load_set(str(path))
    elif output is None and name in set_names():
        old = load_set(name)
    else:
        old = ContestSet(name, ())
    contests = old.with_contests(built)
    save_set(contests, path)
    with_standings = sum(c.standings is not None for c in contests.contests)
    echo(f"{path}: {len(contests.contests)} contests, {with_standings} with standings, sha256 {contests.sha256}")


@contest.command(name="list", short_help="The sets at hand, or the contests of one.")
@click.argument("name", required=False)
def list_command(name: str | None) -> None:
    """List the contest sets, or what the set NAME (or a file) holds."""
    from .contests import load_set, set_names

    if name is None:
        for found in set_names():
            contests = load_set(found)
            with_people = sum(c.standings is not None for c in contests.contests)
            echo(f"{found}: {len(contests.contests)} contests, {with_people} with standings, {contests.sha256[:12]}")
        return
    contests = load_set(name)
    echo(f"{contests.name}, sha256 {contests.sha256}")
    for one in contests.contests:
        people = "no standings" if one.standings is None else f"{one.standings.rating.size} participants"
        problems = f"{len(one.problems)} problems" if one.problems else "problems not fetched"
        echo(f"{one.id:>7} {one.date or '          '} {one.scoring:<6} {problems:>20} {people:>18}  {one.name}")


@command.command(name="histogram", short_help="Fetch the ratings of the active users, for percentiles.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: where percentiles look for it.")
@_with_api
def histogram_command(output: Path | None, api_url: str, refresh: bool, interval: float) -> None:
    """Count the active users by rating (user.ratedList) and keep the histogram with today's date."""
    from datetime import UTC, datetime

    from .api import Api
    from .contests import user_folder
    from .percentile import FILE_NAME, fetch_histogram

    path = output or user_folder() / FILE_NAME
    today = datetime.now(UTC).date().isoformat()
    count = fetch_histogram(Api(user_folder() / "cache", api_url, interval, refresh=True), path, today)
    echo(f"{path}: {count} active users, {today}")


@command.command(name="rate", short_help="Rate a table of solves, or a finished run.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--contests", "set_name", metavar="SET", help="A name or a file; default: the run's own, or div2-2024.")
@click.option(
    "--rule", type=click.Choice(["humans", "elo", "codeelo"]), default="humans", show_default=True,
    help="humans: as people who solve as much are rated; elo: the rating formula on places; codeelo: CodeElo's script.",
)  # fmt: skip
@click.option(
    "--tie-rule", type=click.Choice(["middle", "upper-quartile", "fastest"]), default="middle", show_default=True,
    help="Where the model stands among those with its score (places, performances, rule elo).",
)  # fmt: skip
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Of the interval.")
@click.option(
    "--histogram", "histogram_path", metavar="FILE", help="CSV of rating,users; default: fetched, or of EVALKIT_DATA."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the interval's draws.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Write the plots there.")
def rate_command(
    source: Path,
    set_name: str | None,
    rule: str,
    tie_rule: str,
    level: float,
    histogram_path: str | None,
    seed: int,
    as_json: bool,
    plots: Path | None,
) -> None:
    """Rate SOURCE: a JSON lines file of {contest, index, solved, samples}, or a run directory of the task codeforces.

    \b
    evalkit codeforces rate solves.jsonl --contests div2-2024
    evalkit codeforces rate results/my-model/deepseek-r1-1a2b3c4d --plots plots/
    """
    import json
    from typing import cast

    from evalkit.benchmark.data import DataSource

    from .contests import load_set
    from .estimate import Rule, rate
    from .field import TieRule
    from .percentile import find_histogram
    from .runs import table_of_run
    from .summary import describe, to_json
    from .table import read_table

    if source.is_dir():
        table, contests = table_of_run(source, set_name)
    else:
        table, contests = read_table(source), load_set(set_name or "div2-2024")
    rating = rate(table, contests, rule=cast(Rule, rule), tie_rule=cast(TieRule, tie_rule), level=level, seed=seed)
    histogram = find_histogram(histogram_path, DataSource.from_option(None).root)
    if as_json:
        echo(json.dumps(to_json(rating, table, contests, histogram), indent=1, allow_nan=False))
    else:
        echo(describe(rating, table, contests, histogram), nl=False)
    if plots is not None:
        from .plots import write_plots

        for path in write_plots(rating, table, contests, plots):
            echo(f"wrote {path}", err=True)
