"""Apps: the grid of cards, the New App wizard, an application's tabs, and its access keys."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from marshmallow import fields, validate

from api import application_commands, credential_commands, documents, outgoing
from api.application_commands import represent
from api.applications import existing, found_for, governable
from api.auth import WRITES_CREDENTIALS, allow
from api.console.creating import OwnedCredentialIn, expiry
from api.console.credentials import DAY, GRACES
from api.console.forms import Form, attempt, carry_out, carry_out_all, filtered, forget_secret, listed, show_secret
from api.console.rendering import go_to, label, render
from api.credentials import writable
from api.incoming import now, services
from api.schemas import Why
from api.schemas.applications import ApisIn, ApplicationDescriptionIn, ApplicationIn, ApplicationQuery, KeyPairIn
from api.schemas.credentials import RevocationIn
from ledger.values import AccessLevel, Environment, Kind, Mode, RevocationReason
from projections.application_status import has_live_credentials
from projections.credential_list import CredentialFilters, list_credentials

pages = Blueprint("applications", __name__, url_prefix="/organisations/<uuid:organisation_id>/apps")

GENERATED = "Successfully Generated your API Keys!"  # word for word what acceptance line S4 2 asks for

# The wizard's steps, and the fields of the first one, which the second one carries along.
FIELDS, APIS = "fields", "apis"
FIRST_STEP = ("title", "description", "contact_email")
ACTIONS: Mapping[str, tuple[str, str]] = {
    "now": ("Revoke now", "Every system that uses it is refused at once."),
    "later": ("Revoke after a grace period", "It stays good for a while, so that its users can change over."),
    "keep": ("Keep the key", "Nothing changes, and nothing is recorded."),
}


class OwnedKeyPairIn(KeyPairIn):
    """A key pair that somebody answers for."""

    environment = fields.String(required=True, validate=validate.OneOf(list(Environment)))
    contact_email = fields.String(required=True, validate=validate.Length(max=254))


# --- reading ---------------------------------------------------------------------------------------------------------


@pages.get("")
def listing(organisation_id: UUID) -> Response | str:
    """The grid of cards."""

    form, found, status = listed(lambda asked: found_for(organisation_id, ApplicationQuery().load(asked)))
    page = render(
        "console/applications/listing.html",
        form=form,
        applications=[documents.application(row) for row in found.rows],
        filtered=filtered(),
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")


@pages.get("/<uuid:application_id>")
def information(organisation_id: UUID, application_id: UUID) -> str:
    """The tab App Information."""
    return _tab("information", existing(organisation_id, application_id))


@pages.get("/<uuid:application_id>/keys")
def keys(organisation_id: UUID, application_id: UUID) -> str:
    """The tab Access Keys."""
    row = existing(organisation_id, application_id)
    found = list_credentials(
        services().store,
        organisation_id,
        CredentialFilters(application=application_id),
        now=now(),
        rotation_days=services().settings.rotation_days,
        cursor=request.args.get("cursor"),
    )
    return _tab("keys", row, keys=[outgoing.credential(one) for one in found.rows], cursor=found.cursor, now=now())


@pages.get("/<uuid:application_id>/apis")
def apis(organisation_id: UUID, application_id: UUID) -> str:
    """The tab Connected APIs."""
    row = existing(organisation_id, application_id)
    connected = documents.connected_apis(row["apis"], services().catalogues.current(organisation_id))
    return _tab("apis", row, connected=connected)


def _tab(name: str, row: Mapping[str, Any], **values: Any) -> str:
    live = has_live_credentials(services().store, row["application_id"])
    mode = Mode.LIVE if live else Mode.TEST  # what archiving it and connecting it to APIs concerns
    return render(f"console/applications/{name}.html", app=documents.application(row), mode=mode, tab=name, **values)


# --- New App ---------------------------------------------------------------------------------------------------------


@pages.route("/new", methods=["GET", "POST"])
def new(organisation_id: UUID) -> Response | str:
    """The wizard: what the app is, then the APIs it connects to, then both it and its first keys in one commit."""
    allow(WRITES_CREDENTIALS, organisation_id)
    catalogue = services().catalogues.current(organisation_id)

    def show(form: Form) -> str:
        back = "back" in form.typed or any(name in form.errors for name in FIRST_STEP)
        step = FIELDS if back or "step" not in form.typed else APIS
        return render("console/applications/new.html", form=form, step=step, carried=FIRST_STEP, apis=catalogue.apis)

    def act(form: Form) -> Response:
        if "back" in form.typed:
            return Response(show(form))
        form.load(OwnedKeyPairIn(partial=("environment",)), ("environment", "contact_email"))
        body = form.load(ApplicationIn(), ("title", "description", "reason"), apis=form.typed.getlist("apis"))
        if form.typed.get("step") == FIELDS:
            form.typed.setdefault("environment", Environment.DEVELOPMENT)
            return Response(show(form))
        if not catalogue.apis:
            made = carry_out_all(form, lambda: application_commands.register(organisation_id, body)).body
            return _to("information", made["organisation_id"], made["id"], "app_created")
        generate = form.load(OwnedKeyPairIn(), ("environment", "contact_email"), **expiry(form))
        carried = carry_out_all(
            form, lambda: application_commands.register(organisation_id, body | {"generate": generate})
        )
        pair_made = carried.body["credential"] | {"secret": carried.body["secret"]}
        return _show_keys(replace(carried, body=pair_made), form)

    return show(Form()) if request.method == "GET" else attempt(show, act)


@pages.route("/<uuid:application_id>/keys/generate", methods=["GET", "POST"])
def generate(organisation_id: UUID, application_id: UUID) -> Response | str:
    """The dialog "Generate Key": another pair, for an environment, that may do all that the app's APIs take."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, application_id)

    def act(form: Form) -> Response:
        of_the_app = {
            "kind": Kind.KEY_PAIR.value,
            "application_id": str(application_id),
            "access_level": AccessLevel.FULL.value,
        }
        asked = ("environment", "contact_email", "name", "reason")
        body = form.load(OwnedCredentialIn(), asked, **of_the_app, **expiry(form))
        return _show_keys(carry_out(form, lambda: credential_commands.create(organisation_id, body)), form)

    def show(form: Form) -> str:
        return render("console/applications/generate.html", form=form, app=documents.application(row))

    begin = Form.with_typed(environment=Environment.DEVELOPMENT)
    return show(begin) if request.method == "GET" else attempt(show, act)


