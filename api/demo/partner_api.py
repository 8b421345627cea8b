"""Two events companies and their Partner API: OAuth clients, each for one integration."""

from collections.abc import Sequence
from typing import NamedTuple

from api.demo.company import Team, groups, hire_team
from api.demo.lives import Fate, lead
from api.demo.script import Holding, Script
from ledger.values import AccessLevel, Environment, Kind

_PARTNER_GROUPS = groups(
    {
        "Programme": ("Event", "Session", "Venue"),
        "Sales": ("Order", "Ticket", "Refund"),
        "Audience": ("Attendee", "Check in", "Badge"),
    },
    live_only=("refund:edit",),
)


class Client(NamedTuple):
    """A line of a Partner API's list. No scopes means full access."""

    name: str
    mailbox: str
    ago: int
    fate: Fate
    scopes: str = ""
    environment: Environment = Environment.PRODUCTION
    allowlist: tuple[str, ...] = ()


_SALES = "event:view order:view ticket:view"
_DOOR = "event:view attendee:view check_in:view check_in:edit"

_FESTIVALS = (
    Client("Ticket shop", "shop-team", 340, Fate.KEPT),
    Client("Ticket shop, staging", "shop-team", 338, Fate.KEPT, environment=Environment.STAGING),
    Client("Accounting export", "finance-it", 332, Fate.OVERDUE, _SALES + " refund:view", allowlist=("192.0.2.16/28",)),
    Client("CRM sync", "crm", 325, Fate.REASSIGNED, "attendee:view order:view"),
    Client("Newsletter segments", "marketing", 318, Fate.IDLE, "attendee:view event:view"),
    Client("Box office terminals", "operations", 310, Fate.SUPERSEDED, _SALES + " ticket:edit order:edit"),
    Client("Wristband printer", "operations", 301, Fate.KEPT, "attendee:view badge:view badge:edit"),
    Client("Artist portal", "booking", 290, Fate.OWNER_LEFT, "event:view session:view session:edit"),
    Client("Sponsor dashboard", "partners", 283, Fate.KEPT, "event:view attendee:view"),
    Client("Refund desk", "finance-it", 270, Fate.ROTATING, "order:view refund:view refund:edit"),
    Client("Mobile app, development", "app-team", 262, Fate.UNUSED, environment=Environment.DEVELOPMENT),
    Client("Mobile app, staging", "app-team", 255, Fate.KEPT, _DOOR, Environment.STAGING),
    Client("Mobile app", "app-team", 248, Fate.COMPROMISED, _DOOR),
    Client("Mobile app 2", "app-team", 123, Fate.KEPT, _DOOR),
    Client("Camping add-ons", "shop-team", 221, Fate.RETIRED, "order:view order:edit"),
    Client("Volunteer rota", "people", 214, Fate.KEPT, "session:view attendee:view"),
    Client("Data warehouse", "data", 205, Fate.KEPT, "event:view session:view order:view ticket:view attendee:view"),
    Client("Tax adviser", "finance-it", 190, Fate.EXPIRED, "order:view refund:view"),
    Client("Agency reporting", "marketing", 172, Fate.LEAVING, "event:view order:view"),
    Client("Accreditation", "press", 150, Fate.ERASED, "attendee:view attendee:edit"),
    Client("Seat map", "shop-team", 141, Fate.RESUMED, "venue:view ticket:view"),
    Client("Chatbot", "support", 117, Fate.SUSPENDED, "event:view session:view"),
    Client("Weather alerts", "operations", 95, Fate.UNUSED, "event:view"),
    Client("Shared test key", "developers", 88, Fate.POLICY, environment=Environment.STAGING),
    Client("Summer pop-up shop", "shop-team", 64, Fate.EXPIRING, _SALES),
    Client("Lost and found", "support", 47, Fate.KEPT, "attendee:view"),
)

