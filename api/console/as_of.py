"""A credential as it was: at a day and hour of the past, or at a version of its history."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from marshmallow import ValidationError

from api import outgoing, past
from api.auth import READS_HISTORY, allow
from api.console.forms import Form, asked
from api.console.rendering import render
from api.credentials import existing
from api.schemas import AsOfQuery
from ledger.errors import InvalidValue, NotFound

pages = Blueprint(
    "as_of", __name__, url_prefix="/organisations/<uuid:organisation_id>/credentials/<uuid:credential_id>/as-of"
)

# What of a credential is told of the past, in the order in which it reads.
TOLD = (
    "status",
    "name",
    "description",
    "contact_email",
    "scopes",
    "allowlist",
    "labels",
    "secrets",
    "rotated_at",
    "rotation_due_at",
    "expires_at",
    "revoked_at",
    "version",
)


@pages.get("")
def page(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """What it was then beside what it is, and what differs."""
    allow(READS_HISTORY, organisation_id)
    row = existing(organisation_id, credential_id)
    form = Form(request.args)
    then: Mapping[str, Any] | None = None
    status = 200
    try:
        if query := asked():
            then = past.read_then(AsOfQuery().load(query), organisation_id, credential_id, "credential")
    except (InvalidValue, NotFound, ValidationError) as error:
        status = form.refuse(error)
    now = outgoing.credential(row)
    changed = set() if then is None else {name for name in TOLD if _plain(then[name]) != _plain(now[name])}
    shown = render("console/as_of/page.html", form=form, credential=now, then=then, told=TOLD, changed=changed)
    return Response(shown, status, mimetype="text/html")


def _plain(value: object) -> object:
    """A list is no other for being a tuple, as those of the past are, and a secret none for having been used since,
    which the past does not know.
    """
    if not isinstance(value, list | tuple):
        return value
    return [one | {"last_used_at": None} if isinstance(one, dict) else one for one in value]