def _show_keys(carried: Any, form: Form) -> Response:
    """The new pair, this once."""
    made = carried.body
    ids = {"organisation_id": made["organisation_id"], "application_id": made["application_id"]}
    stored = url_for("console.applications.stored", **ids)
    return show_secret(carried, form, heading=GENERATED, stored=stored, done="keys_generated")


@pages.post("/<uuid:application_id>/stored")
def stored(organisation_id: UUID, application_id: UUID) -> Response:
    """Back to the Access Keys, where the new pair is."""
    existing(organisation_id, application_id)
    form = Form(request.form)
    forget_secret(form)
    return _to("keys", organisation_id, application_id, form.typed.get("done", ""))


@pages.route("/<uuid:application_id>/keys/<uuid:credential_id>/revoke", methods=["GET", "POST"])
def revoke(organisation_id: UUID, application_id: UUID, credential_id: UUID) -> Response | str:
    """The dialog "Revoking the Key": now, after a grace period, or not at all."""
    existing(organisation_id, application_id)
    row = writable(organisation_id, credential_id)

    def act(form: Form) -> Response:
        action = form.choice("action", ACTIONS)
        if action == "keep":
            return _to("keys", organisation_id, application_id, "kept")
        grace = form.number("grace_seconds") if action == "later" else 0
        later = {"effective_at": (now() + timedelta(seconds=grace)).isoformat()} if grace else {}
        body = form.load(RevocationIn(), ("reason", "revocation_reason"), **later)
        carry_out(form, lambda: credential_commands.revoke(row, body, None))
        return _to("keys", organisation_id, application_id, "revoked_later" if later else "revoked")

    def show(form: Form) -> str:
        return render(
            "console/applications/revoke.html",
            form=form,
            key=outgoing.credential(row),
            actions=[(value, title, said, True) for value, (title, said) in ACTIONS.items()],
            graces=[(seconds, title) for seconds, title in GRACES.items() if seconds],
            reasons=[(reason.value, label(reason)) for reason in RevocationReason],
        )

    begin = Form.with_typed(grace_seconds=DAY, revocation_reason=RevocationReason.NO_LONGER_USED)
    return show(begin) if request.method == "GET" else attempt(show, act)


# --- changing an application -----------------------------------------------------------------------------------------


def _change(
    row: Mapping[str, Any],
    template: str,
    begin: Callable[[], Form],
    act: Callable[[Form], Response],
    **values: Any,
) -> Response | str:
    """A form about one application: shown as it begins, or done as it asks."""

    def show(form: Form) -> str:
        return render(template, form=form, app=documents.application(row), **values)

    return show(begin()) if request.method == "GET" else attempt(show, act)


@pages.route("/<uuid:application_id>/edit", methods=["GET", "POST"])
def edit(organisation_id: UUID, application_id: UUID) -> Response | str:
    """Its title and description."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, application_id)

    def act(form: Form) -> Response:
        body = form.load(ApplicationDescriptionIn(), ("title", "reason"), description=form.typed.get("description", ""))
        carry_out(form, lambda: application_commands.describe(row, body, form.version(row["version"])), represent)
        return _to("information", organisation_id, application_id, "described")

    def begin() -> Form:
        return Form.with_typed(title=row["title"], description=row["description"])

    return _change(row, "console/applications/edit.html", begin, act)


@pages.route("/<uuid:application_id>/apis/connect", methods=["GET", "POST"])
def connect(organisation_id: UUID, application_id: UUID) -> Response | str:
    """The APIs that it is connected to."""
    row = governable(organisation_id, application_id)

    def act(form: Form) -> Response:
        body = form.load(ApisIn(), ("reason",), apis=form.typed.getlist("apis"))
        carry_out(form, lambda: application_commands.connect(row, body, form.version(row["version"])), represent)
        return _to("apis", organisation_id, application_id, "apis_connected")

    def begin() -> Form:
        form = Form()
        form.typed.setlist("apis", list(row["apis"]))
        return form

    offered = services().catalogues.current(organisation_id).apis
    return _change(row, "console/applications/connect.html", begin, act, apis=offered)


@pages.route("/<uuid:application_id>/archive", methods=["GET", "POST"])
def archive(organisation_id: UUID, application_id: UUID) -> Response | str:
    """Its end, and that of all its keys."""
    row = governable(organisation_id, application_id)

    def act(form: Form) -> Response:
        body = form.load(Why(), ("reason",))
        carry_out(form, lambda: application_commands.archive(row, body, None), represent)
        return _to("information", organisation_id, application_id, "app_archived")

    return _change(row, "console/applications/archive.html", Form, act)


def _to(tab: str, organisation_id: UUID, application_id: UUID, done: str) -> Response:
    return go_to(
        f"console.applications.{tab}", organisation_id=organisation_id, application_id=application_id, done=done
    )
