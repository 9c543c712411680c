"""How native libraries behave in this process: their threads and their memory. Import this before numpy.

Threads: one for OpenBLAS, since every request already has a thread of its own; the small matrix products of ranking lose to
a pool of spinning ones (22 ms of CPU a question instead of 7 on two cores). Torch's pool is sized by `QA_MODEL_THREADS`.

Memory: glibc gives freed blocks back to the system at once, so every forward pass pays for fresh pages again. Keeping them
takes a few tens of MiB and gave 68 to 82 answers a second instead of 60 to 66 to 32 callers.
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT_BYTES = 512 * 2**20
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
