"""`keyledger credential`: issuing credentials and everything that happens to them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from api import documents, granting
from api.cli import listing, options
from api.cli.output import print_facts, print_json, print_secret, print_table, tell
from api.cli.session import Session, open_ledger
from api.erasing import erasure_of
from api.telling import moment
from ledger.catalogue import PRESETS
from ledger.commands import (
    Command,
    DescribeCredential,
    EndOverlap,
    ResumeCredential,
    RevokeCredential,
    SetAllowlist,
    SuspendCredential,
)
from ledger.credential import Credential
from ledger.errors import InvalidValue, NotFound
from ledger.issuing import issue_credential, issue_rotation
from ledger.secrets import IssuedSecret
from ledger.service import ORGANISATION, Receipt
from ledger.values import (
    AccessLevel,
    Channel,
    Description,
    EmailAddress,
    Environment,
    Kind,
    Label,
    Mode,
    RevocationReason,
    Status,
    labels,
    networks,
)
from projections.credential_list import CredentialFilters
from projections.credential_status import find_credential, list_successors
from projections.readings import Shown
from projections.usage import find_usage

_CREDENTIAL = click.argument("credential_id", type=click.UUID, metavar="CREDENTIAL")


@click.group()
def credential() -> None:
    """Create, list, show, rotate, restrict, suspend, revoke and erase credentials."""


@credential.command()
@click.option("--organisation", type=click.UUID, required=True, help="Whose it will be.")
@click.option("--kind", type=options.OneOf(Kind), default=Kind.API_KEY, show_default=True)
@click.option("--mode", type=options.OneOf(Mode), help="May be left out where --environment tells it.")
@click.option("--environment", type=options.OneOf(Environment))
@click.option("--channel", type=options.OneOf(Channel), help="The one way in that it is good for.")
@click.option("--login", help="The user name of a channel login; made up where left out.")
@options.chosen_secret
@options.public_key
@click.option("--name", help="What people call it.")
@click.option("--description")
@click.option("--contact-email", help="Who answers for it.")
@click.option("--label", "label_pairs", type=options.KeyValue(), multiple=True, help="May be given repeatedly.")
@click.option("--full", is_flag=True, help="Every scope there is at this moment.")
@click.option("--preset", type=click.Choice(list(PRESETS)))
@click.option("--scope", "scopes", multiple=True, help="entity:action; may be given repeatedly.")
@click.option("--allow", "allowlist", multiple=True, metavar="NETWORK", help="Where it may be used from; repeatable.")
@click.option("--expires-at", type=options.Moment(), help="When it ends by itself.")
@click.option("--supersedes", type=click.UUID, help="The credential that it takes the place of.")
@click.option("--account", "account_id", type=click.UUID)
@click.option("--application", "application_id", type=click.UUID)
@options.reason
@options.as_json
def create(
    organisation: UUID,
    kind: str,
    secret_file: Path | None,
    ask_secret: bool,
    public_key_file: Path | None,
    label_pairs: tuple[tuple[str, str], ...],
    full: bool,
    scopes: tuple[str, ...],
    reason: str,
    json: bool,
    **wanted: Any,
) -> None:
    """Issue a credential and print its secret, this once."""
    chosen = options.read_chosen_secret(secret_file, ask_secret)
    with open_ledger() as session:
        superseded = wanted["supersedes"]
        if superseded and find_credential(session.services.store, organisation, superseded) is None:
            raise InvalidValue("supersedes", "is not a credential of this organisation")
        grounds = granting.grounds_of(session.services, organisation, wanted["application_id"], wanted["account_id"])
        wanted["account_id"] = grounds.account_id
        command, secret = issue_credential(
            session.services.keyring.digests,
            grounds.catalogue,
            session.context(reason),
            organisation,
            kind=kind,
            chosen_secret=chosen,
            public_key=options.read_public_key(public_key_file),
            labels=dict(label_pairs),
            access_level=AccessLevel.FULL if full else AccessLevel.FINE_GRAINED,
            scopes=scopes or None,
            ceiling=grounds.ceiling,
            **wanted,
        )
        receipt = session.services.ledger.handle(command)
        known_as = "login" if receipt.state.kind is Kind.CHANNEL_LOGIN else "public id"
        tell(f"Created credential {receipt.id}, {known_as} {receipt.state.public_id}.")
        _print_with_secret(session, receipt, secret, chosen, json)


@credential.command("list")
@click.option("--organisation", type=click.UUID, required=True, help="Whose.")
@click.option("--status", type=options.OneOf(Status))
@click.option("--kind", type=options.OneOf(Kind))
@click.option("--mode", type=options.OneOf(Mode))
@click.option("--environment", type=options.OneOf(Environment))
@click.option("--channel", type=options.OneOf(Channel))
@click.option("--account", type=click.UUID)
@click.option("--application", type=click.UUID)
@click.option("--contact-email")
@click.option("--search", "q", metavar="WORDS", help="Words of name, email, public id, description or labels.")
@click.option("--overdue", is_flag=True, help="Whose rotation is overdue.")
@click.option("--due-before", type=options.Moment(), help="Whose rotation is due before that time.")
@click.option("--unused-since", type=options.Moment(), help="Not used since that time.")
@click.option("--expiring-before", type=options.Moment(), help="That end by themselves before that time.")
@click.option("--without-owner", is_flag=True, help="For which nobody's email is known.")
@options.as_of
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="At most so many.")
@options.as_json
def list_(organisation: UUID, as_of: datetime | None, limit: int, json: bool, **filters: Any) -> None:
    """List an organisation's credentials: newest first, or by the time that a filter is about.

    As of a time they come newest first whatever the filters, and not --unused-since.
    """
    with open_ledger() as session:
        now = options.moment_asked(as_of)
        session.services.ledger.load(ORGANISATION, organisation)  # an empty list of no organisation would mislead
        listing.catch_up(session)
        session.shows(*listing.shown(hints=json, past=as_of is not None), of=organisation)
        listed = listing.credentials_of_then if as_of else listing.credentials
        found = listed(session, organisation, CredentialFilters(**filters), now)
        rows, more = list(islice(found, limit)), next(found, None) is not None
        if json:
            data = [session.document(row, now) for row in rows]
            print_json({"data": data, "pagination": {"has_more": more}})
            return
    print_table(
        ("id", "name", "status", "kind", "public id or login", "mode", "contact", "created"),
        [
            (
                row["credential_id"],
                row["name"],
                documents.status_of(row, now),
                row["kind"],
                row["public_id"],
                row["mode"],
                row["contact_email"],
                row["created_at"],
            )
            for row in rows
        ],
    )
    if more:
        tell(f"These are the first {limit}; there are more (--limit).")


@credential.command()
@_CREDENTIAL
@options.as_json
def show(credential_id: UUID, json: bool) -> None:
    """Show one credential."""
    with open_ledger() as session:
        found = session.credential(credential_id)
        session.shows(Shown.HINT, of=found.organisation_id, about=credential_id)
        successors = list_successors(session.services.store, found.organisation_id, found.id)
        if json:
            row = _row(session, found)
            effective = granting.effective_scopes(session.services, row)
            now = {"effective_scopes": effective, "superseded_by": successors}
            print_json(session.document(row, datetime.now(UTC)) | now)
        else:
            facts = credential_facts(found, datetime.now(UTC), _row(session, found)["last_used"] or {})
            print_facts([*facts, ("superseded by", successors)])


@credential.command()
@_CREDENTIAL
@options.as_json
def usage(credential_id: UUID, json: bool) -> None:
    """Show where a credential's secrets are used from, and what was answered about it on each day (UTC)."""
    with open_ledger() as session:
        credential = session.credential(credential_id)
        session.shows(Shown.USAGE, of=credential.organisation_id, about=credential_id)
        found = documents.usage(find_usage(session.services.store, credential_id))
    if json:
        print_json(found)
        return
    print_table(
        ("secret", "address", "uses", "first", "last"),
        [(a["version"], a["address"], a["uses"], a["first_used_at"], a["last_used_at"]) for a in found["addresses"]],
    )
    print_table(("day", "answers"), [(d["day"], d["codes"]) for d in found["days"]])


