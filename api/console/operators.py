"""Operators: who may use the console and the API of an organisation (Settings > Operators), or of all of them, and what
each may do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from api import documents, operator_commands
from api.auth import MANAGES_OPERATORS, READS_OPERATORS, allow, caller, sees_hints_of_tokens
from api.console.credentials import DAY, overlaps
from api.console.forms import Form, attempt, carry_out, filtered, forget_secret, listed, show_secret
from api.console.organisations import names_of_organisations
from api.console.rendering import go_to, render
from api.operator_commands import represent
from api.operators import found_for
from api.schemas import Why
from api.schemas.operators import OperatorIn, OperatorQuery, RolesIn, TokenRotationIn
from ledger.commands import Command
from ledger.errors import NotFound
from ledger.values import Role

pages = Blueprint("operators", __name__)

LISTED = ("q", "cursor", "limit")  # the address says of whom already
ROLES: Mapping[Role, tuple[str, str]] = {
    Role.ADMINISTRATOR: ("Administrator", "Everything, operators and webhooks included"),
    Role.OPERATOR: ("Operator", "Creates, changes and revokes credentials"),
    Role.AUDITOR: ("Auditor", "Reads everything, the history included"),
    Role.VIEWER: ("Viewer", "Reads credentials"),
    Role.VERIFIER: ("Verifier", "A gateway: verifies secrets and opens nothing here"),
}

View = TypeVar("View", bound=Callable[..., Any])


def _page(path: str, *methods: str) -> Callable[[View], View]:
    """A page of the operators of an organisation and, for None, of all organisations."""

    def route(view: View) -> View:
        pages.route(f"/operators{path}", methods=methods, defaults={"organisation_id": None})(view)
        pages.route(f"/organisations/<uuid:organisation_id>/settings/operators{path}", methods=methods)(view)
        return view

    return route


@_page("", "GET")
def listing(organisation_id: UUID | None) -> Response:
    """The organisation's operators, oldest first; for None everyone's, and those of all organisations."""
    allow(READS_OPERATORS, organisation_id)
    form, found, status = listed(lambda asked: found_for(OperatorQuery(only=LISTED).load(asked), organisation_id))
    sees_hints_of_tokens(organisation_id)
    page = render(
        "console/operators/listing.html",
        form=form,
        operators=[documents.operator(row) for row in found.rows],
        filtered=filtered(),
        cursor=found.cursor,
        organisations=names_of_organisations(row["organisation_id"] for row in found.rows),
        me=caller().operator_id,
    )
    return Response(page, status, mimetype="text/html")


@_page("/enrol", "GET", "POST")
def enrol(organisation_id: UUID | None) -> Response | str:
    """A new one, and its token, this once."""
    allow(MANAGES_OPERATORS, organisation_id)

    def act(form: Form) -> Response:
        more = {"roles": form.typed.getlist("roles"), "production": "production" in form.typed}
        of = None if organisation_id is None else str(organisation_id)
        body = form.load(OperatorIn(), ("name", "email", "reason"), organisation_id=of, **more)
        carried = carry_out(form, lambda: operator_commands.enrol(body), represent)
        return _show_token(carried, form, organisation_id, "Operator enrolled", "enrolled")

    def show(form: Form) -> str:
        return render("console/operators/enrol.html", form=form, roles=ROLES)

    return show(Form()) if request.method == "GET" else attempt(show, act)


def _change(
    organisation_id: UUID | None,
    operator_id: UUID,
    template: str,
    begin: Callable[[Mapping[str, Any]], Form],
    act: Callable[[Mapping[str, Any], Form], Response],
    **values: Any,
) -> Response | str:
    """A form about one operator of this organisation, or for None of any: shown as it begins, or done as it asks."""
    if caller().operator_id != operator_id:
        allow(MANAGES_OPERATORS, organisation_id)
    row = operator_commands.seen(operator_id)
    if organisation_id not in (None, row["organisation_id"]):
        raise NotFound("operator")

    def show(form: Form) -> str:
        back = url_for(_back_to(), organisation_id=organisation_id)
        return render(template, form=form, operator=documents.operator(row), back=back, **values)

    return show(begin(row)) if request.method == "GET" else attempt(show, lambda form: act(row, form))


@_page("/<uuid:operator_id>/roles", "GET", "POST")
def roles(organisation_id: UUID | None, operator_id: UUID) -> Response | str:
    """What it may do."""
    allow(MANAGES_OPERATORS, organisation_id)

    def begin(row: Mapping[str, Any]) -> Form:
        form = Form()
        form.typed.setlist("roles", list(row["roles"]))
        if row["production"]:
            form.typed["production"] = "true"
        return form

    def act(row: Mapping[str, Any], form: Form) -> Response:
        production = "production" in form.typed
        body = form.load(RolesIn(), ("reason",), roles=form.typed.getlist("roles"), production=production)
        carry_out(form, lambda: operator_commands.change_roles(row, body, form.version(row["version"])), represent)
        return _back(organisation_id, "roles_changed")

    return _change(organisation_id, operator_id, "console/operators/roles.html", begin, act, roles=ROLES)


@_page("/<uuid:operator_id>/rotate-token", "GET", "POST")
def rotate_token(organisation_id: UUID | None, operator_id: UUID) -> Response | str:
    """Its next token, this once. Everyone may rotate their own."""

    def act(row: Mapping[str, Any], form: Form) -> Response:
        body = form.load(TokenRotationIn(), ("reason",), overlap_seconds=form.number("overlap_seconds"))
        carried = carry_out(form, lambda: operator_commands.rotate_token(row, body, None), represent)
        return _show_token(carried, form, organisation_id, "New token", "token_rotated")

    def begin(row: Mapping[str, Any]) -> Form:
        operator_commands.allow_rotation(row)
        return Form.with_typed(overlap_seconds=DAY)

    template = "console/operators/rotate_token.html"
    return _change(organisation_id, operator_id, template, begin, act, overlaps=_overlaps)


@_page("/<uuid:operator_id>/end-overlap", "GET", "POST")
def end_overlap(organisation_id: UUID | None, operator_id: UUID) -> Response | str:
    """The end of the older of two tokens."""

    def act(row: Mapping[str, Any], form: Form) -> Response:
        body = form.load(Why(), ("reason",))
        carry_out(form, lambda: operator_commands.end_overlap(row, body, None), represent)
        return _back(organisation_id, "token_overlap_ended")

    return _change(organisation_id, operator_id, "console/operators/end_overlap.html", lambda _: Form(), act)


@_page("/<uuid:operator_id>/remove", "GET", "POST")
def remove(organisation_id: UUID | None, operator_id: UUID) -> Response | str:
    """Its end."""
    allow(MANAGES_OPERATORS, organisation_id)

    def act(row: Mapping[str, Any], form: Form) -> Response:
        body = form.load(Why(), ("reason",))
        carry_out(form, lambda: operator_commands.remove(row, body, None), represent)
        return _back(organisation_id, "operator_removed")

    return _change(organisation_id, operator_id, "console/operators/remove.html", lambda _: Form(), act)


@_page("/<uuid:operator_id>/erase", "GET", "POST")
def erase(organisation_id: UUID | None, operator_id: UUID) -> Response | str:
    """The end of its name and email, once the name was typed."""
    allow(MANAGES_OPERATORS, organisation_id)

    def act(row: Mapping[str, Any], form: Form) -> Response:
        body = form.load(Why(), ("reason",))

        def make() -> tuple[Command, None]:
            form.confirm(row["name"])
            return operator_commands.erase(row, body, None)

        carry_out(form, make, represent)
        return _back(organisation_id, "operator_erased")

    return _change(organisation_id, operator_id, "console/operators/erase.html", lambda _: Form(), act)


@_page("/stored", "POST")
def stored(organisation_id: UUID | None) -> Response:
    """Back to the operators once a new token is stored."""
    form = Form(request.form)
    forget_secret(form)
    return _back(organisation_id, form.typed.get("done", ""))


def _show_token(carried: Any, form: Form, organisation_id: UUID | None, heading: str, done: str) -> Response:
    address = url_for("console.operators.stored", organisation_id=organisation_id)
    return show_secret(carried, form, heading=heading, words=("", "Token"), stored=address, done=done)


def _back(organisation_id: UUID | None, done: str) -> Response:
    return go_to(_back_to(), organisation_id=organisation_id, done=done)


def _overlaps(tokens: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
    """What `overlaps` offers, said of tokens."""
    return {seconds: title.replace("secret", "token") for seconds, title in overlaps(tokens).items()}


def _back_to() -> str:
    """The list; for whoever may not read it, their own page."""
    return "console.operators.listing" if READS_OPERATORS & caller().roles else "console.you.page"
