"""What verification, introspection and the detail page read: one row a credential, one a secret. Inline.

The rows are a function of the folded credential and are written in its events' own transaction, so that when a
revocation is acknowledged no look-up here can still find it good.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from psycopg.pq.abc import PGresult

from ledger.credential import Credential, evolve
from ledger.secret_versions import LIVE_MAX
from ledger.store.datastore import LedgerDatastore
from ledger.store.pipeline import TEXT_OID, Statement
from ledger.store.recorder import InlineTable, Row
from ledger.values import Channel
from ledger.verification import Candidate
from projections.operator_status import Caller, caller_query, read_caller
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_EXPORTS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SEALED_LOG,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)

STATUS = InlineTable(
    "credential_status",
    key=("credential_id",),
    columns=(
        "credential_id",
        "organisation_id",
        "account_id",
        "application_id",
        "kind",
        "public_id",
        "mode",
        "environment",
        "channel",
        "name",
        "description",
        "contact_email",
        "labels",
        "access_level",
        "scopes",
        "catalogue_version",
        "allowlist",
        "secrets",
        "created_at",
        "rotated_at",
        "expires_at",
        "suspended_at",
        "revoked_at",
        "revocation_reason",
        "erased_at",
        "supersedes",
        "imported_from",
        "version",
        "changed_at",
    ),
)

SECRET = InlineTable(
    "credential_secret",
    key=("credential_id", "version"),
    columns=("credential_id", "version", "algorithm", "digest", "password_hash", "expires_at"),
)


def rows_of(credential: Credential) -> dict[InlineTable, list[Row]]:
    """The rows that stand for a credential as it is."""
    return {STATUS: [status_row(credential)], SECRET: secret_rows(credential)}


def status_row(credential: Credential) -> Row:
    """A credential as it is read: `secrets` without what verifies them, `allowlist` for its networks."""
    c = credential
    return {
        "credential_id": c.id,
        "organisation_id": c.organisation_id,
        "account_id": c.account_id,
        "application_id": c.application_id,
        "kind": c.kind,
        "public_id": c.public_id,
        "mode": c.mode,
        "environment": c.environment,
        "channel": c.channel,
        "name": c.name,
        "description": c.description,
        "contact_email": c.contact_email,
        "labels": c.labels,
        "access_level": c.access_level,
        "scopes": c.scopes,
        "catalogue_version": c.catalogue_version,
        "allowlist": c.networks,
        "secrets": [
            {"version": s.version, "hint": s.hint, "created_at": s.created_at, "expires_at": s.expires_at}
            for s in c.secrets
        ],
        "created_at": c.created_at,
        "rotated_at": c.rotated_at,
        "expires_at": c.expires_at,
        "suspended_at": c.suspended_at,
        "revoked_at": c.revoked_at,
        "revocation_reason": c.revocation_reason,
        "erased_at": c.erased_at,
        "supersedes": c.supersedes,
        "imported_from": c.imported_from,
        "version": c.version,
        "changed_at": c.changed_at,
    }


def secret_rows(credential: Credential) -> list[Row]:
    """What each version of the secret is compared with. Old versions stay, so that they are told from unknown ones."""
    return [
        {
            "credential_id": credential.id,
            "version": s.version,
            "algorithm": s.algorithm,
            "digest": s.digest,
            "password_hash": s.password_hash,
            "expires_at": s.expires_at,
        }
        for s in credential.secrets
    ]


VIEW: StateView[Credential] = StateView(
    name="credential_status",
    aggregate="credential",
    inline=True,
    evolve=evolve,
    tables=(STATUS, SECRET),
    rows_of=rows_of,
    handles=OF_CREDENTIALS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


# --- queries ---------------------------------------------------------------------------------------------------------


def find_credential(store: LedgerDatastore, organisation_id: UUID, credential_id: UUID) -> dict[str, Any] | None:
    """One credential's row with `last_used` ({version: time}), or None where the organisation has no such one."""
    return store.row(
        "SELECT c.*, (SELECT jsonb_object_agg(u.version, u.last_used_at) FROM secret_usage u "
        "WHERE u.credential_id = c.credential_id) AS last_used "
        "FROM credential_status c WHERE c.credential_id = %s AND c.organisation_id = %s",
        (credential_id, organisation_id),
    )


