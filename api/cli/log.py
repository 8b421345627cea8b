"""`keyledger log`: the provable log's own matters. `keyledger audit` is for whoever checks it."""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from api import documents
from api.cli import options
from api.cli.output import print_facts, print_json
from api.cli.session import Session, open_ledger
from api.sealing import issue_sealing_key
from api.telling import moment
from api.witnesses import ALARMING, witness_policy
from ledger.commands import DeclareRestore
from ledger.errors import NothingChanged, NotSealedYet
from ledger.sealed_log import SealedLog
from ledger.settings import SettingsError
from ledger.tlog import checkpoints
from projections.sealed import attested
from projections.sealed.memory import SignerMemory
from projections.sealed.reading import find_tree
from projections.sealed.sealer import delay, sealed_log
from projections.sealed.signing import NotAsSealed, Signer, SignerRefuses
from projections.sealed.trees import ROOT, Connection

OVERLAP = "30d"  # a new key has to reach auditors and witnesses before the one before it stops signing


@click.group()
def log() -> None:
    """Look after the provable log: its keys, how far it is sealed, restores of the database."""


@log.command()
@options.as_json
def status(json: bool) -> None:
    """Tell how far events are sealed and witnessed, and whether the signer finds what it signed.

    Exits with 1 where it does not (nothing is signed then until it is looked into), where a witness was shown another
    history, and where a quorum of witnesses is missing for longer than it may be.
    """
    with open_ledger() as session:
        state, behind = _state(session), delay(session.services.store)
        refusals = _refusals(session, state)
        with session.services.store.connect() as connection:
            root = find_tree(connection, ROOT)
            witnessed, alarms = _witnessed(session, connection, state)
    document = documents.sealed_log(state) | {
        "sealed_position": behind.position,
        "head": behind.head,
        "seconds_behind": round(behind.seconds_behind, 3),
        "root_size": 0 if root is None else root.signed_size,
        "signed_at": None if root is None else root.signed_at,
        "refusals": [str(refusal) for refusal in refusals],
        **witnessed,
        "alarms": alarms,
    }
    if json:
        print_json(document)
    else:
        print_facts(
            [
                ("name", state.base),
                ("sealed", f"{behind.position} of {behind.head} events"),
                ("behind", f"{behind.seconds_behind:.1f} s"),
                ("root log", f"{document['root_size']} heads"),
                ("last signed", document["signed_at"]),
                ("keys", ", ".join(key.kid for key in state.keys if _signs(key.expires_at))),
                ("witnessed", _told(witnessed)),
                ("last timestamp", witnessed["stamped_at"] or "none"),
                *(("not signed", refusal) for refusal in refusals),
                *(("alarm", alarm) for alarm in alarms),
            ]
        )
    if refusals or alarms:
        raise SystemExit(1)


@log.command("rotate-key")
@click.option(
    "--overlap",
    type=options.Duration(),
    default=OVERLAP,
    show_default=True,
    help="How long the key before signs as well; 0 after a compromise.",
)
@options.reason
@options.as_json
def rotate_key(overlap: timedelta, reason: str, json: bool) -> None:
    """Sign checkpoints with a new key. The one before signs as well for a while, so that policies can follow."""
    with open_ledger() as session:
        _state(session)
        command = issue_sealing_key(session.services.keyring, session.context(reason), overlap=overlap)
        state: SealedLog = session.services.ledger.handle(command).state
    if json:
        print_json(documents.sealed_log(state))
    else:
        until = moment(command.context.at + overlap)
        click.echo(f"Checkpoints are signed with key {command.kid}; the one before signs too until {until}.")


