"""Five companies that never were, each with a year of credentials as one of the five source systems manages them.

Tables say what there is and what becomes of it (`api/demo/lives.py`); the words are those of `api/demo/script.py`.
All of it is recorded in one commit, in the order in which it would have happened, so a ledger has it whole or not at
all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from random import Random
from typing import NamedTuple

from api.demo.lives import Fate, lead
from api.demo.script import YEAR_DAYS, Holding, Person, Script
from api.wiring import Services
from ledger.account import reason_of_closing
from ledger.application import reason_of_archiving
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.permissions import Api, Group, apis_of, groups_of
from ledger.secrets import DigestKeys, random_text
from ledger.settings import Settings
from ledger.values import AccessLevel, AccountKind, Action, Channel, Environment, Kind, Mode, Role, Via
from projections.usage import UsageRecorder


@dataclass(frozen=True, slots=True)
class Told:
    """An organisation's recorded story. `example` is a credential whose secret verifies, from anywhere."""

    script: Script
    example: Holding
    events: int


class Team(NamedTuple):
    """Who works at a company: one person for each role, and the gateway that asks."""

    administrator: Person
    engineer: Person
    developer: Person
    auditor: Person
    viewer: Person
    gateway: Person


def tell_all(services: Services, *, now: datetime, seed: int) -> Sequence[Told]:
    """Record all five stories, as they led up to `now`."""
    settings, digests = services.settings, services.keyring.digests
    told = [_told(story, digests, settings, now, seed) for story in STORIES]
    scripts = [script for script, _ in told]
    # In the order of time, whichever company it was; those of one moment stay in the order they were told in.
    commands = sorted(
        (command for script in scripts for command in script.commands), key=lambda command: command.context.at
    )
    receipts = services.ledger.handle_all(commands)
    usage = UsageRecorder(services.store, services.settings.usage_flush)
    for script in scripts:
        for use in script.uses:
            usage.note(use.credential_id, use.version, use.at)
    usage.flush()
    events = {script.organisation_id: 0 for script in scripts}
    for receipt in receipts:
        for recorded in receipt.recorded:
            if recorded.organisation_id is not None:
                events[recorded.organisation_id] += 1
    return [Told(script, example, events[script.organisation_id]) for script, example in told]


@dataclass(frozen=True, slots=True)
class Story:
    """A company and what happens there. `prefix` begins its tickets; `tell` returns the credential to try."""

    name: str
    prefix: str
    tell: Callable[[Script], Holding]


def _told(
    story: Story, digests: DigestKeys, settings: Settings, now: datetime, seed: int
) -> tuple[Script, Holding]:
    # Of its own, so that a change in one story leaves the others as they are. Fates, not secrets.
    draw = Random(f"{seed}/{story.name}")  # noqa: S311
    script = Script(digests, settings, now, draw, story.name, story.prefix)
    return script, story.tell(script)


# --- what the stories share ------------------------------------------------------------------------------------------


def _team(script: Script, administrator: str, engineer: str, developer: str, auditor: str, viewer: str) -> Team:
    """The people of the first weeks, and what becomes of their roles."""
    first = script.hire(YEAR_DAYS - 2, administrator, Role.ADMINISTRATOR, production=True)
    team = Team(
        first,
        script.hire(357, engineer, Role.OPERATOR, production=True, by=first),
        script.hire(356, developer, Role.OPERATOR, via=Via.API, by=first, why="builds integrations, no production"),
        script.hire(355, auditor, Role.AUDITOR, by=first, why="yearly audit"),
        script.hire(351, viewer, Role.VIEWER, by=first, why="support looks up keys"),
        script.hire(350, "api gateway", Role.VERIFIER, via=Via.API, by=first, why="gateway verifies every request"),
    )
    script.renew_token(170, first, team.gateway, "gateway token is half a year old")
    trainee = script.hire(260, "Noa Lindqvist", Role.VIEWER, by=first, why="trainee in the platform team")
    script.promote(200, first, trainee, Role.VIEWER, Role.OPERATOR, production=False, why="on call from now on")
    script.dismiss(60, first, trainee, "traineeship is over")
    return team


_Wording = Mapping[str, Sequence[str]]
"""The titles of entities by that of their group."""


