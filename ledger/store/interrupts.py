"""Ctrl-C goes to every process of the terminal; which of them it ends is for the first one to say."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes that are started meanwhile never get SIGINT; this one gets it afterwards."""
    # multiprocessing starts its tracker with the first process, and then lets SIGINT through, whatever held it before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
