"""The process in which chat templates are rendered: a template is a program that came with somebody's checkpoint."""

import functools
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):
    """`{% generation %}`, which marks what a model has written, for training: it renders its content."""

    tags = {"generation"}  # noqa: RUF012  (as jinja2 declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, **layout: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **layout)


@functools.cache
def _environment() -> Environment:
    """What transformers gives a chat template."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise
    return made


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


def render(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The text of a template, and whether it asked for the date; {"longer": True} beyond `most` characters."""
    today = date.fromisoformat(payload["date"])
    dated = []

    def strftime_now(layout: str) -> str:
        dated.append(layout)
        return today.strftime(layout)

    pieces: list[str] = []
    length = 0
    for piece in _compiled(payload["template"]).generate(strftime_now=strftime_now, **payload["variables"]):
        length += len(piece)
        if length > payload["most"]:
            return {"longer": True}
        pieces.append(piece)
    return {"text": "".join(pieces), "dated": bool(dated)}