def _groups(wording: _Wording, live_only: frozenset[str] = frozenset()) -> tuple[Group, ...]:
    """Groups whose entities can be viewed and edited, in both modes but for the scopes that are for live ones only."""
    return groups_of(
        {
            "name": _name(group),
            "title": group,
            "entities": [
                {
                    "name": _name(entity),
                    "title": entity,
                    "permissions": [
                        {
                            "action": action,
                            "title": f"{action.capitalize()} {entity.lower()}",
                            "modes": [Mode.LIVE] if f"{_name(entity)}:{action}" in live_only else list(Mode),
                        }
                        for action in Action
                    ],
                }
                for entity in entities
            ],
        }
        for group, entities in wording.items()
    )


def _name(title: str) -> str:
    return title.lower().replace(" ", "_")


# --- the Partner API of two events companies -------------------------------------------------------------------------

_PARTNER_GROUPS = _groups(
    {
        "Programme": ("Event", "Session", "Venue"),
        "Sales": ("Order", "Ticket", "Refund"),
        "Audience": ("Attendee", "Check in", "Badge"),
    },
    live_only=frozenset({"refund:edit"}),
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


def _festivals(script: Script) -> Holding:
    team = _team(script, "Mara Ellery", "Tobias Renn", "Priya Nair", "Henrik Dahl", "Lucia Ortega")
    return _partner_api(script, team, _FESTIVALS)


def _arena(script: Script) -> Holding:
    team = _team(script, "Grace Okafor", "Stefan Brandt", "Yuki Tanaka", "Ingrid Moe", "Paul Castel")
    return _partner_api(script, team, _ARENA)


def _partner_api(script: Script, team: Team, clients: Sequence[Client]) -> Holding:
    """OAuth clients, each for one integration; the example is the first of them that is used from anywhere."""
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


# --- a payments company's merchants ----------------------------------------------------------------------------------


class Key(NamedTuple):
    """One of a merchant's API keys: a preset or scopes of its own."""

    name: str
    mode: Mode
    grant: str
    ago: int
    fate: Fate
    description: str = ""


_MERCHANTS: Mapping[str, Sequence[Key]] = {
    "Harbour Coffee Roasters": (
        Key("Till", Mode.LIVE, "full_access", 330, Fate.KEPT, "All tills of the four shops."),
        Key("Till, trial", Mode.TEST, "full_access", 335, Fate.OVERDUE),
        Key("Bookkeeping", Mode.LIVE, "read_only", 321, Fate.KEPT),
        Key("Loyalty cards", Mode.LIVE, "customer:view customer:edit payment_transaction:view", 244, Fate.SUPERSEDED),
        Key("Subscription box", Mode.LIVE, "write", 166, Fate.UNUSED),
    ),
    "Atlas Bicycles": (
        Key("Web shop", Mode.LIVE, "full_access", 316, Fate.ROTATING),
        Key("Web shop, staging", Mode.TEST, "full_access", 319, Fate.KEPT),
        Key("Leasing partner", Mode.LIVE, "payment_request:view payment_request:edit", 272, Fate.LEAVING),
        Key("Statement download", Mode.LIVE, "payment_statement:view", 208, Fate.KEPT),
    ),
    "Juniper Books": (
        Key("Orders", Mode.LIVE, "write", 311, Fate.COMPROMISED),
        Key("Orders 2", Mode.LIVE, "write", 153, Fate.KEPT, "Replaces the key that was in the shop's repository."),
        Key("Orders, trial", Mode.TEST, "write", 312, Fate.IDLE),
        Key("Royalties", Mode.LIVE, "read_only", 187, Fate.REASSIGNED),
    ),
    "Meridian Hotels": (
        Key("Reservations", Mode.LIVE, "full_access", 305, Fate.KEPT),
        Key("Reservations, trial", Mode.TEST, "full_access", 307, Fate.KEPT),
        Key("Night audit", Mode.LIVE, "payment_statement:view payment_transaction:view", 295, Fate.OVERDUE),
        Key("Minibar", Mode.LIVE, "payment_transaction:edit", 224, Fate.RETIRED),
        Key("Group bookings", Mode.LIVE, "write", 131, Fate.SUSPENDED),
        Key("Revenue forecast", Mode.TEST, "read_only", 78, Fate.UNUSED),
    ),
    "Tern Ferries": (
        Key("Booking engine", Mode.LIVE, "full_access", 298, Fate.SUPERSEDED),
        Key("On-board shop", Mode.LIVE, "write", 239, Fate.KEPT),
        Key("On-board shop, trial", Mode.TEST, "write", 241, Fate.EXPIRED),
        Key("Travel agencies", Mode.LIVE, "payment_route:view payment_request:edit", 175, Fate.POLICY),
        Key("Freight invoices", Mode.LIVE, "read_only", 92, Fate.KEPT),
    ),
    "Saltmarsh Theatre": (
        Key("Box office", Mode.LIVE, "full_access", 213, Fate.KEPT),
        Key("Box office, trial", Mode.TEST, "full_access", 216, Fate.RESUMED),
        Key("Donations", Mode.LIVE, "customer:view payment_commit:edit", 127, Fate.OWNER_LEFT),
        Key("Season brochure", Mode.LIVE, "customer:view", 69, Fate.EXPIRING),
    ),
}


def _payments(script: Script) -> Holding:
    team = _team(script, "Aisha Rahman", "Jonas Weber", "Carla Mendes", "Owen Pryce", "Sofia Lind")
    script.offer(
        346, team.administrator, DEFAULT_CATALOGUE.groups, _PAYMENT_APIS, "merchant and payment scopes, with their APIs"
    )
    examples = []
    for number, (merchant, keys) in enumerate(_MERCHANTS.items()):
        first = max(key.ago for key in keys)
        mailbox = f"developers@{_name(merchant).replace('_', '-')}.example"
        account_id, _ = script.open(
            first + 5,
            team.administrator,
            merchant,
            AccountKind.MERCHANT,
            f"{merchant} signed",
            reference=f"M-{20_417 + 31 * number}",
        )
        for key in keys:
            preset = None if ":" in key.grant else key.grant
            examples.append(
                lead(
                    script,
                    key.ago,
                    team.engineer if key.mode is Mode.LIVE else team.developer,
                    key.fate,
                    f"API key for {merchant}",
                    kind=Kind.API_KEY,
                    mode=key.mode,
                    name=key.name,
                    description=key.description,
                    contact_email=mailbox,
                    labels={"merchant": merchant},
                    preset=preset,
                    scopes=None if preset else key.grant.split(),
                    account_id=account_id,
                )
            )
    return examples[0]


_PAYMENT_APIS = apis_of(
    [
        {
            "name": "payments",
            "title": "Payments",
            "description": "Take, confirm and refund payments.",
            "scopes": [
                f"payment_{entity}:{action}"
                for entity in ("route", "transaction", "commit", "request", "command", "scheme")
                for action in Action
            ],
        },
        {
            "name": "statements",
            "title": "Statements",
            "description": "What was paid out, and when.",
            "scopes": ["payment_statement:view", "currency_account:view"],
        },
        {
            "name": "merchants",
            "title": "Merchants",
            "description": "Customers and accounts of a merchant.",
            "scopes": [f"{entity}:{action}" for entity in ("customer", "merchant_account") for action in Action],
        },
    ],
    DEFAULT_CATALOGUE.groups,
)


# --- a messaging company's accounts ----------------------------------------------------------------------------------

_MESSAGING_GROUPS = _groups(
    {
        "Sending": ("Message", "Batch", "Template", "Sender"),
        "Reading": ("Delivery report", "Reply", "Contact"),
    }
)


class Login(NamedTuple):
    """One of an account's keys on a channel. A preset or scopes of its own; `chosen` has a password of its user's."""

    account: str
    channel: Channel
    login: str
    grant: str
    ago: int
    fate: Fate
    allowlist: tuple[str, ...] = ()
    mode: Mode = Mode.LIVE
    chosen: bool = False


_MASTERS = (  # name, reference, opened on, days ago that it was entered
    ("Northway Rail", "10017", date(2019, 3, 4), 342),
    ("Clearview Clinics", "10233", date(2022, 11, 21), 341),
    ("Oldgate Insurance", "10310", date(2023, 6, 5), 340),  # the last day of those that begin with channels
    ("Parcelpoint", "11002", date(2023, 6, 6), 339),  # and the first of those that do not
    ("Bluebird Schools", "11488", None, 233),
)
_SUBS = (("Northway Freight", "Northway Rail", 328), ("Oldgate Claims", "Oldgate Insurance", 290))

_LOGINS = (
    Login("Northway Rail", Channel.REST, "northway.departures", "full_access", 334, Fate.KEPT, ("192.0.2.64/26",)),
    Login("Northway Rail", Channel.REST, "northway.delays", "write", 286, Fate.KEPT),
    Login("Northway Rail", Channel.REST, "northway.reporting", "read_only", 201, Fate.OVERDUE),
    Login("Northway Rail", Channel.REST, "northway.sandbox", "full_access", 195, Fate.IDLE, mode=Mode.TEST),
    Login("Northway Freight", Channel.FTP, "northway-freight", "batch:edit delivery_report:view", 320, Fate.KEPT),
    Login("Northway Freight", Channel.REST, "freight.tracking", "message:edit", 206, Fate.SUPERSEDED),
    Login("Clearview Clinics", Channel.REST, "clearview.reminders", "write", 268, Fate.ROTATING, ("203.0.113.8/32",)),
    Login("Clearview Clinics", Channel.REST, "clearview.recall", "message:edit template:view", 159, Fate.REASSIGNED),
    Login("Oldgate Insurance", Channel.REST, "oldgate.quotes", "write", 281, Fate.KEPT),
    Login("Oldgate Claims", Channel.HTTP, "oldgate.claims", "message:edit reply:view", 275, Fate.KEPT),
    Login("Oldgate Claims", Channel.EMAIL, "claims@oldgate.example", "message:edit", 264, Fate.KEPT),
    Login("Parcelpoint", Channel.REST, "parcelpoint.live", "full_access", 331, Fate.KEPT),
    Login("Parcelpoint", Channel.REST, "parcelpoint.test", "full_access", 330, Fate.OVERDUE, mode=Mode.TEST),
    Login("Parcelpoint", Channel.WEB_SERVICE, "parcelpoint.soap", "write", 315, Fate.RETIRED),
    Login("Parcelpoint", Channel.HTTP, "parcelpoint.http", "message:edit", 302, Fate.COMPROMISED),
    Login("Parcelpoint", Channel.FTP, "parcelpoint.nightly", "batch:view batch:edit", 178, Fate.UNUSED, chosen=True),
    Login("Bluebird Schools", Channel.EMAIL, "office@bluebird.example", "message:edit", 227, Fate.KEPT, chosen=True),
    Login("Bluebird Schools", Channel.REST, "bluebird.register", "message:edit contact:view", 219, Fate.SUSPENDED),
    Login("Bluebird Schools", Channel.REST, "bluebird.trips", "message:edit", 101, Fate.EXPIRING),
)


def _messaging(script: Script) -> Holding:
    team = _team(script, "Daniel Osei", "Hanna Virtanen", "Marco Bellini", "Ruth Adler", "Leila Haddad")
    script.offer(349, team.administrator, _MESSAGING_GROUPS, (), "what keys of the five channels may do")
    accounts = {}
    for name, reference, opened_on, ago in _MASTERS:
        accounts[name], defaults = script.open(
            ago,
            team.administrator,
            name,
            AccountKind.MASTER,
            "moved here from the old portal" if opened_on else "signed up",
            reference=reference,
            opened_on=opened_on,
        )
        _take_over(script, team, name, defaults, ago)
    for name, master, ago in _SUBS:
        accounts[name], _ = script.open(
            ago, team.administrator, name, AccountKind.SUB, f"own channels, billed to {master}", parent_id=accounts[master]
        )
    lives = [_login(script, team, login, accounts) for login in _LOGINS]
    _tidewater(script, team)
    return lives[1]


def _take_over(script: Script, team: Team, account: str, defaults: Sequence[Holding], ago: int) -> None:
    """What becomes of the logins that an old account begins with: most are taken into use, one after the other."""
    mailbox = f"it@{_name(account).replace('_', '-')}.example"
    for number, login in enumerate(defaults):
        script.assign(ago - 8 - number, team.engineer, login, mailbox, f"{account} names its contact")
        match number:
            case 0:
                new = f"{account.split()[0].lower()}.files"
                script.rotate(ago - 30, team.engineer, login, "login and secret as the customer asked", login=new)
                script.use(login, script.day(40))
            case 1:
                script.allow(ago - 45, team.engineer, login, ["198.51.100.128/25"], "customer calls from one network")
                script.use_today(login)
            case _ if script.draw.random() < 0.5:
                script.use(login, script.day(script.draw.randrange(100, 200)))


def _login(script: Script, team: Team, login: Login, accounts: Mapping[str, object]) -> Holding:
    raise NotImplementedError
