"""A payments company: its merchants' API keys, live and test, by preset or with scopes of their own."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from api.demo.company import hire_team, mailbox, slug
from api.demo.lives import Fate, lead
from api.demo.script import Holding, Script
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.permissions import apis_of
from ledger.values import AccountKind, Action, Kind, Mode


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


def payments(script: Script) -> Holding:
    """Merchants sign one after the other, and get keys for what they run."""
    team = hire_team(script, "Aisha Rahman", "Jonas Weber", "Carla Mendes", "Owen Pryce", "Sofia Lind")
    first = team.administrator
    script.offer(346, first, DEFAULT_CATALOGUE.groups, _PAYMENT_APIS, "merchant and payment scopes, with their APIs")
    lives = []
    for number, (merchant, keys) in enumerate(_MERCHANTS.items()):
        signed = max(key.ago for key in keys) + 5
        reference = f"M-{20_417 + 31 * number}"
        why = f"{merchant} signed"
        account_id, _ = script.open(signed, first, merchant, AccountKind.MERCHANT, why, reference=reference)
        for key in keys:
            preset = None if ":" in key.grant else key.grant
            lives.append(
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
                    contact_email=mailbox("developers", merchant),
                    labels={"merchant": slug(merchant)},
                    preset=preset,
                    scopes=None if preset else key.grant.split(),
                    account_id=account_id,
                )
            )
    return lives[0]
