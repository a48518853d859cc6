"""Finds tasks by name, among installed entry points and in task files."""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import logging
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from evalkit.benchmark.declared import is_task_name
from evalkit.benchmark.task import Task, normalised
from evalkit.errors import EvalkitError, first_line
from evalkit.files import read_file
from evalkit.words import listed

GROUP = "evalkit.tasks"

logger = logging.getLogger(__name__)


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, str]) -> str:
    """` Did you mean X?`, or an empty string if no known name is similar. A mapping maps spellings to names."""
    meanings = known if isinstance(known, Mapping) else {k: k for k in known}
    by_form = {normalised(spelling): meaning for spelling, meaning in meanings.items()}
    near = difflib.get_close_matches(normalised(name), by_form, n=1, cutoff=0.5)
    return f" Did you mean {by_form[near[0]]}?" if near else ""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSpec:
    """What another process needs to create a task: its name, where it is defined, and its options.

    `file` is a task file (`my_task.py`) or an importable class (`my_package.tasks:MyTask`). It is None for an installed
    task.
    """

    name: str
    file: str | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def create(self) -> Task:
        """A new task with these options. Raises EvalkitError for an unknown name or option and for an invalid value."""
        return self.create_from(self.task_class())

    def task_class(self) -> type[Task]:
        """The class of the task. Raises EvalkitError if there is none."""
        if self.file and self.file.endswith(".py"):
            return find_task_class(self.name, load_task_file(Path(self.file)))
        return load_class(self.file) if self.file else resolve_task(self.name)

    def create_from(self, task_class: type[Task]) -> Task:
        """A new task of this class with these options. Raises EvalkitError for an unknown option or invalid value."""
        return _with_options(task_class, self.options)


@functools.cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """The plug-ins of an entry-point group by name, without importing them.

    Where several packages register a name, `load_plugin` refuses it.
    """
    return {name: several[0] for name, several in sorted(_claims(group, exact=True).items())}


@functools.cache
def _claims(group: str, exact: bool) -> dict[str, list[EntryPoint]]:
    """The entry points by name, or by the name without case and hyphens, those of evalkit first."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=group), key=lambda e: (not is_ours(e), e.name, e.value)):
        of_name = found.setdefault(entry.name if exact else normalised(entry.name), [])
        if all(entry.value != other.value for other in of_name):
            of_name.append(entry)
    return found


def is_ours(entry: EntryPoint) -> bool:
    """Whether an entry point is evalkit's own."""
    return entry.value.partition(".")[0] in ("evalkit", "evalkit_tasks")


def package_of(entry: EntryPoint) -> str:
    """The package that registers an entry point."""
    return entry.dist.name if entry.dist else entry.value


def _require_only(entry: EntryPoint, what: str, name: str | None = None) -> None:
    """Raises EvalkitError if several packages register the name of this entry point, or another one `name`."""
    by_form = entry.group == GROUP
    name = entry.name if name is None else name
    claims = _claims(entry.group, exact=not by_form).get(normalised(name) if by_form else name, [])
    packages = dict.fromkeys(map(package_of, [*claims, entry]))
    if any(claim.value != entry.value for claim in claims):
        raise EvalkitError(
            f"{'Two packages register' if len(packages) > 1 else 'There are two of'} the {what} {claims[0].name}: "
            f"{listed(packages)}.",
            f"uninstall one of them, or give the {what} another name.",
        )


def not_installed() -> EvalkitError:
    """The error of a checkout whose package is not installed, so that it has no task and no protocol."""
    return EvalkitError(
        "evalkit is not installed in this Python, so that it has no tasks and no protocols.",
        "pip install -e . in its checkout installs it.",
    )


def load_plugin(entry: EntryPoint, what: str) -> Any:
    """Import a plug-in. Raises EvalkitError, naming its package, if it cannot be imported or is not the only one.

    No package replaces what evalkit or another one has: which of the two ran, a figure would not tell.
    """
    _require_only(entry, what)
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # a stranger's module raises what it likes on import
        package = package_of(entry)
        raise EvalkitError(
            f"The {what} {entry.name} of {package} cannot be imported: {type(error).__name__}: {error}.",
            f"repair or uninstall {package}.",
        ) from error


def load_typed(entry: EntryPoint, what: str, kind: type) -> Any:
    """Import a plug-in that is an object of a type, or a class below `kind` where that is abstract: a task.

    Raises EvalkitError as `load_plugin` does, and if it is anything else or has the name of another plug-in.
    """
    loaded = load_plugin(entry, what)
    is_one = isinstance(loaded, type) and issubclass(loaded, kind) if kind is Task else isinstance(loaded, kind)
    if not is_one:
        raise EvalkitError(
            f"{entry.value} of {package_of(entry)} is not a {kind.__name__}.",
            f"uninstall or repair {package_of(entry)}.",
        )
    if kind is Task:
        require_name(loaded)
    _require_only(entry, what, str(loaded.name))
    return loaded


