"""`keyledger history`: what happened to a credential or any other thing of the ledger, and what it was at a time."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

import click
from rich.text import Text

from api import documents, moments
from api.cli import options
from api.cli.accounts import account_facts
from api.cli.applications import application_facts
from api.cli.credentials import credential_facts
from api.cli.operators import operator_facts
from api.cli.output import cell, console, print_facts, print_json
from api.cli.session import Session, open_ledger
from api.cli.webhooks import endpoint_facts
from api.documents import Document
from api.moments import Reading
from api.telling import TOLD, VIA, moment, told
from ledger.access_review import AccessReview
from ledger.account import Account
from ledger.application import Application
from ledger.bulk_revocation import BulkRevocation
from ledger.catalogue import OrganisationCatalogue
from ledger.credential import Credential
from ledger.errors import NotFound
from ledger.events import Recorded
from ledger.export import Export
from ledger.operator import Operator
from ledger.organisation import Organisation
from ledger.sealed_log import SealedLog
from ledger.signing_key import SigningKey
from ledger.webhook_endpoint import WebhookEndpoint
from projections import operator_status, webhook_endpoint_status
from projections.history import Life, Moment, life_of
from projections.readings import Shown
from projections.signing_key_status import published

_known = click.argument("aggregate_id", type=click.UUID, metavar="CREDENTIAL")
_as_of = click.option("--as-of", type=options.Moment(), help="Only what had happened by then, and the state it gave.")


@click.command()
@_known
@_as_of
@click.option("--states", is_flag=True, help="With each step, the state that it gave.")
@options.as_json
def history(aggregate_id: UUID, as_of: datetime | None, states: bool, json: bool) -> None:
    """Tell what happened to a credential, oldest first: who did what, when, why, through what and from where.

    Takes the id of a bulk revocation, a webhook endpoint, an application, an account, an operator or an organisation,
    too.
    """
    _tell(aggregate_id, as_of, states=states, json=json)


@click.command()
@_known
@_as_of
@options.as_json
def replay(aggregate_id: UUID, as_of: datetime | None, json: bool) -> None:
    """Replay what happened to a credential, or to any other thing: each step with the state that it gave.

    The state is folded anew from the log, event by event; nothing is changed.
    """
    _tell(aggregate_id, as_of, states=True, json=json)


def _tell(aggregate_id: UUID, as_of: datetime | None, *, states: bool, json: bool) -> None:
    if as_of is not None:
        as_of = moments.past_time(as_of, "as_of", datetime.now(UTC))
    with open_ledger() as session:
        life, until = existing(session, aggregate_id), Moment(time=as_of)
        recorded = life.up_to(until)
        if not recorded:
            raise NotFound(f"{_KNOWN} at that time")
        past = [Shown.PAST] if states or as_of else []
        shown_of(session, life, Shown.HISTORY, *past)
        given = _states_given(session, life, until) if states else []
        reading = Reading(life.reads(until), as_of) if as_of else None
        if json:
            print_json(_document(session, life, until, given, reading))
            return
        print_timeline(session, life, recorded, given)
        if reading:
            click.echo(f"\nAs of {moment(reading.at)}:\n")
            print_facts(_facts(reading.state, reading.at))


_KNOWN = "credential, application, account, operator or organisation"


def shown_of(session: Session, life: Life, *what: Shown) -> None:
    """Note what is shown of a thing; of a credential and an operator the hints of secrets are always among it."""
    hints = [Shown.HINT] if life.kind in ("credential", "operator") else []
    first = life.recorded[0]
    session.shows(*what, *hints, of=first.organisation_id, about=first.aggregate_id)


def existing(session: Session, aggregate_id: UUID) -> Life:
    """All that happened to a thing of whatever kind; `NotFound` where there is none."""
    life = life_of(session.services.log, None, aggregate_id)
    if life is None:
        raise NotFound(_KNOWN)
    return life


def _states_given(session: Session, life: Life, until: Moment) -> list[Document]:
    """What each step left, as it read at that moment."""
    return [
        moments.document(session.services, Reading(state, recorded.event.context.at))
        for recorded, state in life.steps(until)
    ]


def _document(
    session: Session, life: Life, until: Moment, given: Sequence[Document], reading: Reading | None
) -> Document:
    steps = [documents.entry(one) for one in life.entries(until)]
    for one, state in zip(steps, given, strict=False):  # as many, or none
        one["state"] = state
    document = {
        "id": life.recorded[0].aggregate_id,
        "kind": life.kind,
        "organisation_id": life.recorded[0].organisation_id,
        "data": steps,
    }
    if reading:
        document |= {"as_of": reading.at, "state": moments.document(session.services, reading)}
    return document


def _facts(state: Any, as_of: datetime) -> list[tuple[str, object]]:
    match state:
        case BulkRevocation():
            return _bulk_revocation_facts(state)
        case Credential():
            return credential_facts(state, as_of, {})
        case Account():
            return account_facts(moments.account(state))
        case Application():
            return application_facts(state)
        case OrganisationCatalogue():
            return [("organisation", state.organisation_id), ("version", state.catalogue.version)]
        case Operator():
            return operator_facts(state)
        case SigningKey():
            return [(f"key {key.version}", f"{key.kid} ({key.algorithm})") for key in published(state)]
        case SealedLog():
            keys = [(f"key {number}", key.kid) for number, key in enumerate(state.keys, 1)]
            return [("name", state.name), ("generation", state.generation), *keys]
        case Export() | AccessReview():
            return [("id", state.id), ("organisation", state.organisation_id), ("reason", state.requested.reason)]
        case Organisation():
            return [("id", state.id), ("name", state.name), ("registered", state.registered_at)]
        case WebhookEndpoint():
            return endpoint_facts(documents.webhook_endpoint(webhook_endpoint_status.status_row(state)))
    raise TypeError(f"{type(state).__name__} has no facts to show")


def _bulk_revocation_facts(state: BulkRevocation) -> list[tuple[str, object]]:
    return [
        ("id", state.id),
        ("organisation", state.organisation_id),
        ("contact", state.contact_email),
        ("selection", dict(state.selection)),
        ("revoked because", state.revocation_reason),
        ("credentials", state.total),
        ("revoked", state.revoked),
        ("skipped", state.skipped),
        ("started", state.started.at),
        ("finished", state.finished_at),
    ]


def _names(session: Session, recorded: Sequence[Recorded]) -> dict[str, str]:
    """The names of the operators who acted, by actor."""
    names = {}
    for actor in {one.event.context.actor for one in recorded}:
        if actor.startswith("operator:"):
            row = operator_status.find_operator(session.services.store, UUID(actor.removeprefix("operator:")))
            if row is not None:
                names[actor] = row["name"] or "erased operator"
    return names


def print_timeline(session: Session, life: Life, recorded: Sequence[Recorded], given: Sequence[Document] = ()) -> None:
    """Some of what happened to a thing, and what the states `given` by each step tell."""
    names = _names(session, recorded)
    out = console(sys.stdout)
    out.print(Text(f"{life.kind} {life.recorded[0].aggregate_id}", style="bold"))
    before: Document = {}
    for one, state in zip_longest(recorded, given):
        context = one.event.context
        what, _ = TOLD[type(one.event)]
        who = f"{names[context.actor]} ({context.actor})" if context.actor in names else context.actor
        where = f" from {context.address}" if context.address else ""
        line = Text(f"\n{moment(context.at)}  ")
        line.append(what, style="bold")
        line.append(f"  by {who}, through {VIA.get(context.via, context.via)}{where}")
        out.print(line, soft_wrap=True)
        why = [f"why: {context.reason}"] if context.reason else []
        marks = f"version {one.aggregate_version}, position {one.position}" + (
            f", request {context.request_id}" if context.request_id else ""
        )
        for detail in (*why, *told(one.event, erased=life.erased), marks):
            out.print(Text(f"    {detail}"), soft_wrap=True)
        if state is not None:
            for line in _state_given(before, state):
                out.print(Text("      ") + line, soft_wrap=True)
            before = state


def _state_given(before: Document, state: Document) -> list[Text]:
    """The first state whole; of a later one what is other than in the state before."""
    lines = []
    for name, change in moments.changes(before, state).items():
        was = cell(change["before"]) + " → " if before else Text()
        lines.append(Text(f"{name.replace('_', ' ')}: ") + was + cell(change["after"]))
    return lines
