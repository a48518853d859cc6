"""The options of engines on the command line: `--engine`, `-E`, and a flag for each option of evalkit's own engines."""

import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from evalkit.engines.options import OWN_OPTIONS
from evalkit.engines.registry import OptionField, option_fields, read_assignments

Command = TypeVar("Command", bound=Callable[..., Any])

_engine = click.option(
    "--engine",
    "--backend",
    "engine_name",
    metavar="NAME",
    help="Inference engine; `evalkit engines` lists them [default: vllm on CUDA, else transformers].",
)
_assignments = click.option(
    "-E", "engine_assignments", multiple=True, metavar="NAME=VALUE", help="Set an option of the engine. Repeatable."
)
engine_file = click.option(
    "--engine-file",
    metavar="FILE.py",
    type=click.Path(path_type=Path),
    help="Python file that defines an engine; --engine names it where it has several.",
)


def engine_flags(command: Command) -> Command:
    """Give a command `--engine`, `--engine-file`, `-E` and the flags of evalkit's own engines."""
    for field, owners in reversed(_flags().values()):
        name = field.name.replace("_", "-")
        flag = f"--{name}/--no-{name}" if field.default is True else f"--{name}"
        suffix = "" if len(owners) > 2 else f" ({', '.join(owners)})"
        kind = _plain(field.kind)
        shape: dict[str, Any] = {"type": kind, "default": None}
        if kind is bool:
            shape = {"is_flag": True, "default": None}
        elif field.repeatable:
            shape = {"type": str, "multiple": True}
        command = click.option(flag, field.name, help=field.help.rstrip(".") + suffix + ".", **shape)(command)
    return _engine(engine_assignments(engine_file(command)))


def engine_assignments(command: Command) -> Command:
    """Give a command `-E NAME=VALUE`."""
    return _assignments(command)


def _flags() -> dict[str, tuple[OptionField, list[str]]]:
    """Each option of evalkit's own engines, and the engines that have it."""
    flags: dict[str, tuple[OptionField, list[str]]] = {}
    for engine, options_class in OWN_OPTIONS.items():
        for field in option_fields(options_class).values():
            flags.setdefault(field.name, (field, []))[1].append(engine)
    return flags


def _plain(kind: Any) -> Any:
    """The click type of an option's type: without None and without bounds, which the engine's options check."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return click.Choice(arguments)
    if typing.get_origin(kind) is typing.Annotated:
        return _plain(arguments[0])
    some = [each for each in arguments if each is not type(None)]
    return _plain(some[0]) if some and typing.get_origin(kind) is not tuple else kind


def take_engine_options(values: dict[str, Any]) -> Mapping[str, object]:
    """The engine's options among a command's parameters, which lose them: flags that were given, then `-E`."""
    given = {name: value for name in _flags() if (value := values.pop(name)) not in (None, ())}
    return {**given, **read_assignments(values.pop("engine_assignments"))}
