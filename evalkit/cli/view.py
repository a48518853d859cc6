"""`evalkit view`: the report page, as a folder of static pages or served on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.selection import trust_option, trust_task_files
from evalkit.cli.terminal import echo

if TYPE_CHECKING:
    from evalkit.results.site.options import SiteOptions


@click.command(name="view", short_help="Write the report page, or serve it and follow runs that are going on.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the page there, and do not serve."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to serve on [default: a free one].")
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the default browser.")
@click.option(
    "--published", multiple=True, metavar="NAME", help="Add a published table, such as deepseek-r1. Repeatable."
)
@click.option("--teacher", multiple=True, metavar="RUNS", help="The teacher's runs: adds the distillation page.")
@click.option("--base", multiple=True, metavar="RUNS", help="Runs of what the students were trained from.")
@click.option(
    "--student", "students", multiple=True, type=click.Path(path_type=Path), metavar="RUNS", help="The students' runs."
)
@click.option(
    "--max-samples", type=click.IntRange(min=1), metavar="N", help="At most so many texts of each task of each run."
)
@click.option("--only-wrong", is_flag=True, help="Leave out the text of correct completions.")
@click.option(
    "--redact-prompts/--keep-prompts",
    "redact",
    default=None,
    help="Leave out, or keep, the problems' texts [default: left out for gated data sets, such as GPQA].",
)
@click.option("--data", "data_folder", metavar="DIR", help="Folder with the data sets [env: EVALKIT_DATA].")
@trust_option
def command(
    runs: tuple[Path, ...],
    output: Path | None,
    port: int,
    in_browser: bool,
    published: tuple[str, ...],
    teacher: tuple[str, ...],
    base: tuple[str, ...],
    students: tuple[Path, ...],
    max_samples: int | None,
    only_wrong: bool,
    redact: bool | None,
    data_folder: str | None,
    trust: bool,
) -> None:
    """Show RUNS, which are results folders or run directories, in a browser [default: results].

    With -o it writes a folder of static pages, which opens from disk and from any web server. Without, it serves them
    on 127.0.0.1 and follows runs that are going on, until Ctrl-C.

    \b
    evalkit view results/
    evalkit view results/ -o site/ --published deepseek-r1
    evalkit view results/ -o site/ --student results/S --teacher results/T --base results/B
    """
    from evalkit.results.site.options import SiteOptions

    paths = runs or (Path("results"),)
    if trust:
        trust_task_files(paths)
    options = SiteOptions(paths, published, max_samples, only_wrong, redact, data_folder, teacher, base, students)
    if output is None:
        _serve(options, port, in_browser)
    else:
        from evalkit.results.site.export import write_site

        site = write_site(output, options, _tell)
        for notice in site.notices():
            echo(notice, err=True)
        page = site.folder / "index.html"
        echo(f"wrote {page}", err=True)
        if in_browser:
            click.launch(page.as_uri())


def _tell(text: str) -> None:
    echo(text, err=True)


def _serve(options: "SiteOptions", port: int, in_browser: bool) -> None:
    import tempfile
    import threading

    from evalkit.results.site.export import Site, copy_front_end
    from evalkit.results.site.server import serving

    with tempfile.TemporaryDirectory(prefix="evalkit-view-") as folder:
        site = Site(Path(folder).resolve(), options, live=True)
        copy_front_end(site.folder)
        site.refresh(_tell)
        try:
            with serving(site, port) as server:
                echo(server.url)
                if in_browser:
                    click.launch(server.url)
                threading.Event().wait()
        except KeyboardInterrupt:
            echo("stopped", err=True)