SUCCESSORS_MAX = 100  # one takes the place of another, now and then a few; a script gone wrong must not grow a document


def list_successors(store: LedgerDatastore, organisation_id: UUID, credential_id: UUID) -> list[UUID]:
    """The credentials that were made to take the place of this one, the first hundred of them, oldest first."""
    rows = store.rows(
        "SELECT credential_id FROM credential_status WHERE supersedes = %s AND organisation_id = %s "
        "ORDER BY credential_id LIMIT %s",
        (credential_id, organisation_id, SUCCESSORS_MAX),
    )
    return [row["credential_id"] for row in rows]


# Each row is two JSON objects, which one typed decoder reads faster than a driver assembles twenty columns.
_CANDIDATE = (
    "c.credential_id, c.organisation_id, c.account_id, c.application_id, c.kind, c.public_id, c.mode, c.environment, "
    "c.channel, c.scopes, c.allowlist, c.expires_at, c.suspended_at, c.revoked_at, s.version AS secret_version, "
    "s.algorithm, s.digest, s.password_hash, s.expires_at AS secret_expires_at, c.changed_at, "
    "a.closed_at IS NOT NULL OR m.closed_at IS NOT NULL OR p.archived_at IS NOT NULL AS ended, "
    "coalesce(k.retired -> c.mode, '[]') AS retired, "
    "CASE WHEN c.application_id IS NOT NULL THEN coalesce((SELECT jsonb_object_agg(api.key, api.value) "
    "FROM jsonb_each(k.apis) api WHERE api.key = ANY(p.apis)), '{{}}') END AS connected"
)
# What it hangs on, and what its organisation offers: read along, so that closing, archiving, narrowing and retiring act
# at once on everything below.
_BELOW = (
    "LEFT JOIN account_status a ON a.account_id = c.account_id "
    "LEFT JOIN account_status m ON m.account_id = a.parent_id "
    "LEFT JOIN application_status p ON p.application_id = c.application_id "
    "LEFT JOIN catalogue_status k ON k.organisation_id = c.organisation_id"
)
_BY_DIGEST = (
    f"SELECT {_CANDIDATE} FROM credential_secret s JOIN credential_status c USING (credential_id) {_BELOW} "  # noqa: S608
    "WHERE s.digest IN ({digests}) AND s.digest <> ''"
)
_BY_LOGIN = (
    f"SELECT {_CANDIDATE} FROM credential_status c JOIN credential_secret s USING (credential_id) {_BELOW} "  # noqa: S608
    "WHERE c.kind = 'channel_login' AND c.public_id <> '' AND c.channel = {channel} "
    "AND lower(c.public_id) = lower({login}) "
    "AND s.algorithm = 'argon2id' AND (s.expires_at IS NULL OR s.expires_at > now()) "
    "ORDER BY s.version DESC LIMIT 2"  # at most two secrets are live
)
# The secrets of a client that can be live, unless this token of it was revoked or the key that signed it given up.
_BY_CLIENT = (
    f"SELECT {_CANDIDATE} FROM credential_status c JOIN credential_secret s USING (credential_id) {_BELOW} "  # noqa: S608
    "WHERE c.kind = 'oauth_client' AND c.public_id = $1 "
    "AND NOT EXISTS (SELECT FROM revoked_token r WHERE r.jti = $2) "
    "AND NOT EXISTS (SELECT FROM signing_key_status y WHERE y.kid = $3 AND y.expires_at <= now()) "
    f"ORDER BY s.version DESC LIMIT {LIVE_MAX}"
).format()
_CLIENT = Statement(b"client", f"SELECT row_to_json(f) FROM ({_BY_CLIENT}) f".encode(), (TEXT_OID, TEXT_OID, TEXT_OID))  # noqa: S608
_candidate = msgspec.json.Decoder(Candidate).decode


