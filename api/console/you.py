"""Whoever is signed in, as they are known here: their roles, their grant and their token."""

from flask import Blueprint

from api import documents, operator_commands
from api.auth import caller, sees_hints_of_tokens
from api.console.operators import ROLES
from api.console.organisations import names_of_organisations
from api.console.rendering import render

pages = Blueprint("you", __name__)


@pages.get("/you", defaults={"organisation_id": None})
@pages.get("/organisations/<uuid:organisation_id>/you")
def page(**_: object) -> str:
    """What you may do here, and your own token, which everyone may rotate."""
    found = caller()
    you = documents.operator(operator_commands.seen(found.operator_id))
    sees_hints_of_tokens(you["organisation_id"])
    return render(
        "console/you.html",
        you=you,
        roles={role: told for role, told in ROLES.items() if role in found.roles},
        organisations=names_of_organisations([found.organisation_id]),
    )
