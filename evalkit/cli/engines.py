"""`evalkit engines`: the engines, the options of one, and the contract suite."""

import inspect
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.engine_flags import engine_assignments, engine_file
from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.engines.base import Engine


@click.group(name="engines", invoke_without_command=True, short_help="List, show and check engines.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the registered engines, whether each is installed, and their options.

    \b
    evalkit engines
    evalkit engines show vllm
    evalkit engines check transformers --model ./checkpoint
    evalkit engines check echo --engine-file examples/echo_engine.py
    """
    if ctx.invoked_subcommand is not None:
        return
    from evalkit.engines.registry import engine_class, engine_names, missing_packages, option_fields

    for name in engine_names():
        try:
            engine = engine_class(name)
        except EvalkitError as error:  # of another package: the list is of use without it
            echo(f"{name:<16}cannot be used")
            echo(f"  {error.message}", err=True)
            continue
        missing = missing_packages(engine)
        state = f"not installed: {engine.install or missing[0]}" if missing else "installed"
        echo(f"{name:<16}{state}")
        echo(f"  options: {', '.join(option_fields(engine.options_class)) or 'none'}")


@command.command(name="show", short_help="Describe one engine and its options.")
@click.argument("name", required=False)
@engine_file
def show(name: str | None, engine_file: Path | None) -> None:
    """Describe an engine and list the options that -E takes. NAME may be left out with --engine-file."""
    from evalkit.engines.registry import missing_packages, option_fields

    engine = _named_engine(name, engine_file)
    echo(f"{engine.name}: {inspect.cleandoc(engine.__dict__.get('__doc__') or 'its class has no docstring.')}")
    if missing := missing_packages(engine):
        echo(f"not installed: it needs {', '.join(missing)}; {engine.install}")
    for field in option_fields(engine.options_class).values():
        echo(f"  -E {field.name}={_kind_name(field.kind)}  {field.help}")


def _named_engine(name: str | None, file: Path | None) -> type["Engine"]:
    from evalkit.engines.registry import engine_class, only_engine

    if name is not None:
        return engine_class(name, file)
    if file is None:
        raise EvalkitError("Name an engine, or give a file with --engine-file.", "`evalkit engines` lists them.")
    return only_engine(file)


def _kind_name(kind: Any) -> str:
    """How a type is written in help: `INT`, `A|B`, `TEXT`."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return "|".join(map(str, arguments))
    if typing.get_origin(kind) is typing.Annotated:
        return _kind_name(arguments[0])
    some = [each for each in arguments if each not in (type(None), Ellipsis)]
    if some:
        return _kind_name(some[0])
    return {"str": "TEXT", "int": "INT", "float": "NUMBER", "bool": "true|false"}.get(
        getattr(kind, "__name__", ""), "VALUE"
    )


@command.command(name="check", short_help="Run the contract suite on an engine.")
@click.argument("name", required=False)
@click.option("--model", default="a-model", help="Model to open the engine with: a folder or a hub id.")
@engine_assignments
@engine_file
def check(name: str | None, model: str, engine_assignments: tuple[str, ...], engine_file: Path | None) -> None:
    """Check an engine against every rule of the engine contract. NAME may be left out with --engine-file.

    This generates about 30 short completions. The exit code is 1 if a rule is broken.
    """
    from evalkit.engines import open_engine
    from evalkit.engines.contract import check_engine, require_passed
    from evalkit.engines.registry import read_assignments

    name = _named_engine(name, engine_file).name
    options = read_assignments(engine_assignments)
    checks = []
    for one in check_engine(
        lambda: open_engine(name, model, options, file=engine_file),
        lambda others: open_engine(name, model, {**options, **others}, file=engine_file),
    ):
        word = {True: "ok", False: "BROKEN", None: "–"}[one.passed]
        echo(f"{word:<8}{one.rule}{f': {one.detail}' if one.detail else ''}")
        checks.append(one)
    require_passed(name, checks)
