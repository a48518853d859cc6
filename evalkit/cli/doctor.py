"""`evalkit doctor`: what works on this machine."""

import click

from evalkit.cli.terminal import echo


@click.command(name="doctor", short_help="Check this machine: sandbox layers, compilers, engines.")
def command() -> None:
    """Show which layers of the sandbox work here and which compilers and engines are installed.

    The exit code is 2 if programs cannot be isolated.
    """
    import importlib.util
    import os
    import platform
    import shutil
    from importlib.metadata import version

    from evalkit.sandbox import LANGUAGES, Sandbox, SandboxUnavailableError
    from evalkit.sandbox.jail import has_numpy
    from evalkit.sandbox.languages import compiler_version

    echo(f"system: {platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors")
    echo(f"python: {platform.python_version()}")
    for name in ("torch", "transformers", "vllm"):
        installed = importlib.util.find_spec(name) is not None
        echo(f"{name}: {version(name) if installed else 'not installed'}")
    echo("sandbox:")
    failure: SandboxUnavailableError | None = None
    try:
        with Sandbox() as sandbox:
            for layer, state in sandbox.layers().items():
                echo(f"  {layer}: {state}")
    except SandboxUnavailableError as error:
        failure = error
        echo(f"  not available: {error.message}")
    echo(f"  bubblewrap: {shutil.which('bwrap') or 'not installed (not needed if the layers above work)'}")
    echo("languages of programs:")
    for language in LANGUAGES.values():
        found = compiler_version(language.compiler) if language.compiler else "yes"
        echo(f"  {language.name}: {found or f'{language.compiler} is not installed'}")
    echo(f"  numpy for Python programs: {'yes' if has_numpy() else 'not installed'}")
    if failure is not None:
        raise failure
