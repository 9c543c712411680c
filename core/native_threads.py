"""How many threads native libraries start by themselves: one, since every request already has a thread of its own.

Import this before numpy. The small matrix products of ranking lose to a pool of spinning OpenBLAS threads: 22 ms of CPU a
question instead of 7 on two cores. Torch's pool is sized by `QA_MODEL_THREADS` in workers/device.py.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