def load_plugins(group: str, load: Callable[[EntryPoint], Any]) -> dict[str, Any]:
    """Every plug-in of a group by name, as `load` gives it. One that it refuses is skipped with a warning."""
    loaded = {}
    for name, entry in plugins(group).items():
        try:
            loaded[name] = load(entry)
        except EvalkitError as error:
            _tell_skipped(error.message)
    return loaded


@functools.cache
def _tell_skipped(why: str) -> None:
    """Tell once that a plug-in is skipped: a command looks through a group several times."""
    logger.warning("%s It is skipped.", why)


def _load_task(entry: EntryPoint) -> type[Task]:
    return cast(type[Task], load_typed(entry, "task", Task))


def installed_tasks() -> dict[str, type[Task]]:
    """Every installed task class by name. One that cannot be imported is skipped with a warning."""
    return load_plugins(GROUP, _load_task)


def installed_task(name: str) -> type[Task] | None:
    """The installed task class with exactly this name, or None. Other tasks are not imported.

    Raises EvalkitError if it cannot be imported.
    """
    entry = plugins(GROUP).get(name)
    return None if entry is None else _load_task(entry)


def installed_as(name: str) -> str | None:
    """The name of the installed task that `name` means, None where there is none. No task is imported."""
    return next((entry for entry in plugins(GROUP) if normalised(entry) == normalised(name)), None)


def resolve_task(name: str, task_file: Path | None = None) -> type[Task]:
    """The task class with this name or alias, from the task file if one is given, or else an installed one.

    Only the named task is imported, unless the name is an alias. Raises EvalkitError, suggesting the most similar name,
    if there is no such task.
    """
    own = load_task_file(task_file) if task_file is not None else {}
    if found := next((c for n, c in own.items() if normalised(n) == normalised(name)), None):
        if other := installed_as(name):
            tell_hidden_task(other, str(task_file))
        return found
    exact = installed_as(name)
    if exact is not None and (installed := installed_task(exact)) is not None:
        return installed
    if not own and not plugins(GROUP):
        raise not_installed()
    return find_task_class(name, {**installed_tasks(), **own})


@functools.cache
def tell_hidden_task(name: str, task_file: str) -> None:
    """Tell once that a task of a file has the name of an installed one."""
    whose = package_of(plugins(GROUP)[name])
    logger.warning("The task %s is that of %s, not the one of %s that has the same name.", name, task_file, whose)


