"""Operators and their tokens, as signing in and the operators' page read them. Inline: a removed one is out at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from ledger.operator import Operator, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.pipeline import TEXT_OID, Statement
from ledger.store.recorder import InlineTable, Row
from ledger.values import Identity
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
    "operator_status",
    key=("operator_id",),
    columns=(
        "operator_id",
        "organisation_id",
        "name",
        "email",
        "roles",
        "production",
        "secrets",
        "issuer",
        "subject",
        "enrolled_at",
        "removed_at",
        "erased_at",
        "version",
    ),
)
TOKEN = InlineTable("operator_token", key=("digest",), columns=("digest", "operator_id", "expires_at"))


def rows_of(operator: Operator) -> dict[InlineTable, list[Row]]:
    """The rows that stand for an operator as it is."""
    tokens: list[Row] = [
        {"digest": s.digest, "operator_id": operator.id, "expires_at": s.expires_at} for s in operator.secrets
    ]
    return {STATUS: [status_row(operator)], TOKEN: tokens}


def status_row(operator: Operator) -> Row:
    """An operator as it is read."""
    return {
        "operator_id": operator.id,
        "organisation_id": operator.organisation_id,
        "name": operator.name,
        "email": operator.email,
        "roles": operator.roles,
        "production": operator.production,
        "secrets": [
            {"version": s.version, "hint": s.hint, "created_at": s.created_at, "expires_at": s.expires_at}
            for s in operator.secrets
        ],
        "issuer": operator.issuer,
        "subject": operator.subject,
        "enrolled_at": operator.enrolled_at,
        "removed_at": operator.removed_at,
        "erased_at": operator.erased_at,
        "version": operator.version,
    }


VIEW: StateView[Operator] = StateView(
    name="operator_status",
    aggregate="operator",
    inline=True,
    evolve=evolve,
    tables=(STATUS, TOKEN),
    rows_of=rows_of,
    handles=OF_OPERATORS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The operator whose token came with a request. `organisation_id` None is for all organisations.

    `token_expires_at` is set where the token was replaced and is good for an overlap.
    """

    operator_id: UUID
    organisation_id: UUID | None
    roles: frozenset[str]
    production: bool
    token_expires_at: datetime | None

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return f"operator:{self.operator_id}"

    def sees(self, organisation_id: UUID) -> bool:
        """Whether the organisation is the caller's, or the caller is for all of them."""
        return self.organisation_id in (None, organisation_id)


read_caller = msgspec.json.Decoder(Caller).decode


def caller_query(digests: Sequence[str]) -> str:
    """The query for the one whose live token has one of these digests, which stand for parameters.

    A parameter for each: their number would be unknown in an array, and the statement planned every time.
    """
    return (
        "SELECT o.operator_id, o.organisation_id, o.roles, o.production, "  # noqa: S608
        "t.expires_at AS token_expires_at FROM operator_token t "
        f"JOIN operator_status o USING (operator_id) WHERE t.digest IN ({', '.join(digests) or 'NULL'}) "
        "AND o.removed_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) LIMIT 1"
    )


@lru_cache(maxsize=8)  # a ring holds four keys at most
def _by_token(digests: int) -> Statement:
    query = caller_query([f"${number}" for number in range(1, digests + 1)])
    text = f"SELECT row_to_json(o) FROM ({query}) o"  # noqa: S608
    return Statement(b"caller_%d" % digests, text.encode(), (TEXT_OID,) * digests)


def find_caller(store: LedgerDatastore, digests: Sequence[str]) -> Caller | None:
    """Whose live token has one of these digests."""
    result = store.look_up(_by_token(len(digests)), [digest.encode() for digest in digests])
    row = result.get_value(0, 0) if result.ntuples else None
    return None if row is None else read_caller(row)


def find_operator(store: LedgerDatastore, operator_id: UUID) -> dict[str, Any] | None:
    """One operator's row."""
    return store.row("SELECT * FROM operator_status WHERE operator_id = %s", (operator_id,))


def list_identified(store: LedgerDatastore, identity: Identity) -> list[dict[str, Any]]:
    """The operators that somebody is who signs in elsewhere: one for each organisation where they ever were one."""
    return store.rows(
        "SELECT * FROM operator_status WHERE issuer = %s AND subject = %s", (identity.issuer, identity.subject)
    )


def list_operators(
    store: LedgerDatastore, organisation_id: UUID | None, after: UUID | None, limit: int, q: str | None = None
) -> list[dict[str, Any]]:
    """Operators after an id, in the order of their ids; those of one organisation, or all for None. `q` is a part of
    the name or of the email, in any letter case.

    A search looks at each: there are as many as there are people and gateways, which is hundreds.
    """
    return store.rows(
        "SELECT * FROM operator_status WHERE (%(organisation)s::uuid IS NULL OR organisation_id = %(organisation)s) "
        "AND (%(after)s::uuid IS NULL OR operator_id > %(after)s) "
        "AND (%(q)s::text IS NULL OR strpos(lower(concat_ws(chr(10), name, email)), lower(%(q)s)) > 0) "
        "ORDER BY operator_id LIMIT %(limit)s",
        {"organisation": organisation_id, "after": after, "limit": limit, "q": q},
    )


def list_not_erased(store: LedgerDatastore, operator_ids: Sequence[UUID]) -> list[UUID]:
    """Those of some ids that are operators whose name is still there."""
    rows = store.rows(
        "SELECT operator_id FROM operator_status WHERE operator_id = ANY(%s) AND erased_at IS NULL",
        (list(operator_ids),),
    )
    return [row["operator_id"] for row in rows]


def list_erased(store: LedgerDatastore, since: datetime, after: UUID, limit: int) -> list[tuple[datetime, UUID]]:
    """When each operator was erased: those after a time and, at that time, after an id, in this order."""
    rows = store.rows(
        "SELECT erased_at, operator_id FROM operator_status WHERE (erased_at, operator_id) > (%s, %s) "
        "ORDER BY erased_at, operator_id LIMIT %s",
        (since, after, limit),
    )
    return [(row["erased_at"], row["operator_id"]) for row in rows]


def administrators_exist(store: LedgerDatastore) -> bool:
    """Whether anyone may administer every organisation: without any, an installation is new."""
    return bool(_administrators(store))


def is_last_administrator(store: LedgerDatastore, operator_id: UUID) -> bool:
    """Whether this one may administer every organisation, and nobody else may."""
    return _administrators(store) == [operator_id]


def _administrators(store: LedgerDatastore) -> list[UUID]:
    """Two of those who may administer every organisation, or as many as there are."""
    rows = store.rows(
        "SELECT operator_id FROM operator_status WHERE organisation_id IS NULL AND removed_at IS NULL "
        "AND 'administrator' = ANY(roles) LIMIT 2"
    )
    return [row["operator_id"] for row in rows]
