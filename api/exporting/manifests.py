"""Manifests: what a file holds, its digest, who asked for it and why."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, TypeVar

from projections.exported_files import Written

Thing = TypeVar("Thing")

FORMAT = "keyledger.manifest/1"


class Tally:
    """Counts what goes into a file and digests what comes out, while both pass by."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._bytes = 0
        self._digest = sha256()

    def counted(self, things: Iterable[Thing], kind: Callable[[Thing], str]) -> Iterator[Thing]:
        """The same things, each counted as one of its kind."""
        for thing in things:
            self._counts[kind(thing)] += 1
            yield thing

    def digested(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces."""
        for piece in pieces:
            self._bytes += len(piece)
            self._digest.update(piece)
            yield piece

    def written(self) -> Written:
        """What has passed by."""
        counts = dict(sorted(self._counts.items()))
        return Written(self._counts.total(), counts, self._bytes, self._digest.hexdigest())


def manifest(asked: Mapping[str, Any], form: str, written: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a file: `asked` is the export or the review as it reads, `written` a row of `find_written`."""
    return {
        "manifest": FORMAT,
        "asked": asked,
        "format": form,
        **{name: written[name] for name in ("made_at", "rows", "counts", "bytes", "sha256")},
    }
