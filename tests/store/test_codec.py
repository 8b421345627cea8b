"""Events as bytes: the same for ever, sealed to their place, readable in every shape they ever had."""

import base64
import json
import os
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import (
    EVENTS,
    CredentialCreated,
    CredentialDescribed,
    CredentialWhitelisted,
    Event,
    OrganisationRegistered,
    OrganisationRenamed,
    Recorded,
)
from ledger.store.codec import SEALED, UnknownTopic, decode, encode, topic_of, unseal
from ledger.store.keys import DataKey
from ledger.store.upcasts import UPCASTS, Fields
from ledger.values import Name
from tests.golden import (
    AGGREGATE,
    CONTEXT,
    DATA_KEY,
    DIRECTORY,
    ORGANISATION,
    SAMPLES,
    extends,
    files_of,
    placed,
    topic_in,
)

SAMPLE_OF = {type(sample): sample for sample in SAMPLES}
PERSONAL_SAMPLES = [sample for sample in SAMPLES if sample.PERSONAL]
GOLDEN = sorted(DIRECTORY.glob("*.json"))


# --- golden bytes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nonce_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing gives the same bytes every time."""
    monkeypatch.setattr(os, "urandom", bytes)


@pytest.mark.parametrize("event_type", EVENTS)
@pytest.mark.usefixtures("nonce_of_zeros")
def test_an_event_is_written_as_its_newest_golden_bytes(event_type: type[Event]) -> None:
    pinned = files_of(topic_of(event_type))
    assert pinned, "a new event or version: `python -m tests.golden` writes its file"
    topic, state = encode(placed(SAMPLE_OF[event_type]), DATA_KEY)
    assert topic == topic_of(event_type)
    assert state + b"\n" == pinned[-1].read_bytes()


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_newest_golden_bytes_read_as_the_event(event_type: type[Event]) -> None:
    event = decode(topic_of(event_type), files_of(topic_of(event_type))[-1].read_bytes())
    assert unseal(placed(event), DATA_KEY).event == SAMPLE_OF[event_type]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.usefixtures("nonce_of_zeros")
def test_every_event_ever_written_is_still_read_with_nothing_lost(golden: Path) -> None:
    stored_once = golden.read_bytes()
    event = decode(topic_in(golden), stored_once)
    assert topic_in(golden).partition("@")[0] == event.TOPIC
    if topic_in(golden) == topic_of(type(event)):  # an upcast may rename: then its own test says what becomes of what
        written_again = encode(unseal(placed(event), DATA_KEY), DATA_KEY)[1]
        assert extends(json.loads(written_again), json.loads(stored_once))


@pytest.mark.parametrize("event_type", EVENTS)
def test_within_a_version_golden_bytes_only_grow_at_the_end(event_type: type[Event]) -> None:
    shapes = [json.loads(file.read_bytes()) for file in files_of(topic_of(event_type))]
    assert all(extends(newer, older) for older, newer in pairwise(shapes))


def test_what_may_differ_between_two_shapes_of_a_version_is_a_field_at_the_end() -> None:
    older = {"context": {"at": 1}, "name": "x"}
    assert extends({"context": {"at": 1, "zone": ""}, "name": "x", "more": 2}, older)
    for newer in ({"name": "x", "context": {"at": 1}}, {"context": {"at": 1}, "name": "y"}, {"context": {"at": 1}}):
        assert not extends(newer, older)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.TOPIC)
def test_a_sample_holds_something_in_every_field(sample: Event) -> None:
    for field in fields(sample):
        assert getattr(sample, field.name) not in (None, "", (), {}), field.name


def test_golden_files_hold_no_personal_value_in_clear() -> None:
    everything = b"".join(path.read_bytes() for path in GOLDEN)
    for sample in PERSONAL_SAMPLES:
        for name in sample.PERSONAL:
            value = getattr(sample, name)
            for text in [value] if isinstance(value, str) else value:
                assert text.encode() not in everything


# --- encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.TOPIC)
def test_what_is_written_reads_back(sample: Event) -> None:
    assert unseal(placed(decode(*encode(placed(sample), DATA_KEY))), DATA_KEY).event == sample


