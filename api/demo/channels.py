"""A messaging company: master accounts and subs, each with logins on five channels."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from api.demo.company import Team, groups, hire_team, mailbox, slug
from api.demo.lives import Fate, befall, lead
from api.demo.script import Holding, Person, Script
from ledger.commands import SetAllowlist
from ledger.secrets import random_text
from ledger.values import AccountKind, Channel, Kind, Mode, networks

_MESSAGING_GROUPS = groups(
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

# What becomes of the four logins that an account of before begins with.
_FATES_OF_DEFAULTS = (Fate.KEPT, Fate.KEPT, Fate.IDLE, Fate.UNUSED)


def messaging(script: Script) -> Holding:
    """Accounts move here from an older portal, or sign up; one ends."""
    team = hire_team(script, "Daniel Osei", "Hanna Virtanen", "Marco Bellini", "Ruth Adler", "Leila Haddad")
    first = team.administrator
    script.offer(349, first, _MESSAGING_GROUPS, (), "what keys of the five channels may do")
    accounts = dict[str, UUID]()
    for name, reference, opened_on, ago in _MASTERS:
        why = "moved here from the old portal" if opened_on else "signed up"
        accounts[name], defaults = script.open(
            ago, first, name, AccountKind.MASTER, why, reference=reference, opened_on=opened_on
        )
        if defaults:
            own = f"{slug(name)}.files"
            script.rotate(ago - 30, team.engineer, defaults[0], "login and secret as the customer asked", login=own)
        for login, fate in zip(defaults, _FATES_OF_DEFAULTS, strict=False):  # later accounts begin with none
            befall(script, ago, team.engineer, fate, login)
    for name, master, ago in _SUBS:
        why = f"own channels, billed to {master}"
        accounts[name], _ = script.open(ago, first, name, AccountKind.SUB, why, parent_id=accounts[master])
    lives = [_lead(script, team, login, accounts[login.account]) for login in _LOGINS]
    _tidewater(script, first)
    return lives[1]


def _lead(script: Script, team: Team, login: Login, account_id: UUID) -> Holding:
    preset = None if ":" in login.grant else login.grant
    return lead(
        script,
        login.ago,
        team.engineer if login.mode is Mode.LIVE else team.developer,
        login.fate,
        f"{login.channel} login for {login.account}",
        kind=Kind.CHANNEL_LOGIN,
        mode=login.mode,
        channel=login.channel,
        login=login.login,
        chosen_secret=random_text(20) if login.chosen else None,
        contact_email=mailbox("it", login.account),
        preset=preset,
        scopes=None if preset else login.grant.split(),
        allowlist=login.allowlist,
        account_id=account_id,
    )


def _tidewater(script: Script, by: Person) -> None:
    """A customer that moved here, moved its logins to networks of its own, and left."""
    account_id, logins = script.open(
        300, by, "Tidewater Cruises", AccountKind.MASTER, "moved here from the old portal", opened_on=date(2020, 9, 14)
    )
    for login in logins:
        context = script.context(290, by, "customer calls from one network")
        script.note(SetAllowlist(context=context, credential_id=login.id, networks=networks(["198.51.100.128/25"])))
        script.use(login, script.day(55))
    script.close(45, by, account_id, "contract ended", logins)