@log.command("declare-restore")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@options.as_json
def declare_restore(yes: bool, reason: str, json: bool) -> None:
    """Own up to a database that lost what was signed, as after the restore of an old backup.

    The log goes on under another origin, and an event says which checkpoints it no longer leads to. Run it where the
    signer's memory is.
    """
    with open_ledger() as session:
        state = _state(session)
        every = _refusals(session, state)
        refusals = [refusal for refusal in every if not isinstance(refusal, NotAsSealed)]
        if every and not refusals:
            raise NothingChanged(
                f"no restore explains this, `keyledger audit check` tells what was changed: {every[0]}"
            )
        if not refusals:
            raise NothingChanged("the log holds everything that was signed: there is nothing to declare")
        lost = [refusal.lost for refusal in refusals if refusal.lost is not None]
        if not yes:
            names = "\n".join(f"  {refusal}" for refusal in refusals)
            click.confirm(f"{names}\nSay for good that what was signed was lost?", abort=True, err=True)
        texts = tuple(" ".join(checkpoints.encode(one).splitlines()) for one in lost)
        command = DeclareRestore(context=session.context(reason), lost=texts)
        declared: SealedLog = session.services.ledger.handle(command).state
    if json:
        print_json(documents.sealed_log(declared))
    else:
        click.echo(f"The log goes on as {declared.base}. Give auditors and witnesses their new policies.")


def _state(session: Session) -> SealedLog:
    state = sealed_log(session.services.log)
    if state is None:
        raise NotSealedYet("the provable log begins when `keyledger serve` or `project` runs")
    return state


def _refusals(session: Session, state: SealedLog) -> list[SignerRefuses]:
    """What the signer that has its memory here finds missing, or will not sign."""
    file = session.services.settings.signer_memory_file
    if not file.exists():  # to begin one here would make it belong to whoever asks
        return []
    try:
        with session.services.store.connect() as connection, SignerMemory(file) as memory:
            return Signer(memory, session.services.keyring).refusals(connection, state)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"the signer's memory {file} cannot be read: {error}") from None


def _witnessed(session: Session, connection: Connection, state: SealedLog) -> tuple[dict[str, Any], list[str]]:
    """What others attest of the root log, and what of it a person has to look into."""
    settings = session.services.settings
    policy, stamped = witness_policy(settings), attested.newest_timestamp(connection, state.base)
    document: dict[str, Any] = {
        "witnessed_size": None,
        "seconds_unwitnessed": None,
        "witnesses": [],
        "stamped_at": None if stamped is None else stamped.stamped_at,
    }
    if policy is None:
        return document, []
    root, behind = (
        attested.find_witnessed_root(connection, state.base),
        attested.witnessing_delay(session.services.store),
    )
    statuses = attested.list_witnesses(connection, [key.encode() for key in policy.witnesses.values()])
    document |= {
        "witnessed_size": 0 if root is None else root.size,
        "seconds_unwitnessed": round(behind.seconds_behind, 3),
        "witnesses": [
            {
                "name": one.name,
                "outcome": one.outcome,
                "detail": one.detail,
                "size": one.size,
                "cosigned_at": one.cosigned_at,
            }
            for one in statuses
        ],
    }
    alarms = [
        f"witness {one.name} was shown another history: {one.detail}" for one in statuses if one.outcome in ALARMING
    ]
    if behind.seconds_behind > settings.witness_delay_max:
        alarms.append(f"unwitnessed: no quorum cosigned for {behind.seconds_behind:.0f} s")
    return document, alarms


def _told(witnessed: dict[str, Any]) -> str:
    """One line of what witnesses did."""
    if witnessed["witnessed_size"] is None:
        return "unwitnessed: KEYLEDGER_WITNESSES names nobody"
    each = ", ".join(f"{one['name']} {one['outcome'].replace('_', ' ')}" for one in witnessed["witnesses"])
    size, behind = witnessed["witnessed_size"], witnessed["seconds_unwitnessed"]
    return f"{size} heads, {behind:.1f} s behind ({each or 'nobody was asked yet'})"


def _signs(expires_at: datetime | None) -> bool:
    return expires_at is None or expires_at > datetime.now(UTC)