_ARENA = (
    Client("Season ticket portal", "web", 344, Fate.SUPERSEDED),
    Client("Season ticket portal, staging", "web", 343, Fate.KEPT, environment=Environment.STAGING),
    Client("Entrance displays", "facility", 336, Fate.KEPT, "event:view session:view", allowlist=("203.0.113.0/26",)),
    Client("Catering forecast", "catering", 329, Fate.KEPT, "event:view ticket:view"),
    Client("Parking partner", "parking", 322, Fate.OVERDUE, "event:view order:view"),
    Client("Resale market", "partners", 305, Fate.COMPROMISED, "ticket:view ticket:edit order:view"),
    Client("Resale market 2", "partners", 151, Fate.KEPT, "ticket:view ticket:edit order:view"),
    Client("Broadcaster feed", "media", 296, Fate.KEPT, "event:view session:view venue:view"),
    Client("Hospitality suites", "hospitality", 284, Fate.ROTATING, "order:view order:edit attendee:view"),
    Client("Fan club", "web", 277, Fate.SUPERSEDED, "attendee:view ticket:view"),
    Client("Police liaison", "security", 266, Fate.RETIRED, "event:view"),
    Client("Merchandise stands", "retail", 251, Fate.KEPT, "event:view order:view"),
    Client("Merchandise stands, development", "retail", 250, Fate.IDLE, environment=Environment.DEVELOPMENT),
    Client("Old intranet", "it", 243, Fate.OWNER_LEFT),
    Client("Turnstile analytics", "data", 230, Fate.KEPT, "check_in:view ticket:view"),
    Client("City tourism board", "partners", 198, Fate.LEAVING, "event:view venue:view"),
    Client("School programme", "community", 183, Fate.EXPIRED, "event:view ticket:view"),
    Client("Invoice robot", "finance", 168, Fate.SUPERSEDED, "order:view refund:view", allowlist=("198.51.100.64/27",)),
    Client("Ushers' rota", "people", 149, Fate.REASSIGNED, "session:view"),
    Client("Away fans' club", "partners", 132, Fate.SUSPENDED, "ticket:view attendee:view"),
    Client("Concert promoter", "booking", 104, Fate.UNUSED, "event:view order:view"),
    Client("Roof sensors", "facility", 81, Fate.KEPT, "event:view"),
    Client("Accessibility desk", "support", 53, Fate.KEPT, "attendee:view ticket:view ticket:edit"),
)


def festivals(script: Script) -> Holding:
    """A company that runs festivals and is well integrated."""
    team = hire_team(script, "Mara Ellery", "Tobias Renn", "Priya Nair", "Henrik Dahl", "Lucia Ortega")
    return _partner_api(script, team, _FESTIVALS)


def arena(script: Script) -> Holding:
    """One that runs an arena, and replaces what it integrated when it began."""
    team = hire_team(script, "Grace Okafor", "Stefan Brandt", "Yuki Tanaka", "Ingrid Moe", "Paul Castel")
    return _partner_api(script, team, _ARENA)


def _partner_api(script: Script, team: Team, clients: Sequence[Client]) -> Holding:
    script.offer(348, team.administrator, _PARTNER_GROUPS, (), "scopes of the Partner API as published")
    lives = []
    for client in clients:
        production = client.environment is Environment.PRODUCTION
        lives.append(
            lead(
                script,
                client.ago,
                team.engineer if production else team.developer,
                client.fate,
                f"credentials for {client.name}",
                kind=Kind.OAUTH_CLIENT,
                name=client.name,
                environment=client.environment,
                contact_email=f"{client.mailbox}@{script.domain}",
                labels={"integration": client.name.partition(",")[0], "owner": client.mailbox},
                access_level=AccessLevel.FINE_GRAINED if client.scopes else AccessLevel.FULL,
                scopes=client.scopes.split() or None,
                allowlist=client.allowlist,
            )
        )
    return lives[0]
