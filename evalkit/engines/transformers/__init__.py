"""The transformers engine."""

import os

# On the CPU, torch's threads wait for each other in a loop. By default they do so for milliseconds, which beside other
# busy processes takes nearly all of the time. It is read when torch is loaded, which this package does later.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
