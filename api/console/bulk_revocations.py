"""Bulk revocation: say which credentials, look at just those, confirm them, and watch how far it has come."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import documents, outgoing
from api.auditing import reads_only
from api.auth import WRITES_CREDENTIALS, allow
from api.bulk_revocations import SHOWN_MAX, looked_at, represent, selection_of
from api.bulk_revoking import DryRun, confirmed
from api.console.forms import Form, attempt, carry_out
from api.console.organisations import names_of
from api.console.rendering import go_to, label, render
from api.incoming import context, services
from api.schemas.bulk_revocations import BulkRevocationIn, SelectionIn
from ledger.errors import InvalidValue, NotFound, SelectionChanged
from ledger.values import Channel, Environment, Kind, Mode, RevocationReason
from projections.bulk_revocation_status import find_bulk_revocation, list_bulk_revocations, rows_of_credentials

pages = Blueprint("bulk_revocations", __name__, url_prefix="/organisations/<uuid:organisation_id>/bulk-revocations")

# What a form asks of a selection: texts, choices of a few words, and lists of a line each.
TEXTS = ("contact_email", "account_id", "application_id", "kind", "mode", "environment", "channel")
_BY_LOGIN = Kind.CHANNEL_LOGIN  # its identifier is a login, which is the same in any letter case
CHOICES = {"kind": Kind, "mode": Mode, "environment": Environment, "channel": Channel}


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """The runs, newest first."""
    found = list_bulk_revocations(services().store, organisation_id, cursor=request.args.get("cursor"))
    runs = [documents.bulk_revocation(row) for row in found.rows]
    names = names_of(run["started_by"] for run in runs)
    return render("console/bulk_revocations/listing.html", runs=runs, names=names, cursor=found.cursor)


@pages.get("/<uuid:run_id>")
def detail(organisation_id: UUID, run_id: UUID) -> str:
    """One run, and how far it has come. While it runs the page asks again by itself."""
    row = find_bulk_revocation(services().store, organisation_id, run_id)
    if row is None:
        raise NotFound("bulk revocation")
    run = documents.bulk_revocation(row)
    return render("console/bulk_revocations/detail.html", run=run, names=names_of([run["started_by"]]))


@pages.route("/new", methods=["GET", "POST"])
def new(organisation_id: UUID) -> Response | str:
    """First the dry run, which touches nothing; its digest then confirms just what it showed."""
    allow(WRITES_CREDENTIALS, organisation_id)

    def show(form: Form, **looked: Any) -> str:
        return render(
            "console/bulk_revocations/new.html",
            form=form,
            choices=CHOICES,
            reasons=[(reason.value, label(reason)) for reason in RevocationReason],
            **looked,
        )

    def act(form: Form) -> Response:
        if "back" in form.typed:
            return Response(show(form))
        chosen = form.load(SelectionIn(), TEXTS, **_lists(form), **_label(form))
        if not chosen:
            raise InvalidValue("", "say which credentials: with nothing chosen, all would be revoked")
        body = form.load(BulkRevocationIn(), ("revocation_reason", "reason", "digest"), filter={})
        looked = looked_at(organisation_id, selection_of(chosen), body)
        if "digest" in body:
            try:
                carried = carry_out(
                    form, lambda: (confirmed(looked, body["digest"], context(body.get("reason"))), None), represent
                )
            except SelectionChanged as error:
                form.refuse(error)
                return Response(show(form, **_shown(looked, form)), 409)
            return go_to(
                "console.bulk_revocations.detail",
                organisation_id=organisation_id,
                run_id=carried.body["id"],
                done="run_started",
            )
        return Response(show(form, **_shown(looked, form)))

    begin = Form.with_typed(revocation_reason=RevocationReason.COMPROMISED)
    return show(begin) if request.method == "GET" else attempt(show, act)


def _lists(form: Form) -> dict[str, list[str]]:
    lines = form.lines("public_ids")
    return {"public_ids": lines} if lines else {}


def _label(form: Form) -> dict[str, dict[str, str]]:
    typed = form.typed.get("label", "").strip()
    if not typed:
        return {}
    name, sign, value = typed.partition("=")
    if not sign:
        raise InvalidValue("label", "is no label like team=payments")
    return {"label": {"name": name, "value": value}}


def _shown(looked: DryRun, form: Form) -> dict[str, Any]:
    """What a dry run found: the first ones, how many, the digest that confirms them, and which of the identifiers that
    somebody named are none of these.
    """
    reads_only()
    named = form.lines("public_ids")
    rows = rows_of_credentials(services().store, looked.credential_ids if named else looked.credential_ids[:SHOWN_MAX])
    found = {row["public_id"] for row in rows} | {row["public_id"].lower() for row in rows if row["kind"] == _BY_LOGIN}
    return {
        "unmatched": [name for name in dict.fromkeys(named) if not {name, name.lower()} & found],
        "count": len(looked.credential_ids),
        "digest": looked.digest,
        "credentials": [outgoing.credential(row) for row in rows[:SHOWN_MAX]],
    }
