"""Writing every few seconds what a process noted in memory, on a thread of its own."""

import logging
import threading
from collections.abc import Callable

from ledger.errors import StoreUnavailable


class Flusher:
    """Calls `flush` every so many seconds, and once more at the end. A crash loses at most one interval; where `flush`
    raises, it has kept what it did not write. Build it after a fork.
    """

    def __init__(self, flush: Callable[[], int], seconds: float, what: str, logger: logging.Logger) -> None:
        self._flush = flush
        self._seconds = seconds
        self._what = what
        self._logger = logger
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self._what, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._try()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._try()

    def _try(self) -> None:
        try:
            self._flush()
        except StoreUnavailable:
            self._logger.warning("%s was not written: it is kept for the next time", self._what)
        except Exception:
            self._logger.exception("%s was not written: it is kept for the next time", self._what)
