"""An organisation's overview and settings, and changing from one organisation to another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, g, request

from api import documents, organisation_commands
from api.auditing import shows
from api.auth import MANAGES_OPERATORS, READS_CREDENTIALS, READS_HISTORY, allow, caller
from api.console.forms import Form, attempt, carry_out, filtered, listed
from api.console.rendering import go_to, render
from api.console.subjects import subjects_of
from api.incoming import now, services
from api.organisation_commands import represent
from api.organisations import found_for
from api.schemas.organisations import OrganisationIn, OrganisationQuery
from api.telling import who
from ledger.values import Status
from projections.activity import list_activity
from projections.credential_list import CredentialFilters, count_credentials
from projections.operator_status import find_operator
from projections.organisation_status import find_organisations, list_organisations
from projections.readings import Shown
from projections.reports import EXPIRING_DAYS

COUNTED_MAX = 1_000  # a number beyond it says no more than that there are many
RECENT_EVENTS = 8  # what fits beside the numbers; the rest is a page of its own

pages = Blueprint("organisations", __name__)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the overview, and the query of the list that it counts."""

    title: str
    explanation: str
    count: int
    query: Mapping[str, str]

    @property
    def shown(self) -> str:
        """The number as it is read."""
        return f"{self.count:,}" + ("+" if self.count >= COUNTED_MAX else "")


@pages.get("/")
def home() -> Response:
    """Where one is after signing in: one's organisation, or the choice of one."""
    only = caller().organisation_id
    if only is None:
        found = list_organisations(services().store, None, None, limit=2)
        only = found[0]["organisation_id"] if len(found) == 1 else None
    if only is None:
        return go_to("console.organisations.choice")
    return go_to("console.organisations.overview", organisation_id=only)


@pages.get("/organisations")
def choice() -> Response:
    """All organisations that the operator may see."""
    only = caller().organisation_id
    allow(READS_CREDENTIALS, only)
    form, found, status = listed(lambda asked: found_for(OrganisationQuery().load(asked), only))
    page = render(
        "console/organisations/choice.html",
        form=form,
        organisations=found.rows,
        filtered=filtered(),
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")


@pages.get("/organisations/<uuid:organisation_id>")
def overview(organisation_id: UUID) -> str:
    """What there is, what needs somebody's attention, and what happened last."""
    recent: Iterable[Mapping[str, Any]] = ()
    if READS_HISTORY & caller().roles:
        shows(Shown.ACTIVITY)
        recent = list_activity(services().store, organisation_id, limit=RECENT_EVENTS).rows
    return render(
        "console/organisations/overview.html",
        figures=_figures(organisation_id),
        recent=[documents.activity(row) for row in recent],
        names=names_of(row["actor"] for row in recent),
        **subjects_of(recent),
    )


@pages.get("/organisations/<uuid:organisation_id>/settings")
def settings(organisation_id: UUID) -> str:  # noqa: ARG001 - the guard has read it
    """The organisation's settings, each a page of its own."""
    return render("console/organisations/settings.html")


@pages.route("/organisations/register", methods=["GET", "POST"])
def register() -> Response | str:
    """A new tenant."""
    allow(MANAGES_OPERATORS)

    def act(form: Form) -> Response:
        body = form.load(OrganisationIn(), ("name", "reason"))
        carried = carry_out(form, lambda: organisation_commands.register(body), represent)
        return go_to(
            "console.organisations.overview", organisation_id=carried.body["id"], done="organisation_registered"
        )

    def show(form: Form) -> str:
        return render("console/organisations/register.html", form=form)

    return show(Form()) if request.method == "GET" else attempt(show, act)


@pages.route("/organisations/<uuid:organisation_id>/settings/rename", methods=["GET", "POST"])
def rename(organisation_id: UUID) -> Response | str:
    """Another name. Its id, and so every address, stays."""
    allow(MANAGES_OPERATORS, organisation_id)
    row = g.organisation

    def act(form: Form) -> Response:
        body = form.load(OrganisationIn(), ("name", "reason"))
        carry_out(form, lambda: organisation_commands.rename(row, body, form.version(row["version"])), represent)
        return go_to("console.organisations.settings", organisation_id=organisation_id, done="renamed")

    def show(form: Form) -> str:
        return render("console/organisations/rename.html", form=form)

    return show(Form.with_typed(name=row["name"])) if request.method == "GET" else attempt(show, act)


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """What to call those who acted, by actor as events name them: operators by their names, others in words."""
    names = {}
    for actor in set(actors):
        kind, _, operator_id = actor.partition(":")
        row = find_operator(services().store, UUID(operator_id)) if kind == "operator" else None
        names[actor] = who(actor) if row is None else row["name"] or f"erased operator {operator_id}"
    return names


def names_of_organisations(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """The names of these organisations, by id."""
    rows = find_organisations(services().store, [one for one in set(ids) if one is not None])
    return {row["organisation_id"]: row["name"] for row in rows}


def _figures(organisation_id: UUID) -> list[Figure]:
    soon = now() + timedelta(days=EXPIRING_DAYS)
    wanted = (
        ("Active", "Good, with one secret", CredentialFilters(status=Status.ACTIVE), {"status": "active"}),
        ("Rotating", "Two secrets are good", CredentialFilters(status=Status.ROTATING), {"status": "rotating"}),
        ("Overdue", "Their keys want rotation", CredentialFilters(overdue=True), {"overdue": "true"}),
        (
            "Expiring",
            f"End within {EXPIRING_DAYS} days",
            CredentialFilters(expiring_before=soon),
            {"expiring_before": f"{soon:%Y-%m-%dT%H:%M:%SZ}"},
        ),
        ("Suspended", "Refused until resumed", CredentialFilters(status=Status.SUSPENDED), {"status": "suspended"}),
        (
            "No owner",
            "Nobody to write to",
            CredentialFilters(without_owner=True),
            {"without_owner": "true"},
        ),
    )
    rotation_days = services().settings.rotation_days
    return [
        Figure(
            title,
            explanation,
            count_credentials(
                services().store, organisation_id, filters, now=now(), rotation_days=rotation_days, most=COUNTED_MAX
            ),
            query,
        )
        for title, explanation, filters, query in wanted
    ]
