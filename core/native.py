"""How threads and native libraries share this process: threads, memory, kernels, turns at the interpreter. Import this before numpy.

Threads: one for OpenBLAS, since every request already has a thread of its own; the small matrix products of ranking lose to
a pool of spinning ones (22 ms of CPU a question instead of 7 on two cores). Torch's pool is sized by `QA_MODEL_THREADS`.

Memory: glibc gives freed blocks back to the system at once, so every forward pass pays for fresh pages again. Keeping them
takes a few tens of MiB and gave 68 to 82 answers a second instead of 60 to 66 to 32 callers. What is kept is kept for each arena,
of which glibc makes eight a core: a worker's 19 held 340 MiB and still grew by 4 MiB a minute after ten minutes of saturation.
They get two, or one for each four cores; in a server with the encoder in it the difference was within the noise.

Kernels: oneDNN and the layer of torch above it keep a kernel for every shape of a layer that they met, .6 MiB apiece and 1024 of
them: after 400 shapes of batches the encoder held 480 MiB. A linear layer takes two places, its own and that of the product within
it, so 512 hold the 48 numbers of rows that the encoder's four layers meet (workers.bert_pass.round_up); 256 did not, and what was
dropped was compiled again, for ten milliseconds a pass, and left holes in the heap (ADR 0025). Both must be bounded, since what
one of them drops the other keeps alive.

Turns: a thread that comes back from a model asks for the interpreter and gets it after the switch interval at the latest;
Python's 5 ms are as long as the model itself took. A tenth of that made a question beside one busy thread 5 times as fast
(bench/encoder.py).
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_KEPT_BYTES = 512 * 2**20
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more
_ARENAS = max(2, (os.cpu_count() or 1) // 4)

_SWITCH_INTERVAL_S = 0.0005
_KERNELS = "512"

sys.setswitchinterval(_SWITCH_INTERVAL_S)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)
os.environ.setdefault("LRU_CACHE_CAPACITY", _KERNELS)
if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)


def share_arenas() -> None:
    """Bounds glibc's arenas: for inference workers."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_back_memory() -> None:
    """Returns what is free to the system after all, once something large is done: filling and building an index leaves 100 MiB and more."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
