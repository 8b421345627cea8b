"""Commands on accounts, from what a body or a form asked: the same for the API and for the console.

A body has been through its schema of `api/schemas/accounts.py`; a row is an account as `find_account` reads it.
`expected_version` is the version to decide on, None for whichever it is at.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.auth import allow_mode
from api.incoming import context, services
from ledger.commands import CloseAccount, DescribeAccount
from ledger.opening import Opening, issue_account
from ledger.values import Mode, Name, Reference

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def open_account(organisation_id: UUID, body: Body) -> Opening:
    """A new account, as `AccountIn` describes it, and the live logins that it begins with."""
    opening = issue_account(
        services().keyring.digests,
        services().catalogues.current(organisation_id),
        context(body.get("reason")),
        services().settings,
        organisation_id,
        **{name: value for name, value in body.items() if name != "reason"},
    )
    if opening.logins:
        allow_mode(Mode.LIVE)
    return opening


def describe(row: Row, body: Body, expected_version: int | None) -> tuple[DescribeAccount, None]:
    """Another name or reference, as `AccountDescriptionIn` describes them; what is left out stays."""
    return DescribeAccount(
        context=context(body.get("reason")),
        expected_version=expected_version,
        account_id=row["account_id"],
        name=Name(body["name"]) if "name" in body else None,
        reference=Reference(body["reference"] or "") if "reference" in body else None,
    ), None


def close(row: Row, body: Body, expected_version: int | None) -> tuple[CloseAccount, None]:
    """The account's end, as `ClosingIn` describes it."""
    return CloseAccount(
        context=context(body["reason"]),
        expected_version=expected_version,
        account_id=row["account_id"],
    ), None
