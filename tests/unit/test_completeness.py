"""Nothing is half added: every event folds, is documented and pinned; every command is routed; every error is drawn."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from inspect import cleandoc
from typing import Any

import pytest

from ledger import (
    access_review,
    account,
    application,
    catalogue,
    commands,
    credential,
    errors,
    events,
    export,
    operator,
    organisation,
    sealed_log,
    signing_key,
    webhook_endpoint,
)
from ledger.commands import Command
from ledger.errors import LedgerError
from ledger.events import EVENTS, Event, Recorded
from ledger.service import (
    ACCESS_REVIEW,
    ACCOUNT,
    APPLICATION,
    BULK_REVOCATION,
    CATALOGUE,
    CREDENTIAL,
    EXPORT,
    OPERATOR,
    ORGANISATION,
    ROUTES,
    SEALED_LOG,
    SIGNING_KEY,
    WEBHOOK_ENDPOINT,
    Aggregate,
)
from ledger.store.codec import topic_of
from tests.golden import AGGREGATE, DIRECTORY, SAMPLES, files_of, topic_in
from tests.golden import ORGANISATION as TENANT

SAMPLE_OF = {type(sample): sample for sample in SAMPLES}
BEGINNINGS: dict[str, tuple[Aggregate, type[Event]]] = {
    "organisation": (ORGANISATION, events.OrganisationRegistered),
    "catalogue": (CATALOGUE, events.CatalogueChanged),
    "operator": (OPERATOR, events.OperatorEnrolled),
    "account": (ACCOUNT, events.AccountOpened),
    "application": (APPLICATION, events.ApplicationRegistered),
    "credential": (CREDENTIAL, events.CredentialCreated),
    "bulk_revocation": (BULK_REVOCATION, events.BulkRevocationStarted),
    "webhook_endpoint": (WEBHOOK_ENDPOINT, events.WebhookEndpointRegistered),
    "signing_key": (SIGNING_KEY, events.SigningKeyRotated),
    "access_review": (ACCESS_REVIEW, events.AccessReviewRequested),
    "export": (EXPORT, events.ExportRequested),
    "sealed_log": (SEALED_LOG, events.SealedLogOpened),
}


def subclasses(of: type[Any]) -> Iterator[type[Any]]:
    """Every class beneath one, of the tree alone: tests and slots make copies that nobody else holds."""
    for below in of.__subclasses__():
        if below.__module__.startswith("ledger."):
            yield below
        yield from subclasses(below)


def own(module: Any, of: type[Any]) -> set[type[Any]]:
    """The classes of a kind that a module defines."""
    return {
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, of) and thing is not of and thing.__module__ == module.__name__
    }


def recorded(event: Event, version: int) -> Recorded:
    """The event in an aggregate's history."""
    return Recorded(AGGREGATE, version, TENANT, event)


# --- events ----------------------------------------------------------------------------------------------------------