def test_fields_are_in_their_order_without_spaces_and_times_in_utc() -> None:
    _, state = encode(placed(SAMPLE_OF[CredentialDescribed]), DATA_KEY)
    written = json.loads(state)
    assert list(written) == [f.name for f in fields(CredentialDescribed)]
    assert json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode() == state
    assert written["context"]["at"] == "2026-03-01T09:30:15.123456Z"


def test_a_checked_value_is_written_as_the_text_it_is() -> None:
    plain, checked = OrganisationRegistered(CONTEXT, "Acme"), OrganisationRegistered(CONTEXT, Name("Acme"))
    assert encode(placed(plain), None) == encode(placed(checked), None)


def test_a_field_that_a_later_release_added_is_passed_over() -> None:
    later = json.loads((DIRECTORY / "organisation.renamed.json").read_bytes()) | {"added_later": [1]}
    assert decode("organisation.renamed", json.dumps(later).encode()) == SAMPLE_OF[OrganisationRenamed]


def test_a_field_that_is_missing_or_of_another_type_is_no_event() -> None:
    with pytest.raises(ValueError, match="missing required field"):
        decode("organisation.registered", b"{}")
    with pytest.raises(ValueError, match="Expected `str`"):
        decode("organisation.registered", b'{"context":{"at":"2026-03-01T09:00:00Z","actor":"a","via":"api"},"name":1}')


def test_an_event_of_a_newer_version_of_the_software_is_said_to_be_one() -> None:
    with pytest.raises(UnknownTopic, match=r"credential\.teleported"):
        decode("credential.teleported", b"{}")


def test_an_older_shape_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(old: Fields) -> Fields:
        return {"context": old["context"], "title": old["called"]}

    def rename_again(old: Fields) -> Fields:
        return {"context": old["context"], "name": old["title"]}

    monkeypatch.setitem(UPCASTS, "organisation.founded", ("organisation.founded@2", rename))
    monkeypatch.setitem(UPCASTS, "organisation.founded@2", ("organisation.registered", rename_again))
    newest = json.loads((DIRECTORY / "organisation.registered.json").read_bytes())
    oldest = {"context": newest["context"], "called": newest["name"]}
    assert decode("organisation.founded", json.dumps(oldest).encode()) == SAMPLE_OF[OrganisationRegistered]


def test_every_upcast_leads_to_a_topic_that_is_read() -> None:
    newest = {topic_of(event_type) for event_type in EVENTS}
    for topic in UPCASTS:
        assert topic not in newest
        end = topic
        for _ in UPCASTS:
            end = UPCASTS[end][0] if end in UPCASTS else end
        assert end in newest


# --- sealing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", PERSONAL_SAMPLES, ids=lambda sample: sample.TOPIC)
def test_personal_fields_are_sealed_and_others_are_not(sample: Event) -> None:
    written = json.loads(encode(placed(sample), DATA_KEY)[1])
    for name, value in written.items():
        texts = value if isinstance(value, list) else [value]
        sealed = [isinstance(text, str) and text.startswith(SEALED) for text in texts]
        assert all(sealed) if name in sample.PERSONAL else not any(sealed)


def test_the_same_value_sealed_twice_does_not_look_the_same() -> None:
    sample = SAMPLE_OF[CredentialWhitelisted]
    assert encode(placed(sample), DATA_KEY)[1] != encode(placed(sample), DATA_KEY)[1]


def test_empty_values_are_not_sealed_as_they_tell_nothing() -> None:
    event = CredentialDescribed(CONTEXT, "n", "", "", {})
    assert encode(placed(event), None) == encode(placed(event), DATA_KEY)


@pytest.mark.parametrize("sample", PERSONAL_SAMPLES, ids=lambda sample: sample.TOPIC)
def test_without_its_data_key_personal_fields_read_as_empty_and_the_rest_is_as_it_was(sample: Event) -> None:
    stored = placed(decode(*encode(placed(sample), DATA_KEY)))
    erased = unseal(stored, None).event
    for field in fields(sample):
        if field.name in sample.PERSONAL:
            assert getattr(erased, field.name) in ("", ())
        else:
            assert getattr(erased, field.name) == getattr(sample, field.name)


