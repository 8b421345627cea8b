"""What the companies of the demo have in common: people for each role, addresses, and catalogues of one shape."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from api.demo.script import YEAR_DAYS, Person, Script
from ledger.commands import ChangeOperatorRoles, RemoveOperator
from ledger.permissions import Group, groups_of
from ledger.values import Action, Mode, Role, Via


class Team(NamedTuple):
    """Who creates credentials at a company. The developer has no access to production."""

    administrator: Person
    engineer: Person
    developer: Person


def hire_team(script: Script, administrator: str, engineer: str, developer: str, auditor: str, viewer: str) -> Team:
    """People of the first weeks, one for each role, and the gateway that asks; then a trainee who comes and goes."""
    first = script.hire(YEAR_DAYS - 3, None, administrator, Role.ADMINISTRATOR, production=True)
    team = Team(
        first,
        script.hire(357, first, engineer, Role.OPERATOR, production=True),
        script.hire(356, first, developer, Role.OPERATOR, via=Via.API, why="builds integrations, no production"),
    )
    script.hire(355, first, auditor, Role.AUDITOR, why="yearly audit")
    script.hire(351, first, viewer, Role.VIEWER, why="support looks up keys")
    gateway = script.hire(350, first, "api gateway", Role.VERIFIER, via=Via.API, why="gateway verifies every request")
    script.renew_token(170, first, gateway, "gateway token is half a year old")
    trainee = script.hire(260, first, "Noa Lindqvist", Role.VIEWER, why="trainee in the platform team")
    script.note(
        ChangeOperatorRoles(
            context=script.context(200, first, "on call from now on"),
            operator_id=trainee.id,
            roles=frozenset({Role.VIEWER, Role.OPERATOR}),
            production=False,
        ),
        RemoveOperator(context=script.context(60, first, "traineeship is over"), operator_id=trainee.id),
    )
    return team


def slug(title: str) -> str:
    """A title as part of an address or a label."""
    return title.lower().replace(" ", "-")


def mailbox(whose: str, customer: str) -> str:
    """A mailbox at a customer's, where no mail arrives (RFC 2606)."""
    return f"{whose}@{slug(customer)}.example"


def groups(wording: Mapping[str, Sequence[str]], live_only: Sequence[str] = ()) -> tuple[Group, ...]:
    """Groups by title, with the titles of entities to view and edit, in both modes where they are not `live_only`."""

    def name(title: str) -> str:
        return title.lower().replace(" ", "_")

    return groups_of(
        {
            "name": name(group),
            "title": group,
            "entities": [
                {
                    "name": name(entity),
                    "title": entity,
                    "permissions": [
                        {
                            "action": action,
                            "title": f"{action.capitalize()} {entity.lower()}",
                            "modes": [Mode.LIVE] if f"{name(entity)}:{action}" in live_only else list(Mode),
                        }
                        for action in Action
                    ],
                }
                for entity in entities
            ],
        }
        for group, entities in wording.items()
    )