@credential.command()
@_CREDENTIAL
@options.overlap
@options.chosen_secret
@options.public_key
@click.option("--login", help="Another login for a channel login; at once, so without an overlap.")
@options.reason
@options.expected_version
@options.as_json
def rotate(
    credential_id: UUID,
    overlap: timedelta,
    secret_file: Path | None,
    ask_secret: bool,
    public_key_file: Path | None,
    login: str | None,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Give a credential a new secret and print it, this once. The one before stays good for the overlap.

    Without an overlap whatever still uses the one before is refused at once.
    """
    chosen = options.read_chosen_secret(secret_file, ask_secret)
    with open_ledger() as session:
        command, secret = issue_rotation(
            session.services.keyring.digests,
            session.context(reason),
            _row(session, session.credential(credential_id)),
            chosen_secret=chosen,
            public_key=options.read_public_key(public_key_file),
            login=login,
            overlap=overlap,
            expected_version=expected_version,
        )
        receipt = session.services.ledger.handle(command)
        before = f"the one before is good until {moment(command.context.at + overlap)}" if overlap else "alone from now"
        tell(f"Rotated credential {receipt.id}: secret {receipt.state.secrets[-1].version}, {before}.")
        if not overlap:
            tell("warning: whatever still uses what it had before is refused from now on")
        _print_with_secret(session, receipt, secret, chosen, json)


@credential.command("end-overlap")
@_CREDENTIAL
@options.reason
@options.expected_version
@options.as_json
def end_overlap(credential_id: UUID, reason: str, expected_version: int | None, json: bool) -> None:
    """Retire the older of two live secrets now."""
    _carry_out(
        lambda session: EndOverlap(
            context=session.context(reason), expected_version=expected_version, credential_id=credential_id
        ),
        "Only the newest secret is good now.",
        json,
    )


@credential.command()
@_CREDENTIAL
@click.option(
    "--because",
    type=options.OneOf(RevocationReason),
    default=RevocationReason.UNSPECIFIED,
    show_default=True,
    help="The typed reason; --reason is for your own words.",
)
@click.option("--at", "effective_at", type=options.Moment(), help="From a coming time on, rather than now.")
@options.reason
@options.expected_version
@options.as_json
def revoke(
    credential_id: UUID,
    because: str,
    effective_at: datetime | None,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Refuse a credential for good. There is no way back."""
    _carry_out(
        lambda session: RevokeCredential(
            context=session.context(reason),
            expected_version=expected_version,
            credential_id=credential_id,
            revocation_reason=RevocationReason(because),
            effective_at=effective_at,
        ),
        "Revoked." if effective_at is None else f"Will be revoked at {moment(effective_at)}.",
        json,
    )


@credential.command()
@_CREDENTIAL
@options.reason
@options.expected_version
@options.as_json
def suspend(credential_id: UUID, reason: str, expected_version: int | None, json: bool) -> None:
    """Refuse a credential until it is resumed."""
    _carry_out(
        lambda session: SuspendCredential(
            context=session.context(reason), expected_version=expected_version, credential_id=credential_id
        ),
        "Suspended.",
        json,
    )


@credential.command()
@_CREDENTIAL
@options.reason
@options.expected_version
@options.as_json
def resume(credential_id: UUID, reason: str, expected_version: int | None, json: bool) -> None:
    """Lift a suspension."""
    _carry_out(
        lambda session: ResumeCredential(
            context=session.context(reason), expected_version=expected_version, credential_id=credential_id
        ),
        "Resumed.",
        json,
    )


@credential.command()
@_CREDENTIAL
@click.argument("network", nargs=-1)
@click.option("--any", "anywhere", is_flag=True, help="Allow every address again.")
@options.reason
@options.expected_version
@options.as_json
def allowlist(
    credential_id: UUID,
    network: tuple[str, ...],
    anywhere: bool,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Set the networks, whole, that a credential may be used from: 192.0.2.0/24 2001:db8::/32 ..."""
    if anywhere == bool(network):
        raise click.UsageError("name the networks, or say --any")
    _carry_out(
        lambda session: SetAllowlist(
            context=session.context(reason),
            expected_version=expected_version,
            credential_id=credential_id,
            networks=networks(network),
        ),
        "Every address is allowed." if anywhere else "The allowlist is set.",
        json,
    )


@credential.command()
@_CREDENTIAL
@click.option("--name", help="Empty to clear it.")
@click.option("--description", help="Empty to clear it.")
@click.option("--contact-email", help="Can be replaced, not removed: somebody answers for every credential.")
@click.option("--label", "label_pairs", type=options.KeyValue(), multiple=True, help="All of them; may be repeated.")
@click.option("--no-labels", is_flag=True, help="Clear the labels.")
@options.reason
@options.expected_version
@options.as_json
def describe(
    credential_id: UUID,
    name: str | None,
    description: str | None,
    contact_email: str | None,
    label_pairs: tuple[tuple[str, str], ...],
    no_labels: bool,
    reason: str,
    expected_version: int | None,
    json: bool,
) -> None:
    """Change what people call a credential and who answers for it. What is left out stays."""
    if label_pairs and no_labels:
        raise click.UsageError("--label and --no-labels exclude each other")
    _carry_out(
        lambda session: DescribeCredential(
            context=session.context(reason),
            expected_version=expected_version,
            credential_id=credential_id,
            name=None if name is None else Label(name),
            description=None if description is None else Description(description),
            contact_email=None if contact_email is None else EmailAddress(contact_email),
            labels=labels(dict(label_pairs)) if label_pairs or no_labels else None,
        ),
        "Described.",
        json,
    )


@credential.command()
@_CREDENTIAL
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@options.expected_version
@options.as_json
def erase(credential_id: UUID, yes: bool, reason: str, expected_version: int | None, json: bool) -> None:
    """Destroy the personal data of a revoked credential. There is no way back; its history stays."""
    if not yes:
        click.confirm(f"Destroy the personal data of credential {credential_id} for good?", abort=True, err=True)
    _carry_out_all(
        lambda session: erasure_of(session.services, credential_id, session.context(reason), expected_version),
        "Its personal data is destroyed.",
        json,
    )


def credential_facts(found: Credential, at: datetime, last_used: dict[str, str]) -> list[tuple[str, object]]:
    """A credential as people read it, as it is at a moment. What was erased is not told as if it had been empty."""
    erased = "(erased)" if found.erased_at else ""
    return [
        ("id", found.id),
        ("organisation", found.organisation_id),
        ("name", found.name),
        ("status", found.status(at)),
        ("kind", found.kind),
        ("login" if found.kind is Kind.CHANNEL_LOGIN else "public id", found.public_id or erased),
        ("mode", found.mode),
        ("environment", found.environment),
        ("channel", found.channel),
        ("account", found.account_id),
        ("contact", found.contact_email or erased),
        ("description", found.description),
        ("labels", dict(found.labels)),
        ("access level", found.access_level),
        ("scopes", found.scopes),
        ("allowlist", found.networks or erased or "any address"),
        *((f"secret {secret.version}", _secret_facts(secret, last_used)) for secret in found.secrets),
        ("created", found.created_at),
        ("rotated", found.rotated_at),
        ("expires", found.expires_at),
        ("suspended", found.suspended_at),
        ("revoked", found.revoked_at),
        ("revoked because", found.revocation_reason),
        ("erased", found.erased_at),
        ("supersedes", found.supersedes),
        ("imported from", found.imported_from),
        ("version", found.version),
    ]


def _secret_facts(secret: Any, last_used: dict[str, str]) -> str:
    facts = [f"…{secret.hint}"] if secret.hint else []
    facts.append(f"since {moment(secret.created_at)}")
    if secret.expires_at is not None:
        facts.append(f"until {moment(secret.expires_at)}")
    if used := last_used.get(str(secret.version)):
        facts.append(f"last used {moment(datetime.fromisoformat(used))}")
    return ", ".join(facts)


def _carry_out(command: Callable[[Session], Command], said: str, json: bool) -> None:
    _carry_out_all(lambda session: [command(session)], said, json)


def _carry_out_all(commands: Callable[[Session], Sequence[Command]], said: str, json: bool) -> None:
    """The last of the commands is the one about the credential."""
    with open_ledger() as session:
        receipt = session.services.ledger.handle_all(commands(session))[-1]
        if json:
            print_json(_document(session, receipt.state))
        else:
            click.echo(f"Credential {receipt.id}: {said} (version {receipt.version})")


def _print_with_secret(
    session: Session, receipt: Receipt, secret: IssuedSecret, chosen: str | None, json: bool
) -> None:
    """A generated secret is shown this once; a chosen one is known to whoever chose it and is not shown at all, and who
    registered a public key has none.
    """
    shown = {} if chosen is not None or not secret.plaintext else {"secret": secret.plaintext}
    if json:
        print_json({**_document(session, receipt.state), **shown})
    elif shown:
        print_secret(secret.plaintext, "secret")


def _document(session: Session, found: Credential) -> dict[str, Any]:
    return session.document(_row(session, found), datetime.now(UTC))


def _row(session: Session, found: Credential) -> dict[str, Any]:
    row = find_credential(session.services.store, found.organisation_id, found.id)
    if row is None:
        raise NotFound("credential")
    return row
