"""`evalkit protocols`: the presets and their settings."""

import click

from evalkit.cli.terminal import echo


@click.command(name="protocols", short_help="List protocols and their settings.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which `evalkit run --protocol FILE.json` reads.")
def command(name: str | None, as_json: bool) -> None:
    """List all protocols, or show NAME, which is a preset or a JSON file.

    A protocol is a set of sampling settings and prompts.

    \b
    evalkit protocols
    evalkit protocols deepseek-r1 --json > my-protocol.json
    """
    from dataclasses import asdict

    from evalkit.benchmark.protocols import DEFAULT_PROTOCOL, available_protocols, find_protocol
    from evalkit.visible import json_text

    chosen = [find_protocol(name)] if name else list(available_protocols().values())
    if as_json:
        content = [asdict(p) for p in chosen]
        echo(json_text(content[0] if name else content, indent=2))
        return
    for number, protocol in enumerate(chosen):
        default = " (default)" if protocol.name == DEFAULT_PROTOCOL else ""
        echo("\n" if number else "", nl=False)
        echo(protocol.name, bold=True, nl=False)
        echo(default)
        for key, value in asdict(protocol).items():
            if key == "name" or value in ({}, ()):
                continue
            entries = value.items() if isinstance(value, dict) else [("", value)]
            for kind, entry in entries:
                label = f"{key}[{kind}]" if kind else key
                echo(f"  {label:16} {_shown(entry)}")


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return repr(value) if isinstance(value, str) and ("\n" in value or not value) else str(value)
