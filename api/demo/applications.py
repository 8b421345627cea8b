"""A retailer: applications connected to its APIs, with key pairs for each environment."""

from collections.abc import Sequence
from typing import NamedTuple

from api.demo.company import Team, groups, hire_team, mailbox
from api.demo.lives import Fate, lead
from api.demo.script import App, Holding, Script
from ledger.permissions import apis_of
from ledger.values import Action, Environment, Kind

_DEVELOPMENT, _STAGING, _PRODUCTION = Environment.DEVELOPMENT, Environment.STAGING, Environment.PRODUCTION

_RETAIL_GROUPS = groups(
    {
        "Catalogue": ("Product", "Price", "Stock"),
        "Trade": ("Order", "Return", "Shipment"),
        "Customers": ("Customer", "Voucher"),
    }
)

_RETAIL_APIS = apis_of(
    [
        {
            "name": name,
            "title": title,
            "description": description,
            "scopes": [f"{entity}:{action}" for entity in entities for action in Action],
        }
        for name, title, description, entities in (
            ("products", "Products", "What is sold, and for how much.", ("product", "price")),
            ("stock", "Stock", "What is where.", ("stock",)),
            ("orders", "Orders", "From the basket to the door.", ("order", "shipment")),
            ("returns", "Returns", "And back again.", ("return",)),
            ("loyalty", "Loyalty", "Customers and their vouchers.", ("customer", "voucher")),
        )
    ],
    _RETAIL_GROUPS,
)


class Pair(NamedTuple):
    """One of an application's key pairs: a preset or scopes of its own."""

    environment: Environment
    ago: int
    fate: Fate
    grant: str = "full_access"


class Application(NamedTuple):
    """A card of the grid. `partner` runs it and answers for its keys."""

    title: str
    description: str
    partner: str
    apis: str
    pairs: Sequence[Pair]


_APPLICATIONS = (
    Application(
        "Web shop",
        "The shop itself: products, baskets, orders.",
        "Northlight Studio",
        "products stock orders returns loyalty",
        (
            Pair(_PRODUCTION, 336, Fate.KEPT),
            Pair(_STAGING, 340, Fate.KEPT),
            Pair(_DEVELOPMENT, 341, Fate.OVERDUE),
            Pair(_DEVELOPMENT, 140, Fate.UNUSED),
            Pair(_PRODUCTION, 301, Fate.KEPT, "product:view price:view stock:view"),
        ),
    ),
    Application(
        "Store tills",
        "Prices and stock on the tills of 41 stores.",
        "Tillworks",
        "products stock orders",
        (
            Pair(_PRODUCTION, 320, Fate.SUPERSEDED),
            Pair(_STAGING, 324, Fate.KEPT),
            Pair(_DEVELOPMENT, 325, Fate.IDLE),
            Pair(_PRODUCTION, 112, Fate.ROTATING, "read_only"),
        ),
    ),
    Application(
        "Parcel tracking",
        "Tells customers where their parcel is.",
        "Swiftpost",
        "orders",
        (
            Pair(_PRODUCTION, 290, Fate.KEPT, "order:view shipment:view shipment:edit"),
            Pair(_STAGING, 294, Fate.RESUMED),
            Pair(_PRODUCTION, 208, Fate.COMPROMISED, "shipment:view"),
        ),
    ),
    Application(
        "Loyalty app",
        "The app with the stamps.",
        "Pocketful Apps",
        "loyalty orders",
        (
            Pair(_PRODUCTION, 262, Fate.KEPT, "write"),
            Pair(_STAGING, 266, Fate.REASSIGNED),
            Pair(_DEVELOPMENT, 268, Fate.OWNER_LEFT),
            Pair(_DEVELOPMENT, 97, Fate.KEPT),
        ),
    ),
    Application(
        "Marketplace feed",
        "Offers on three marketplaces.",
        "Feedline",
        "products stock",
        (
            Pair(_PRODUCTION, 231, Fate.OVERDUE, "read_only"),
            Pair(_STAGING, 236, Fate.EXPIRED, "read_only"),
            Pair(_PRODUCTION, 152, Fate.LEAVING, "stock:view"),
        ),
    ),
    Application(
        "Returns desk",
        "Labels, refunds and restocking.",
        "Tillworks",
        "returns orders stock",
        (
            Pair(_PRODUCTION, 187, Fate.SUSPENDED),
            Pair(_STAGING, 191, Fate.POLICY),
            Pair(_DEVELOPMENT, 192, Fate.KEPT),
        ),
    ),
    Application(
        "Gift finder",
        "A campaign for the season.",
        "Northlight Studio",
        "products",
        (
            Pair(_PRODUCTION, 71, Fate.EXPIRING, "read_only"),
            Pair(_STAGING, 76, Fate.KEPT, "read_only"),
        ),
    ),
)


def retailer(script: Script) -> Holding:
    """Applications come one after the other; one is narrowed, one is given up."""
    team = hire_team(script, "Elena Petrova", "Samuel Adeyemi", "Mei Lin", "Robert Lang", "Anouk Visser")
    script.offer(347, team.administrator, _RETAIL_GROUPS, _RETAIL_APIS, "APIs that applications connect to")
    lives = []
    for application in _APPLICATIONS:
        app = _register(script, team, application)
        lives += [_generate(script, team, application, app, pair) for pair in application.pairs]
        if application.title == "Store tills":
            script.connect(90, team.administrator, app, ["products", "stock"], "tills no longer place orders")
    _pilot(script, team)
    return lives[0]


def _register(script: Script, team: Team, application: Application) -> App:
    began = max(pair.ago for pair in application.pairs) + 4
    why = f"{application.partner} builds it"
    return script.register(
        began, team.engineer, application.title, application.description, application.apis.split(), why
    )


def _generate(script: Script, team: Team, application: Application, app: App, pair: Pair) -> Holding:
    preset = None if ":" in pair.grant else pair.grant
    return lead(
        script,
        pair.ago,
        team.engineer if pair.environment is _PRODUCTION else team.developer,
        pair.fate,
        f"{pair.environment} keys for {application.title}",
        kind=Kind.KEY_PAIR,
        app=app,
        environment=pair.environment,
        name=f"{application.title}, {pair.environment}",
        contact_email=mailbox("api", application.partner),
        preset=preset,
        scopes=None if preset else pair.grant.split(),
    )


def _pilot(script: Script, team: Team) -> None:
    """An application that was tried out, and given up with its keys."""
    pilot = Application("Voice ordering", "A pilot with a speaker in the kitchen.", "Earshot", "products orders", ())
    app = script.register(255, team.engineer, pilot.title, pilot.description, pilot.apis.split(), "pilot of 90 days")
    pairs = [
        script.issue(
            250,
            team.developer,
            f"{environment} keys for {pilot.title}",
            kind=Kind.KEY_PAIR,
            app=app,
            environment=environment,
            name=f"{pilot.title}, {environment}",
            contact_email=mailbox("api", pilot.partner),
            preset="write",
        )
        for environment in (_DEVELOPMENT, _STAGING)
    ]
    for pair in pairs:
        script.use(pair, script.day(180))
    script.archive(160, team.administrator, app, "pilot is over, nobody spoke to it", pairs)
