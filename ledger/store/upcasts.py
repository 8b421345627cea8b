"""Old shapes of events, brought to the newest when they are read, so that nothing else knows the older ones.

A topic of the log is `credential.created` for version 1 of an event and `credential.created@2` for version 2. When an
event gets a new VERSION, put the function here that turns the older shape's fields into the newer's:

    UPCASTS = {"credential.created": ("credential.created@2", add_the_new_field)}
"""

from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]

UPCASTS: dict[str, tuple[str, Callable[[Fields], Fields]]] = {}


def upcast(topic: str, fields: Fields) -> tuple[str, Fields]:
    """The newest topic and fields of what was stored; each step goes up one version, so it ends."""
    while topic in UPCASTS:
        topic, step = UPCASTS[topic]
        fields = step(fields)
    return topic, fields
