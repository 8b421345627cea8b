"""Reading ahead: while one part is worked on, the next is read.

PostgreSQL and Python then work at once, each on a processor of its own.
"""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")


def read_ahead(parts: Iterable[Part]) -> Generator[Part, None, None]:
    """The same parts in order; raises what reading one raises, in its place.

    `parts` reads each when it is asked for it: on a thread of its own, one part ahead and no more. However slowly they
    are taken, three are held at most (one at its taker's, one ready, one being read), and a connection for no longer
    than the reading of one lasts.
    """
    left, end = iter(parts), object()
    with ThreadPoolExecutor(1, "reading-ahead") as thread:
        coming = thread.submit(next, left, end)
        while (part := coming.result()) is not end:
            coming = thread.submit(next, left, end)
            yield part  # type: ignore[misc]  # which is not the end, as mypy cannot tell
