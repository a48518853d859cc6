"""What native code prints while it reads a stranger's files."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_MOST = 1 << 20


@contextmanager
def prints_are_logged() -> Iterator[None]:
    """What native code prints of the files that it reads goes to the log, where it is made visible."""
    with tempfile.TemporaryFile() as spool:
        sys.stdout.flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(spool.fileno(), number)
        try:
            yield
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            spool.seek(0)
            for line in spool.read(_MOST).decode("utf-8", "replace").splitlines():
                logger.warning("%s", line)