def test_every_event_that_is_defined_is_listed_once() -> None:
    assert own(events, Event) == set(EVENTS)
    assert len(set(EVENTS)) == len(EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_has_an_evolve_branch(event_type: type[Event]) -> None:
    aggregate, begins = BEGINNINGS[event_type.TOPIC.partition(".")[0]]
    before = aggregate.evolve(None, recorded(SAMPLE_OF[begins], 1))
    after = aggregate.evolve(None if event_type is begins else before, recorded(SAMPLE_OF[event_type], 2))
    assert after.version == 2
    assert after.id == AGGREGATE


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_that_evolve_is_given_changes_more_than_the_version(event_type: type[Event]) -> None:
    aggregate, begins = BEGINNINGS[event_type.TOPIC.partition(".")[0]]
    before = aggregate.evolve(None, recorded(SAMPLE_OF[begins], 1))
    if event_type is events.CredentialResumed:
        before = aggregate.evolve(before, recorded(SAMPLE_OF[events.CredentialSuspended], 1))
    if event_type is events.WebhookEndpointEnabled:
        before = aggregate.evolve(before, recorded(SAMPLE_OF[events.WebhookEndpointDisabled], 1))
    if event_type is events.CredentialOverlapEnded:
        before = aggregate.evolve(before, recorded(SAMPLE_OF[events.CredentialRotated], 1))
    if event_type is events.OperatorTokenOverlapEnded:
        before = aggregate.evolve(before, recorded(SAMPLE_OF[events.OperatorTokenRotated], 1))
    after = aggregate.evolve(None if event_type is begins else before, recorded(SAMPLE_OF[event_type], 2))
    changed = {f.name for f in fields(after) if getattr(after, f.name) != getattr(before, f.name)} - {"version"}
    assert changed or event_type is begins


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_has_golden_bytes(event_type: type[Event]) -> None:
    for version in range(1, event_type.VERSION + 1):
        topic = event_type.TOPIC if version == 1 else f"{event_type.TOPIC}@{version}"
        assert files_of(topic), "`python -m tests.golden` writes them"


def test_there_are_no_golden_bytes_of_events_that_nobody_knows() -> None:
    topics = {event_type.TOPIC for event_type in EVENTS}
    assert {topic_in(file).partition("@")[0] for file in DIRECTORY.glob("*.json")} == topics


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_events_docstring_is_its_public_documentation(event_type: type[Event]) -> None:
    # A dataclass without one is given its signature, which would pass for a text.
    documented = cleandoc(event_type.__doc__ or "")
    assert not documented.startswith(f"{event_type.__name__}(")
    assert re.match(r"[A-Z].+\.$", documented, re.DOTALL)
    assert len(documented) > 20


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_topic_names_its_aggregate_and_what_happened(event_type: type[Event]) -> None:
    aggregate, _, happened = event_type.TOPIC.partition(".")
    assert aggregate in BEGINNINGS
    assert "".join(word.capitalize() for word in (*aggregate.split("_"), *happened.split("_"))) == event_type.__name__
    assert happened.rpartition("_")[2].endswith("ed")


def test_topics_are_unique_and_versions_count_from_one() -> None:
    assert len({event_type.TOPIC for event_type in EVENTS}) == len(EVENTS)
    assert len({topic_of(event_type) for event_type in EVENTS}) == len(EVENTS)
    assert all(event_type.VERSION >= 1 for event_type in EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_personal_names_real_fields_that_hold_texts(event_type: type[Event]) -> None:
    assert set(event_type.PERSONAL) <= {f.name for f in fields(event_type)}
    for name in event_type.PERSONAL:
        assert isinstance(getattr(SAMPLE_OF[event_type], name), str | tuple)


def test_what_is_personal_in_one_event_is_personal_in_all() -> None:
    for prefix in BEGINNINGS:
        of_aggregate = [event_type for event_type in EVENTS if event_type.TOPIC.startswith(f"{prefix}.")]
        personal = {name for event_type in of_aggregate for name in event_type.PERSONAL}
        for event_type in of_aggregate:
            assert personal & {f.name for f in fields(event_type)} == set(event_type.PERSONAL), event_type.__name__


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_cannot_be_changed(event_type: type[Event]) -> None:
    sample = SAMPLE_OF[event_type]
    for field in fields(sample):
        with pytest.raises(AttributeError):
            setattr(sample, field.name, None)
        value = getattr(sample, field.name)
        if not isinstance(value, dict):  # labels: a mapping has no frozen kind in the standard library
            hash(value)


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_context_comes_first_and_defaults_last_so_that_new_fields_can_follow(event_type: type[Event]) -> None:
    assert fields(event_type)[0].name == "context"


# --- states ----------------------------------------------------------------------------------------------------------


STATES = (
    organisation.Organisation,
    catalogue.OrganisationCatalogue,
    operator.Operator,
    account.Account,
    application.Application,
    credential.Credential,
    webhook_endpoint.WebhookEndpoint,
    signing_key.SigningKey,
    sealed_log.SealedLog,
    access_review.AccessReview,
    export.Export,
)


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_a_frozen_dataclass_with_its_id_and_version(state: type[Any]) -> None:
    assert is_dataclass(state)
    assert state.__dataclass_params__.frozen  # type: ignore[attr-defined]  # not in the stubs
    assert {"id", "version"} <= {f.name for f in fields(state)}


# --- commands --------------------------------------------------------------------------------------------------------


def test_every_command_has_a_route_and_every_route_a_command() -> None:
    assert own(commands, Command) == set(ROUTES)


@pytest.mark.parametrize("command", ROUTES)
def test_a_route_leads_to_the_function_of_the_commands_name(command: type[Command]) -> None:
    aggregate, decide, _ = ROUTES[command]
    assert decide.__name__ == re.sub(r"(?<!^)(?=[A-Z])", "_", command.__name__).lower()
    assert aggregate.id_field in {f.name for f in fields(command)}
    assert (decide.__doc__ or "").endswith(".")


@pytest.mark.parametrize("command", ROUTES)
def test_a_command_says_what_it_asks_for(command: type[Command]) -> None:
    assert not (command.__doc__ or f"{command.__name__}(").startswith(f"{command.__name__}(")


@pytest.mark.parametrize("command", ROUTES)
def test_a_command_does_not_show_what_is_secret_in_it(command: type[Command]) -> None:
    for field in fields(command):
        assert field.repr is (field.name not in ("password_hash", "signing_secret"))


# --- errors ----------------------------------------------------------------------------------------------------------


def test_every_error_has_a_code_of_its_own_made_of_its_name() -> None:
    every: list[type[LedgerError]] = [LedgerError, *subclasses(LedgerError)]
    for error in every:
        assert error.code == re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()
        assert "code" in vars(error)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    assert drawn_tree() == {error.__name__: error.__mro__[1].__name__ for error in subclasses(LedgerError)}


def drawn_tree() -> dict[str, str]:
    """Of every error in the drawing its parent's name, told by how far it is indented."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(?P<indent>[ │├└─]*)(?P<names>[A-Z][A-Za-z]+(?:, [A-Z][A-Za-z]+)*)(?:  .*)?$", line)
        if not found or not (line.startswith("    ") and ("─" in line or "LedgerError" in line)):
            continue
        depth = len(found["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        for name in found["names"].split(", "):
            if above:
                parents[name] = above[-1][1]
        above.append((depth, found["names"].split(", ")[-1]))
    return parents


@pytest.mark.parametrize("error", [LedgerError, *subclasses(LedgerError)])
def test_an_error_says_what_it_means(error: type[LedgerError]) -> None:
    assert error.__doc__
