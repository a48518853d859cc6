"""Whether this machine lets programs have what their limits promise: looked at before the first one runs."""

import functools
import sys

from evalkit.errors import EvalkitError
from evalkit.sandbox.records import Limits

_OPEN_FILES = 256
_CPU_SECONDS = 3600


class SandboxUnavailableError(EvalkitError):
    """This machine does not give the isolation or the resources that strangers' programs need."""


@functools.lru_cache(maxsize=256)
def require_resources(limits: Limits) -> None:
    """Raises SandboxUnavailableError where a limit on this process would be met before one of the program's own."""
    if sys.platform == "win32":
        return
    import resource

    mb = 1 << 20
    files = max(limits.output_mb, limits.folder_mb)
    needed = (
        ("RLIMIT_NOFILE", "open files", "-n", max(_OPEN_FILES, limits.open_files + 16), 1, ""),
        ("RLIMIT_CPU", "CPU time", "-t", max(_CPU_SECONDS, 2 * limits.cpu_seconds), 1, " s"),
        ("RLIMIT_FSIZE", "the size of files", "-f", files * mb, mb, " MB"),
        ("RLIMIT_AS", "address space", "-v", (limits.memory_mb + 64) * mb, mb, " MB"),
        ("RLIMIT_DATA", "data segments", "-d", limits.memory_mb * mb, mb, " MB"),
        ("RLIMIT_STACK", "stacks", "-s", limits.stack_mb * mb, mb, " MB"),
    )
    for name, what, option, least, unit, sign in needed:
        _, hard = resource.getrlimit(getattr(resource, name))
        if hard != resource.RLIM_INFINITY and hard < least:
            raise SandboxUnavailableError(
                f"This machine limits {what} to {hard // unit}{sign} (ulimit {option}); "
                f"programs need {int(least) // unit}{sign}.",
                f"raise the limit with `ulimit {option}`, or lower the programs' own.",
            )