def load_class(path: str) -> type[Task]:
    """The task class at `package.module:Class`. Raises EvalkitError if there is none."""
    module, _, name = path.partition(":")
    try:
        found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:  # a stranger's module raises what it likes on import
        raise EvalkitError(
            f"The task {path} cannot be imported: {type(error).__name__}: {error}.",
            "make its module importable, or move the task to a file for --task-file.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise EvalkitError(f"{path} is not a Task class.", "pass a subclass of evalkit.Task.")
    return found


def trusted_list() -> Path:
    """The file that lists the sha256 of each task file that this user has run or trusted."""
    from platformdirs import user_state_path

    return user_state_path("evalkit", appauthor=False) / "trusted_task_files"


def trust_task_file(file: str) -> None:
    """Record that this user runs this task file, so that commands that read a run may run it too.

    A file is identified by the sha256 of its content, a class by its name.
    """
    digest = _digest(file)
    if digest not in _trusted():
        with suppress(OSError):  # a home that cannot be written: reading commands then ask again
            trusted_list().parent.mkdir(parents=True, exist_ok=True)
            with trusted_list().open("a", encoding="utf-8") as stream:
                stream.write(f"{digest}\n")


def _digest(file: str) -> str:
    content = read_file(Path(file)) if file.endswith(".py") else file.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def _trusted() -> set[str]:
    try:
        return set(trusted_list().read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return set()


def code_digest(task: Task, spec: TaskSpec) -> str | None:
    """The sha256 of the file that defines a task of the user's, None for an installed task or an unknown file."""
    module = type(task).__module__
    if spec.file is None or module.partition(".")[0] in ("evalkit", "evalkit_tasks"):
        return None
    path = spec.file if spec.file.endswith(".py") else getattr(sys.modules.get(module), "__file__", None)
    try:
        return hashlib.sha256(Path(str(path)).read_bytes()).hexdigest()
    except OSError:
        return None


def require_trusted(file: str, run: str, recorded: str | None = None) -> None:
    """Raises EvalkitError unless this user has run or trusted a task file with the same content.

    `recorded` is the sha256 of the content that the run was made with.
    """
    try:
        known = _digest(file) in _trusted()
    except OSError as error:
        folder = run.rpartition(" ")[0] or run
        raise EvalkitError(
            f"The task file {file} of {run} cannot be read: {error.strerror}.",
            f"restore it, or say where it is now: `evalkit score {folder} --task-file FILE.py`.",
        ) from None
    if known:
        return
    if recorded is not None and recorded in _trusted():
        raise EvalkitError(
            f"The task file {file} of {run} has changed since you ran it, so it is not run now.",
            "pass --trust-task-file if you trust the change.",
        )
    raise EvalkitError(
        f"{run} was made with the task file {file}, which you have never run, so it is not run now.",
        "pass --trust-task-file if you trust this file.",
    )


def require_name(task_class: type[Task]) -> None:
    """Raises EvalkitError if a task class cannot be looked for: its name or its aliases are none."""
    name: object = getattr(task_class, "name", None)
    if not is_task_name(name):
        raise EvalkitError(
            f"The task class {task_class.__qualname__} has the name {name!r}.",
            'give it a name of letters, digits and underscores, such as name = "my_task".',
        )
    aliases: object = getattr(task_class, "aliases", ())
    if not isinstance(aliases, tuple | list) or not all(isinstance(alias, str) for alias in aliases):
        raise EvalkitError(
            f"The task {name} cannot be used: its aliases are {aliases!r}, not a tuple of texts.",
            'write aliases = ("other_name",), with the comma.',
        )


def load_task_file(path: Path) -> dict[str, type[Task]]:
    """The task classes that a Python file defines. Raises EvalkitError if it has none or cannot be run."""
    if not path.is_file():
        raise EvalkitError(f"There is no task file {path}.", "`evalkit tasks new NAME` creates one.")
    module_name = f"evalkit_task_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise EvalkitError(f"{path} is not a Python file.", "the name of a task file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file raises what it likes
        raise EvalkitError(
            f"The task file {path} cannot be imported: {type(error).__name__}: {error}.", "repair the file."
        ) from error
    classes = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module_name]
    named = [c for c in classes if issubclass(c, Task) and hasattr(c, "name")]
    found: dict[str, type[Task]] = {}
    for each in sorted(dict.fromkeys(named), key=inspect.isabstract):  # of one name, a base class comes last
        require_name(each)
        same = next((c for c in found.values() if normalised(c.name) == normalised(each.name)), None)
        if same is not None and inspect.isabstract(each):
            continue
        if same is not None:
            raise EvalkitError(
                f"The task file {path} has two tasks named {each.name}: {same.__qualname__} and {each.__qualname__}.",
                "give one of them another name.",
            )
        found[each.name] = each
    if not found:
        raise EvalkitError(f"The task file {path} defines no Task with a name.", "see docs/adding-a-task.md.")
    return found


def find_task_class(name: str, classes: Mapping[str, type[Task]]) -> type[Task]:
    """A task class by name or alias. Case, hyphens and underscores are ignored.

    Raises EvalkitError, suggesting the most similar name, if there is none.
    """
    spellings = {normalised(s): c for c in classes.values() for s in (*c.aliases, c.name)}
    if found := spellings.get(normalised(name)):
        return found
    known = {s: c.name for c in classes.values() for s in (*c.aliases, c.name)}
    raise EvalkitError(
        f"There is no task {name!r}.{did_you_mean(name, known)}",
        f"available: {', '.join(classes)}; --task-file adds the tasks of a file, and pip install those of a package.",
    )


def option_fields(task_class: type[Task]) -> dict[str, Any]:
    """The options of a task and their types."""
    if not dataclasses.is_dataclass(task_class):
        return {}
    try:
        hints = typing.get_type_hints(task_class)
    except Exception as error:  # a stranger's annotations name what they like
        raise EvalkitError(
            f"The options of the task {task_class.name} cannot be read: {first_line(error)}.",
            "give each field of the dataclass a type that Python can evaluate, such as str, int or bool.",
        ) from error
    return {f.name: hints[f.name] for f in dataclasses.fields(task_class) if f.name != "prompt" and f.init}


def _with_options(task_class: type[Task], options: Mapping[str, str]) -> Task:
    from pydantic import TypeAdapter, ValidationError

    fields = option_fields(task_class)
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in fields:
            offered = f"its options are {', '.join(fields)}." if fields else "it has no options."
            raise EvalkitError(
                f"The task {task_class.name} has no option {name!r}.{did_you_mean(name, list(fields))}", offered
            )
        kind = fields[name]
        optional = isinstance(kind, types.UnionType) and type(None) in typing.get_args(kind)
        value: Any = None if optional and text.lower() in ("", "none") else text
        try:
            values[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise EvalkitError(
                f"The option {name}={text!r} of {task_class.name} is invalid: {error.errors()[0]['msg']}.",
                f"see `evalkit tasks show {task_class.name}`.",
            ) from error
    return _made(task_class, values)


def _made(task_class: type[Task], values: Mapping[str, Any]) -> Task:
    if missing := sorted(getattr(task_class, "__abstractmethods__", ())):
        raise EvalkitError(
            f"The task {task_class.name} cannot be used: it has no {' and no '.join(f'{name}()' for name in missing)}.",
            f"define it in the class {task_class.__qualname__}; docs/adding-a-task.md has examples.",
        )
    try:
        return task_class(**values)
    except EvalkitError:
        raise
    except Exception as error:  # a stranger's class raises what it likes
        raise EvalkitError(
            f"The task {task_class.name} cannot be made: {first_line(error)}.",
            "a task is made without arguments but its options: the fields of a dataclass, each with a default.",
        ) from error
