"""Events as bytes and back: JSON read by typed decoders, personal fields sealed.

The stored bytes are what proofs cover, so encoding is deterministic (fields in their order, no spaces) and pinned by
golden files. A sealed text reads `sealed:v1:<base64url of nonce and ciphertext>`; its associated data binds it to the
tenant, the aggregate, the aggregate's version and the field, so that it cannot be moved elsewhere.
"""

import base64
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from ledger.events import EVENTS, Event, Recorded
from ledger.store.keys import DataKey
from ledger.store.upcasts import UPCASTS, upcast

SEALED = "sealed:v1:"

_encode = msgspec.json.Encoder(enc_hook=str).encode  # the hook: values of ledger/values.py are texts


def topic_of(event_type: type[Event]) -> str:
    """The topic under which the newest version of an event is stored."""
    return event_type.TOPIC if event_type.VERSION == 1 else f"{event_type.TOPIC}@{event_type.VERSION}"


_TYPES: dict[str, type[Event]] = {topic_of(event_type): event_type for event_type in EVENTS}
_DECODERS = {topic: msgspec.json.Decoder(event_type).decode for topic, event_type in _TYPES.items()}
_TOPICS = {event_type: topic for topic, event_type in _TYPES.items()}
# The fields of the events with personal ones, and what reads them all at once: `dataclasses.replace` takes ten times
# as long, and every command pays for it.
_NAMES = {event_type: tuple(f.name for f in fields(event_type)) for event_type in EVENTS if event_type.PERSONAL}
_VALUES: dict[type[Event], Callable[[Event], tuple[Any, ...]]] = {
    event_type: attrgetter(*names) for event_type, names in _NAMES.items()
}


class UnknownTopic(Exception):
    """The log holds an event that this version of the software does not know: it is older than the log."""


def encode(recorded: Recorded, data_key: DataKey | None) -> tuple[str, bytes]:
    """The topic and the bytes to store. An event with personal values needs its aggregate's data key."""
    event = recorded.event
    sealed = _map_personal(recorded, lambda text, place: _seal(data_key, text, place)) if event.PERSONAL else None
    return _TOPICS[type(event)], _encode(_changed(event, sealed) if sealed else event)


def decode(topic: str, state: bytes) -> Event:
    """The event that was stored, in its newest shape, personal fields still sealed."""
    decoder = _DECODERS.get(topic)
    if decoder is not None:
        return decoder(state)
    if topic not in UPCASTS:
        raise UnknownTopic(f"the log holds an event {topic!r} that this version does not know")
    newest, fields = upcast(topic, msgspec.json.decode(state))
    return msgspec.convert(fields, _TYPES[newest])


def unseal(recorded: Recorded, data_key: DataKey | None) -> Recorded:
    """The same with its personal fields in clear; empty where the data key was destroyed."""
    if not recorded.event.PERSONAL:
        return recorded
    changes = _map_personal(recorded, lambda text, place: _unseal(data_key, text, place))
    if not changes:
        return recorded
    return recorded._replace(event=type(recorded.event)(**_changed(recorded.event, changes)))


def unseal_in_place(recorded: Recorded, data_key: DataKey | None) -> None:
    """What `unseal` does, to an event that was decoded a moment ago and that nobody else holds.

    Making a frozen event of twenty fields anew costs more than decoding and decrypting it.
    """
    for name, value in _map_personal(recorded, lambda text, place: _unseal(data_key, text, place)).items():
        object.__setattr__(recorded.event, name, value)


def _changed(event: Event, changes: dict[str, Any]) -> dict[str, Any]:
    """The event's fields in their order, some of them changed; encoded, they read as the event would."""
    return dict(zip(_NAMES[type(event)], _VALUES[type(event)](event), strict=True)) | changes


def _map_personal(recorded: Recorded, change: Any) -> dict[str, Any]:
    """The event's personal values, each text changed; those that are empty are left out, as they tell nothing."""
    changes: dict[str, Any] = {}
    event = recorded.event
    for name in event.PERSONAL:
        value = getattr(event, name)
        if not value:
            continue
        if isinstance(value, str):
            changes[name] = change(value, _place(recorded, name))
        else:
            texts = (change(text, _place(recorded, f"{name}.{index}")) for index, text in enumerate(value))
            changes[name] = tuple(text for text in texts if text)
    return changes


def _place(recorded: Recorded, field: str) -> bytes:
    tenant = recorded.organisation_id or UUID(int=0)
    return b"%b%b%d.%b" % (
        tenant.bytes,
        recorded.aggregate_id.bytes,
        recorded.aggregate_version,
        field.encode(),
    )


def _seal(data_key: DataKey | None, text: str, place: bytes) -> str:
    if data_key is None:
        raise ValueError("an event with personal values needs a data key")
    return SEALED + base64.urlsafe_b64encode(data_key.seal(text, place)).decode()


def _unseal(data_key: DataKey | None, text: str, place: bytes) -> str:
    if data_key is None:
        return ""
    if not text.startswith(SEALED):
        raise ValueError("a personal value was stored in clear")
    return data_key.unseal(base64.urlsafe_b64decode(text[len(SEALED) :]), place)
