"""Reading ahead: while one part is worked on, the next is read.

PostgreSQL and Python then work at once, each on a processor of its own.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Found = TypeVar("Found")


def read_ahead(read: Callable[[Part], Found], parts: Iterable[Part]) -> Generator[tuple[Part, Found], None, None]:
    """Each part, and what was read of it, in order; raises what `read` raises, in the place of that part.

    One part ahead and no more, on a thread of its own: however slowly parts are taken, three are held at most (one at
    its taker's, one ready, one being read), and a connection for no longer than the reading of one lasts.
    """
    with ThreadPoolExecutor(1, "reading-ahead") as thread:
        coming: tuple[Part, Future[Found]] | None = None
        for part in parts:
            taken, coming = coming, (part, thread.submit(read, part))
            if taken is not None:
                yield taken[0], taken[1].result()
        if coming is not None:
            yield coming[0], coming[1].result()