@lru_cache(maxsize=64)  # a ring holds four keys at most
def _statement(caller_digests: int, secret_digests: int, by_login: bool) -> Statement:
    """The caller beside each candidate, with a parameter for each digest.

    An array of digests would hide their number from PostgreSQL, which then plans anew at every execution: four times
    what the look-up itself takes.
    """
    parameters = [f"${number}" for number in range(1, caller_digests + secret_digests + 2 * by_login + 1)]
    caller = caller_query(parameters[:caller_digests])
    digests = parameters[caller_digests : caller_digests + secret_digests]
    found = _BY_DIGEST.format(digests=", ".join(digests) or "NULL")
    if by_login:
        channel, login = parameters[-2:]
        found = f"({found}) UNION ALL ({_BY_LOGIN.format(channel=channel, login=login)})"
    text = (
        "SELECT row_to_json(o), row_to_json(f) "  # noqa: S608
        f"FROM (SELECT) a LEFT JOIN ({caller}) o ON true LEFT JOIN ({found}) f ON true"
    )
    name = f"for_verification_{caller_digests}_{secret_digests}_{by_login}"
    return Statement(name.encode(), text.encode(), (TEXT_OID,) * len(parameters))


def find_for_verification(
    store: LedgerDatastore,
    caller_digests: Sequence[str],
    secret_digests: Sequence[str],
    login: tuple[Channel, str] | None,
) -> tuple[Caller | None, list[Candidate]]:
    """The caller, and the secrets that may be the presented one, in one round trip.

    Look-ups are by digest, for which the presenter cannot choose a prefix; a chosen password is looked up by its
    login on its channel.
    """
    statement = _statement(len(caller_digests), len(secret_digests), login is not None)
    params = [text.encode() for text in (*caller_digests, *secret_digests, *(login or ()))]
    result = store.look_up(statement, params)
    caller = result.get_value(0, 0)
    return None if caller is None else read_caller(caller), _candidates(result, column=1)


def find_client(store: LedgerDatastore, public_id: str, jti: str = "", kid: str = "") -> list[Candidate]:
    """An OAuth client by its identifier, once for each secret that can be live, newest first.

    Nothing where there is no such client, where `jti` names a token that was revoked, and where no token of the signing
    key `kid` is good any more.
    """
    result = store.look_up(_CLIENT, [public_id.encode(), jti.encode(), kid.encode()])
    return _candidates(result, column=0)


def list_not_erased(store: LedgerDatastore, credential_ids: Sequence[UUID]) -> list[UUID]:
    """Those of some ids that are credentials whose personal data is still there."""
    rows = store.rows(
        "SELECT credential_id FROM credential_status WHERE credential_id = ANY(%s) AND erased_at IS NULL",
        (list(credential_ids),),
    )
    return [row["credential_id"] for row in rows]


def list_erased(store: LedgerDatastore, since: datetime, after: UUID, limit: int) -> list[tuple[datetime, UUID]]:
    """When each credential was erased: those after a time and, at that time, after an id, in this order."""
    rows = store.rows(
        "SELECT erased_at, credential_id FROM credential_status WHERE (erased_at, credential_id) > (%s, %s) "
        "AND erased_at IS NOT NULL ORDER BY erased_at, credential_id LIMIT %s",
        (since, after, limit),
    )
    return [(row["erased_at"], row["credential_id"]) for row in rows]


def _candidates(result: PGresult, column: int) -> list[Candidate]:
    rows = (result.get_value(row, column) for row in range(result.ntuples))
    return [_candidate(row) for row in rows if row is not None]
