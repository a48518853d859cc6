"""Starting vLLM: the process's environment, what it writes while it starts, and why it did not."""

import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    # A forked process cannot use a CUDA that this one has touched, and a mere look at the devices touches it.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # the order of nvidia-smi, by which the devices are given out
}
_KEPT_LINES = 400
_ERROR = re.compile(r"(?:^|[\s:])((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (.+)$")
_HEADING = re.compile(r"\d+ validation errors? for ")
_VAGUE = ("Engine core initialization failed", "WorkerProc initialization failed", "Engine process failed to start")


def set_environment() -> None:
    """Before vLLM is imported: what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class KeptLines:
    """The last lines that were written."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)


@contextlib.contextmanager
def keeping_stderr() -> Iterator[KeptLines]:
    """What this process and those that it starts inside write to stderr goes on to stderr, and its end is kept.

    vLLM's own exception says no more than that one of its processes failed.
    """
    kept = KeptLines()
    sys.stderr.flush()
    before = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)

    def forward() -> None:
        with os.fdopen(read, "rb", buffering=0) as stream:
            part = b""
            while data := stream.read(1 << 16):
                _write_all(before, data)
                *whole, part = (part + data).split(b"\n")
                kept.lines.extend(line.decode(errors="replace") for line in whole)
        os.close(before)

    threading.Thread(target=forward, name="stderr", daemon=True).start()
    try:
        yield kept
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)  # processes started inside keep the pipe: the thread goes on with what they write


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError:  # stderr is gone: nobody reads it
            return


def reason_of_failure(error: BaseException, lines: KeptLines) -> str:
    """One sentence: the exception's own words, or the first error in what vLLM's processes wrote; never empty."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(said) > 1 and _HEADING.match(said[0]):  # pydantic's: what is wrong stands below
        said = [line.partition(" [type=")[0].removeprefix("Value error, ") for line in said[1:]]
    own = said[0] if said else ""
    if own and not own.startswith(_VAGUE):
        return own
    for line in lines.lines:
        found = _ERROR.search(line)
        if found and not found.group(2).startswith(_VAGUE):
            return f"{found.group(1).rpartition('.')[2]}: {found.group(2).strip()}"
    return own or type(error).__name__


def advice_for(reason: str, options: Mapping[str, object]) -> str:
    """What to try after a failed start."""
    low = reason.lower()
    if "out of memory" in low or "kv cache" in low or "free memory on device" in low or "gpu memory" in low:
        parallel = options.get("tensor_parallel") or 1
        return (
            f"lower --max-model-len, spread it over more GPUs (--tensor-parallel, now {parallel}), "
            "or free the GPU that another process uses (`nvidia-smi`)."
        )
    if "device string must not be empty" in low:  # its words where it knows no device of this machine
        return "this build of vLLM found no device that it knows: it needs a GPU; --engine transformers needs none."
    if "driver" in low or "cuda" in low:
        return "bring the GPU's driver up to the CUDA that torch was built for, or use --engine transformers."
    return "see what vLLM wrote above; --engine transformers runs without it."
