"""Waiting in a test for what another thread or process brings about: bounded, and as short as it can be."""

import time
from collections.abc import Callable
from typing import TypeVar

from api.wiring import Services
from projections.runner import wait_for

SECONDS_MAX = 30.0  # what is waited for takes one second or less; the rest is for a busy machine

_Found = TypeVar("_Found")


def until(what: Callable[[], _Found | None], seconds_max: float = SECONDS_MAX) -> _Found:
    """What it gives once it gives something that is not false.

    Raises:
        AssertionError: It did not come to that in time.
    """
    deadline = time.monotonic() + seconds_max
    while not (found := what()):
        assert time.monotonic() < deadline, f"it did not come to that in {seconds_max} seconds"
        time.sleep(0.002)
    return found


def until_caught_up(services: Services, view: str | None = None) -> None:
    """Return when a view, or all that are asynchronous, have come to the head that the log has now.

    Raises:
        AssertionError: They did not come to it in time.
    """
    head = services.log.head()
    assert wait_for(services.store, view, head, SECONDS_MAX), f"{view or 'not every view'} did not come to {head}"
