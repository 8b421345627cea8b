"""No framework at all: what the server costs by itself."""

from collections.abc import Callable, Iterable
from typing import Any

_ANSWER = b'{"hello":"world"}'
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))]


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The answer of Flask's hello."""
    start_response("200 OK", _HEADERS)
    return [_ANSWER]