def test_personal_values_are_never_written_without_a_data_key() -> None:
    with pytest.raises(ValueError, match="needs a data key"):
        encode(placed(SAMPLE_OF[CredentialWhitelisted]), None)


def test_a_personal_value_that_was_stored_in_clear_is_not_taken_for_sealed() -> None:
    with pytest.raises(ValueError, match="in clear"):
        unseal(placed(SAMPLE_OF[CredentialWhitelisted]), DATA_KEY)


def stored(event: Event = SAMPLE_OF[CredentialCreated], key: DataKey = DATA_KEY) -> Recorded:
    """The event as it lies in the log."""
    return placed(decode(*encode(placed(event), key)))


def swapped_fields(one: Recorded) -> Recorded:
    """The sealed login where the sealed address was."""
    event = one.event
    assert isinstance(event, CredentialCreated)
    return one._replace(event=replace(event, login=event.contact_email, contact_email=event.login))


def swapped_networks(_: Recorded) -> Recorded:
    """Two sealed networks of one list in another order."""
    one = stored(SAMPLE_OF[CredentialWhitelisted])
    event = one.event
    assert isinstance(event, CredentialWhitelisted)
    return one._replace(event=replace(event, networks=event.networks[::-1]))


def one_bit_flipped(one: Recorded) -> Recorded:
    """The sealed address with its last bit changed."""
    event = one.event
    assert isinstance(event, CredentialCreated)
    raw = bytearray(base64.urlsafe_b64decode(event.contact_email[len(SEALED) :]))
    raw[-1] ^= 1
    changed = SEALED + base64.urlsafe_b64encode(bytes(raw)).decode()
    return one._replace(event=replace(event, contact_email=changed))


@pytest.mark.parametrize(
    "moved",
    [
        swapped_fields,
        swapped_networks,
        one_bit_flipped,
        lambda one: one._replace(aggregate_version=4),
        lambda one: one._replace(aggregate_id=UUID(int=9)),
        lambda one: one._replace(organisation_id=UUID(int=9)),
        lambda one: one._replace(organisation_id=None),
    ],
    ids=["field", "place in a list", "bit", "version", "aggregate", "tenant", "no tenant"],
)
def test_what_is_sealed_opens_in_its_own_place_only(moved: Any) -> None:
    one = stored()
    assert unseal(one, DATA_KEY).event == SAMPLE_OF[CredentialCreated]
    with pytest.raises(InvalidTag):
        unseal(moved(one), DATA_KEY)


def test_another_aggregates_key_opens_nothing() -> None:
    with pytest.raises(InvalidTag):
        unseal(stored(), DataKey(AESGCM(bytes(32))))


def test_the_place_in_the_log_does_not_matter_to_what_is_sealed_as_it_is_given_later() -> None:
    assert unseal(stored()._replace(position=77), DATA_KEY).event == SAMPLE_OF[CredentialCreated]


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.integers(1, 2**31), st.uuids(), st.uuids())
def test_any_text_in_any_place_opens_again(text: str, version: int, aggregate_id: UUID, tenant: UUID) -> None:
    event = CredentialWhitelisted(CONTEXT, (text, text))
    there = Recorded(aggregate_id, version, tenant, event)
    back = there._replace(event=decode(*encode(there, DATA_KEY)))
    assert back.event != event
    assert unseal(back, DATA_KEY) == there


@pytest.mark.usefixtures("nonce_of_zeros")
def test_the_samples_place_is_the_place_that_associated_data_names() -> None:
    """A known answer, computed with nothing but the cipher: tenant, aggregate, version and field, in this order."""
    written = json.loads(encode(placed(SAMPLE_OF[CredentialWhitelisted]), DATA_KEY)[1])
    associated = ORGANISATION.bytes + AGGREGATE.bytes + b"3.networks.1"
    expected = AESGCM(bytes(range(32))).encrypt(bytes(12), b"2001:db8::/32", associated)
    assert written["networks"][1] == SEALED + base64.urlsafe_b64encode(bytes(12) + expected).decode()
