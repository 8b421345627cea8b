"""Reading ahead: every part in its order, one part ahead and no more."""

import operator
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from projections.reading_ahead import read_ahead
from tests.waiting import until


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_part_comes_once_and_in_order(count: int) -> None:
    assert list(read_ahead(part * part for part in range(count))) == [part * part for part in range(count)]


def test_the_next_part_is_read_while_one_is_worked_on_and_none_after_it() -> None:
    begun = list[int]()

    def parts() -> Iterator[int]:
        for part in range(9):
            begun.append(part)
            yield part

    for part in read_ahead(parts()):
        known = list(range(min(9, part + 2)))
        until(partial(operator.eq, begun, known))
        time.sleep(0.01)
        assert begun == known


def test_what_cannot_be_read_is_told_in_its_place() -> None:
    def parts() -> Iterator[int]:
        yield from (0, 1)
        raise LookupError(2)

    found = read_ahead(parts())
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(LookupError):
        next(found)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    found = read_ahead(range(5))
    next(found)
    assert any(thread.name.startswith("reading-ahead") for thread in threading.enumerate())
    found.close()  # as whoever sends a response does when its reader is gone
    assert not any(thread.name.startswith("reading-ahead") for thread in threading.enumerate())
