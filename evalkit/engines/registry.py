"""Finds engines by name, through entry points or in a user's file, and makes them with typed options."""

import dataclasses
import hashlib
import importlib.util
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.benchmark.registry import did_you_mean, is_ours, load_plugin, package_of, plugins
from evalkit.engines.base import Engine, LoadedModel
from evalkit.engines.gpus import visible_gpus
from evalkit.errors import EvalkitError, plugin_faults

GROUP = "evalkit.engines"
_SECRET = re.compile(r"(^|_)(key|secret|password|passwd|credentials?|token)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class OptionField:
    """One option of an engine. `kind` is its type; `repeatable` options take several values.

    One that is not `recorded` has no part in the identity of a run under its own name.
    """

    name: str
    kind: Any
    default: Any
    help: str
    recorded: bool = True

    @property
    def repeatable(self) -> bool:
        return typing.get_origin(self.kind) is tuple


def open_engine(
    name: str | None,
    model: str | Path | LoadedModel,
    options: Mapping[str, object] | None = None,
    *,
    file: Path | None = None,
) -> Engine:
    """The engine of that name for `model`; None is the only one of `file`, or the default one. No weights are loaded.

    `options` are those of the engine, by name; text is converted as on the command line (`"8"` to 8). `file` is a
    Python file that defines the engine. Raises EvalkitError if the engine is unknown or not installed, or an option
    unknown or wrong.

    >>> open_engine("replay", "model", {"recorded": "completions.jsonl"})  # doctest: +SKIP
    """
    loaded = isinstance(model, tuple)
    if file is not None and not name:
        engine = only_engine(file)
    else:
        engine = engine_class(name or ("transformers" if loaded else default_engine()), file)
    if loaded and not engine.takes_loaded_models:
        raise EvalkitError(
            f"The {engine.name} engine does not take a model that is loaded.", "give a folder or a hub id."
        )
    values = make_options(engine, options or {})
    if missing := missing_packages(engine):
        raise EvalkitError(
            f"The {engine.name} engine needs the package {missing[0]}, which is not installed.",
            f"run `{engine.install or f'pip install {missing[0]}'}`.",
        )
    hint = f"repair the engine, or see that the model and its options are right: `evalkit engines show {engine.name}`."
    with plugin_faults(engine, f"The engine {engine.name} cannot be opened", hint):
        return engine(model if loaded else str(model), values)  # type: ignore[call-arg]  # what a protocol cannot say


def default_engine() -> str:
    """vllm where it is installed and there is a GPU, else transformers."""
    return "vllm" if find_spec("vllm") and visible_gpus() else "transformers"


def engine_names() -> list[str]:
    """The names of the engines that packages register; nothing is imported."""
    return list(plugins(GROUP))


def engine_class(name: str, file: Path | None = None) -> type[Engine]:
    """The engine of that name, of `file` where one is given; no other engine is imported.

    Raises EvalkitError where there is none, where two packages claim the name, or where it cannot be imported.
    """
    if file is not None:
        own = load_engine_file(file)
        if name not in own:
            raise EvalkitError(
                f"The engine file {file} defines no engine {name!r}.{did_you_mean(name, list(own))}",
                f"it defines {', '.join(own)}.",
            )
        return own[name]
    if entry := plugins(GROUP).get(name):
        return _loaded(entry)
    known = engine_names()
    if not known:
        raise EvalkitError(
            "No package registers an engine, not even evalkit.",
            "install evalkit again: `pip install -e .` in its folder.",
        )
    raise EvalkitError(
        f"There is no engine {name!r}.{did_you_mean(name, known)}",
        f"available: {', '.join(known)}; --engine-file FILE.py plugs in one of your own.",
    )


def only_engine(file: Path) -> type[Engine]:
    """The engine that a file defines. Raises EvalkitError where it has several."""
    own = load_engine_file(file)
    if len(own) > 1:
        raise EvalkitError(f"The engine file {file} defines {len(own)} engines.", f"--engine {' or '.join(own)}.")
    return next(iter(own.values()))


def _loaded(entry: EntryPoint) -> type[Engine]:
    engine: type[Engine] = load_plugin(entry, "engine")
    if not _is_engine(engine):
        raise EvalkitError(
            f"{entry.value} of {package_of(entry)} is not an engine: it lacks a name, options_class or generate.",
            "docs/adding-an-engine.md has the contract.",
        )
    return engine


def _is_engine(value: object) -> bool:
    named = isinstance(value, type) and isinstance(getattr(value, "name", None), str)
    return named and dataclasses.is_dataclass(getattr(value, "options_class", None)) and hasattr(value, "generate")


def _lacking(value: object) -> str:
    """What a class with `generate` lacks to be an engine; "" for all others."""
    if not isinstance(value, type) or not hasattr(value, "generate"):
        return ""
    if not isinstance(getattr(value, "name", None), str):
        return f"Its class {value.__name__} has no name."
    return f"The options_class of its class {value.__name__} is not a dataclass."


def load_engine_file(path: Path) -> dict[str, type[Engine]]:
    """The engines that a Python file defines, by name. Raises EvalkitError if it has none or cannot be run."""
    module_name = f"evalkit_engine_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if not path.exists():
        raise EvalkitError(f"There is no file {path}.", "give the path of a Python file that defines an engine.")
    if not path.is_file() or spec is None or spec.loader is None:
        raise EvalkitError(f"{path} is not a Python file.", "docs/adding-an-engine.md has one to begin with.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file raises what it likes
        raise EvalkitError(
            f"The engine file {path} fails when it is run: {type(error).__name__}: {error}.", "repair the file."
        ) from error
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module_name]
    classes = [value for value in own if _is_engine(value)]
    if not classes:
        near = [told for value in own if (told := _lacking(value))]
        told = f" {near[0]}" if near else ""
        raise EvalkitError(f"The engine file {path} defines no engine.{told}", "see docs/adding-an-engine.md.")
    return _by_name(path, classes)


def _by_name(path: Path, classes: Iterable[type[Engine]]) -> dict[str, type[Engine]]:
    """The engines of a file by name. Raises EvalkitError where two have one name, or one has that of evalkit's own."""
    found: dict[str, type[Engine]] = {}
    for engine in dict.fromkeys(classes):
        if engine.name in found:
            both = f"{found[engine.name].__qualname__} and {engine.__qualname__}"
            raise EvalkitError(
                f"The engine file {path} has two engines named {engine.name}: {both}.",
                "give one of them another name.",
            )
        if (entry := plugins(GROUP).get(engine.name)) and is_ours(entry):
            raise EvalkitError(
                f"The engine of {path} has the name {engine.name}, which is that of evalkit's own engine.",
                "give it another name: runs and tables tell engines apart by it.",
            )
        found[engine.name] = engine
    return found


def missing_packages(engine: type[Engine]) -> list[str]:
    """The modules that the engine needs and that cannot be found here; nothing is imported."""
    return [package for package in getattr(engine, "packages", ()) if find_spec(package) is None]


def option_fields(options_class: type[Any]) -> dict[str, OptionField]:
    """The options of an options dataclass, by name."""
    kinds = typing.get_type_hints(options_class, include_extras=True)
    return {
        field.name: OptionField(
            field.name,
            kinds[field.name],
            _default(field),
            str(field.metadata.get("help", "")),
            bool(field.metadata.get("recorded", True)),
        )
        for field in dataclasses.fields(options_class)
        if field.init and not field.metadata.get("others")
    }


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def make_options(engine: type[Engine], values: Mapping[str, object]) -> Any:
    """An instance of the engine's options. Raises EvalkitError on an unknown name or a value of the wrong type.

    A field whose metadata say "others" takes the options that are no field, as they were given: the engine checks them.
    """
    fields = option_fields(engine.options_class)
    given = {name: _checked(engine, fields[name], value) for name, value in values.items() if name in fields}
    others = {name: value for name, value in values.items() if name not in fields}
    rest = next((f.name for f in dataclasses.fields(engine.options_class) if f.metadata.get("others")), None)
    if unknown := [name for name in others if rest is None or _owners(engine, name)]:
        raise _unknown_option(engine, unknown[0], list(fields))
    return engine.options_class(**given, **({rest: others} if others and rest else {}))


def unnamed_options(options: object, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options that `identity` does not name and that differ from their default, as JSON; None if it names all.

    Those that are declared with `recorded=False` are left out. Of an option that is a secret by its name there is a
    hash.
    """
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        return None
    names = set(names_in(identity))
    unnamed = [
        field
        for field in dataclasses.fields(options)
        if field.init and field.metadata.get("recorded", True) and field.name not in names
    ]
    if not unnamed:
        return None
    values = {field.name: getattr(options, field.name) for field in unnamed}
    changed = {field.name: values[field.name] for field in unnamed if values[field.name] != _default(field)}
    return {name: _recorded(name, value) for name, value in changed.items()}


def names_in(value: object) -> Iterable[str]:
    """The keys of JSON objects at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from names_in(inner)


def _recorded(name: str, value: object) -> Any:
    text = json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, str) and _SECRET.search(name):
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return json.loads(text)


def _unknown_option(engine: type[Engine], name: str, own: list[str]) -> EvalkitError:
    owners = _owners(engine, name)
    if owners:
        hint = f"it is an option of --engine {' or '.join(owners)}."
    else:
        hint = f"its options are {', '.join(own)}: `evalkit engines show {engine.name}`." if own else "it has none."
    guess = "" if owners else did_you_mean(name, own)
    return EvalkitError(f"The {engine.name} engine has no option {name!r}.{guess}", hint)


def _owners(engine: type[Engine], name: str) -> list[str]:
    """The other engines that have such an option."""
    return [other for other in engine_names() if other != engine.name and name in _options_of(other)]


def _options_of(name: str) -> Iterable[str]:
    try:
        return option_fields(engine_class(name).options_class)
    except EvalkitError:  # another package's engine that is broken: it has nothing to say here
        return ()


def _checked(engine: type[Engine], field: OptionField, value: object) -> Any:
    """The value as its option's type. Text is converted; one value is enough where several may be given."""
    from pydantic import TypeAdapter, ValidationError

    if field.repeatable and isinstance(value, Mapping):
        value = tuple(f"{name}={json.dumps(each)}" for name, each in value.items())
    if field.repeatable and not isinstance(value, (tuple, list)):
        value = (value,)
    if value in ("", "none", "None") and _takes_none(field.kind):
        value = None
    try:
        return TypeAdapter(field.kind).validate_python(value)
    except ValidationError as error:
        raise EvalkitError(
            f"The option {field.name}={value!r} of {engine.name} is wrong: {error.errors()[0]['msg']}.",
            f"{field.help} See `evalkit engines show {engine.name}`.".lstrip(),
        ) from error


def _takes_none(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


def read_assignments(texts: Iterable[str]) -> dict[str, object]:
    """Options from `NAME=VALUE` texts; what is given several times becomes a tuple. Raises EvalkitError without `=`."""
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise EvalkitError(f"The engine option {text!r} has no value.", "write it as -E NAME=VALUE.")
        earlier = found.get(name)
        found[name] = value if earlier is None else (*(earlier if isinstance(earlier, tuple) else (earlier,)), value)
    return found
