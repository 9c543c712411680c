"""How many questions are worked on at a time: few, since that is mostly Python and the interpreter admits one thread anyway.

A batch of the encoder wakes all its askers at once. Where they all go on together, each index, query and array call hands
the interpreter to another of them: 200 thread switches a question and 100 answers a second to 32 callers; with one at a
time 60 switches and 120 to 150 answers.
"""

from __future__ import annotations

from functools import cache

from core.config import get_settings
from core.cores import usable_cores
from core.gate import Gate


@cache
def gate() -> Gate:
    """The process's gate: held while a question is matched, and where its answer is wanted in one piece from its first step to its last.

    Whoever waits, for the encoder or for a text that is being written, does so outside.
    """
    return Gate(get_settings().match_threads or max(1, usable_cores() - 1))
