"""Finding anything: what was typed, in all lists at once, as far as whoever is signed in may see them.

Each list of the API takes `q`, so a program finds the same by asking them; there is no door for this page alone, whose
answer would mix five kinds of things. Here each shows its first few, and leads to its list for the rest. Who pastes an
id finds what has it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from api import accounts, operators, organisations, outgoing
from api.auth import READS_CREDENTIALS, READS_OPERATORS, allow, caller
from api.console.forms import listed
from api.console.rendering import label, render
from api.incoming import now, services
from ledger.values import Name
from projections.account_status import find_account
from projections.application_status import ApplicationFilters, find_application, list_applications
from projections.credential_list import CredentialFilters, list_credentials
from projections.credential_status import find_credential
from projections.operator_status import find_operator
from projections.organisation_status import find_organisation
from projections.pages import Page

SHOWN = 5  # of each kind: all kinds fit on a screen or two, and each has a list for the rest

pages = Blueprint("searching", __name__)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: what it is called, where its page is, and what tells it from others called alike."""

    title: str
    address: str
    told: str
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of things: the page that lists them, and how they are found and shown."""

    title: str
    listing: str
    by_id: Callable[[UUID], Row | None]
    by_words: Callable[[str], Page]
    hit: Callable[[Row], Hit]


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a kind, and where the rest of it is listed; None where this is all."""

    title: str
    hits: list[Hit]
    rest: str | None


@pages.get("/search", defaults={"organisation_id": None})
@pages.get("/organisations/<uuid:organisation_id>/search")
def page(organisation_id: UUID | None) -> Response:
    """What was found of each kind in an organisation and, for those who see all of them, among these."""
    allow(READS_CREDENTIALS, organisation_id)
    found: list[Found] = []

    def read(asked: dict[str, str]) -> Page:
        if "q" in asked:
            found.extend(_found(Name(asked["q"], "q"), organisation_id))
        return Page([], None)

    form, _, status = listed(read)
    return Response(render("console/searching/page.html", form=form, found=found), status, mimetype="text/html")


def _found(q: str, organisation_id: UUID | None) -> Iterator[Found]:
    kinds = [] if organisation_id is None else [*_kinds_of(organisation_id)]
    if READS_OPERATORS & caller().roles:
        kinds.append(_operators(organisation_id))
    if caller().organisation_id is None:
        kinds.append(_organisations())
    wanted = _id(q)
    for kind in kinds:
        found = kind.by_words(q) if wanted is None else Page([*_known(kind.by_id(wanted))], None)
        if found.rows:
            rest = url_for(kind.listing, organisation_id=organisation_id, q=q) if found.cursor else None
            yield Found(kind.title, [kind.hit(row) for row in found.rows], rest)


def _id(q: str) -> UUID | None:
    try:
        return UUID(q)
    except ValueError:
        return None


def _known(row: Row | None) -> Iterator[dict[str, Any]]:
    if row is not None:
        yield dict(row)


# --- the kinds --------------------------------------------------------------------------------------------------------


def _kinds_of(organisation_id: UUID) -> Iterator[Kind]:
    """What an organisation has."""
    store, moment = services().store, now()

    def credentials(q: str) -> Page:
        rotation_days = services().settings.rotation_days
        filters = CredentialFilters(q=q)
        return list_credentials(store, organisation_id, filters, now=moment, rotation_days=rotation_days, limit=SHOWN)

    yield Kind(
        "Credentials",
        "console.credentials.listing",
        lambda wanted: find_credential(store, organisation_id, wanted),
        credentials,
        _credential,
    )
    yield Kind(
        "Apps",
        "console.applications.listing",
        lambda wanted: find_application(store, organisation_id, wanted),
        lambda q: list_applications(store, organisation_id, ApplicationFilters(q=q), limit=SHOWN),
        _application,
    )
    yield Kind(
        "Accounts",
        "console.accounts.listing",
        lambda wanted: find_account(store, organisation_id, wanted, now=moment),
        lambda q: accounts.found_for(organisation_id, {"q": q, "limit": SHOWN}),
        _account,
    )


def _operators(organisation_id: UUID | None) -> Kind:
    def by_id(wanted: UUID) -> Row | None:
        row = find_operator(services().store, wanted)
        return row if row and organisation_id in (None, row["organisation_id"]) else None

    return Kind(
        "Operators",
        "console.operators.listing",
        by_id,
        lambda q: operators.found_for({"q": q, "limit": SHOWN}, organisation_id),
        _operator,
    )


def _organisations() -> Kind:
    return Kind(
        "Organisations",
        "console.organisations.choice",
        lambda wanted: find_organisation(services().store, wanted),
        lambda q: organisations.found_for({"q": q, "limit": SHOWN}, None),
        _organisation,
    )


def _credential(row: Row) -> Hit:
    ids = {"organisation_id": row["organisation_id"], "credential_id": row["credential_id"]}
    return Hit(
        row["name"] or label(row["kind"]),
        url_for("console.credentials.detail", **ids),
        " · ".join(filter(None, (row["public_id"], row["contact_email"]))),
        outgoing.credential(row)["status"],
    )


def _application(row: Row) -> Hit:
    ids = {"organisation_id": row["organisation_id"], "application_id": row["application_id"]}
    return Hit(row["title"], url_for("console.applications.information", **ids), row["description"])


def _account(row: Row) -> Hit:
    ids = {"organisation_id": row["organisation_id"], "account_id": row["account_id"]}
    told = " · ".join(filter(None, (label(row["kind"]), row["reference"])))
    return Hit(row["name"], url_for("console.accounts.detail", **ids), told)


def _operator(row: Row) -> Hit:
    """An operator has no page of its own, but its line in the list."""
    address = url_for("console.operators.listing", organisation_id=row["organisation_id"], q=row["name"] or None)
    told = " · ".join(filter(None, (row["email"], ", ".join(map(label, row["roles"])))))
    return Hit(row["name"] or "Erased", address, told)


def _organisation(row: Row) -> Hit:
    return Hit(row["name"], url_for("console.organisations.overview", organisation_id=row["organisation_id"]), "")
