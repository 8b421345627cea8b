"""The forms in which a credential is created, for every page that offers one.

Partner API's asks for an access level. The others ask for a preset, which sets every group of permissions at once; what
a group is called then (Read-only, Custom) is told by `Catalogue.labels`, and by a script as soon as a permission is
switched.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import Schema, fields, validate

from api import credential_commands
from api.console.forms import Form, carry_out, in_utc, show_secret
from api.console.rendering import may, render
from api.incoming import services
from api.schemas.credentials import CredentialIn
from ledger.catalogue import CUSTOM, PRESETS, Catalogue, Labels
from ledger.errors import InvalidValue
from ledger.values import AccessLevel, Mode

ASKED = ("contact_email", "name", "mode", "access_level", "reason")


class OwnedCredentialIn(CredentialIn):
    """What the form asks: somebody must answer for the credential."""

    contact_email = fields.String(required=True, validate=validate.Length(max=254))


def blank() -> Form:
    """The form as it is offered: the narrower access, and live where the operator may."""
    form = Form()
    form.typed["mode"] = Mode.LIVE.value if may("write", Mode.LIVE) else Mode.TEST.value
    form.typed["access_level"] = AccessLevel.FINE_GRAINED.value
    return form


def like(row: Mapping[str, Any]) -> Form:
    """The form filled in as a credential is, for its successor."""
    form = Form()
    for name in ("contact_email", "name", "mode", "access_level"):
        form.typed[name] = row[name] or ""
    form.typed.setlist("scopes", list(row["scopes"]))
    return form


def show(organisation_id: UUID, form: Form, **values: Any) -> str:
    """The form, with what the organisation's catalogue offers."""
    catalogue = services().catalogues.current(organisation_id)
    return render("console/creating/create.html", form=form, groups=catalogue.groups, **values)


def create(organisation_id: UUID, form: Form, **given: Any) -> Response:
    """Create what the form asks for. `given` is what it does not ask, as `CredentialIn` takes it."""
    if form.typed.get("access_level") == AccessLevel.FINE_GRAINED:
        given["scopes"] = form.typed.getlist("scopes")
    body = form.load(OwnedCredentialIn(), [name for name in ASKED if name not in given], **given, **expiry(form))
    carried = carry_out(form, lambda: credential_commands.create(organisation_id, body))
    return show_secret(carried, form, done="created")


def expiry(form: Form) -> dict[str, str]:
    """When it ends by itself, if that was typed."""
    typed = form.typed.get("expires_at", "").strip()
    return {"expires_at": in_utc(typed)} if typed else {}


# --- with presets ----------------------------------------------------------------------------------------------------


class KeyIn(CredentialIn):
    """What the forms with presets ask: which of the two types it has, its permissions being that type's."""

    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))


def show_with_presets(template: str, organisation_id: UUID, form: Form, **values: Any) -> str:
    """A form with presets. What is chosen in it is called by its name, for each group."""
    catalogue = services().catalogues.current(organisation_id)
    labels = _labels(catalogue, form)
    return render(template, form=form, groups=catalogue.groups, presets=PRESETS, labels=labels, **values)


def create_with_presets(
    organisation_id: UUID, form: Form, schema: Schema, heading: str, more: Sequence[str] = (), **given: Any
) -> Response:
    """Create what a form with presets asks for. `more` are fields beside those that all of them have, and `given` is
    what it does not ask.
    """
    names = ("mode", "name", "description", "contact_email", "reason", *more)
    granted = _granted(services().catalogues.current(organisation_id), form)
    body = form.load(schema, names, **given, **granted, **expiry(form))
    carried = carry_out(form, lambda: credential_commands.create(organisation_id, body))
    return show_secret(carried, form, done="created", heading=heading)


def _granted(catalogue: Catalogue, form: Form) -> dict[str, Any]:
    """The permissions that are switched on or, where none is, a preset. With a script the two always agree; without
    one they may not, and then nothing is guessed.
    """
    chosen = form.typed.getlist("scopes")
    preset = form.choice("preset", (CUSTOM, *PRESETS)) if "preset" in form.typed else CUSTOM
    if not chosen and preset != CUSTOM:
        return {"preset": preset}
    labels = _labels(catalogue, form)
    if labels is not None and preset not in (CUSTOM, labels.preset):
        reason = "what is switched on is not what the preset stands for: look at how the groups are called now"
        raise InvalidValue("scopes", reason, "contradiction")
    return {"scopes": chosen}


def _labels(catalogue: Catalogue, form: Form) -> Labels | None:
    """What the permissions that are switched on are called; None before any is, or before the type is chosen."""
    mode, chosen = form.typed.get("mode", ""), form.typed.getlist("scopes")
    return catalogue.labels(Mode(mode), chosen) if chosen and mode in list(Mode) else None
