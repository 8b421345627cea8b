"""What the dashboard draws: what was done day by day, and how old the secrets in use are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.credential_list import LIVE

DAYS = 30  # a month at a glance, and as many bars as fit a narrow screen

CHANGES: Mapping[str, str] = {
    "created": "credential.created",
    "rotated": "credential.rotated",
    "revoked": "credential.revoked",
}
"""What is counted by day: the kinds of events, each by its name here."""


@dataclass(frozen=True, slots=True)
class Day:
    """How many of each kind of event were recorded on a day, in UTC."""

    date: date
    counts: Mapping[str, int]


# Each kind in the order of its index, which holds nothing but the month that is counted.
_BY_DAY = (
    "SELECT topic, (at AT TIME ZONE 'UTC')::date AS day, count(*) AS events FROM activity "
    "WHERE organisation_id = %(organisation)s AND topic = ANY(%(topics)s) AND at >= %(since)s AND at < %(until)s "
    "GROUP BY topic, day"
)


def changes_by_day(store: LedgerDatastore, organisation_id: UUID, now: datetime) -> list[Day]:
    """The last month, oldest day first and today last; days on which nothing happened are in it too."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows = store.rows(
        _BY_DAY,
        {
            "organisation": organisation_id,
            "topics": list(CHANGES.values()),
            "since": midnight,
            "until": midnight + timedelta(days=DAYS),
        },
    )
    found = {(row["day"], row["topic"]): row["events"] for row in rows}
    days = (first + timedelta(days=number) for number in range(DAYS))
    return [Day(day, {name: found.get((day, topic), 0) for name, topic in CHANGES.items()}) for day in days]


def verifications_by_code(store: LedgerDatastore, organisation_id: UUID, now: datetime) -> Mapping[str, int]:
    """How often verification answered with each code about an organisation's credentials in the last month, the most
    frequent first.

    As far as usage is kept (`Settings.usage_days`); it is written every few seconds.
    """
    rows = store.rows(
        "SELECT code, sum(verifications)::bigint AS verifications FROM organisation_verification_count "
        "WHERE organisation_id = %s AND day > %s GROUP BY code ORDER BY verifications DESC, code",
        (organisation_id, now.astimezone(UTC).date() - timedelta(days=DAYS)),
    )
    return {row["code"]: row["verifications"] for row in rows}


# A walk of the index by which what is due is found.
_AGES = (
    "SELECT width_bucket(extract(epoch FROM %(now)s - c.secret_set_at)::float8, %(bounds)s::float8[]) AS age, "  # noqa: S608
    f"count(*) AS credentials FROM credential_list c WHERE c.organisation_id = %(organisation)s AND {LIVE} "
    "GROUP BY age"
)


def secret_ages(store: LedgerDatastore, organisation_id: UUID, now: datetime, bounds_days: Sequence[int]) -> list[int]:
    """How many good credentials have a newest secret younger than each bound, in whole days, and how many an older one.

    One number more than there are bounds, youngest first; each credential counts once.
    """
    bounds = [timedelta(days=days).total_seconds() for days in bounds_days]
    rows = store.rows(_AGES, {"organisation": organisation_id, "now": now, "bounds": bounds})
    found = {row["age"]: row["credentials"] for row in rows}
    return [found.get(age, 0) for age in range(len(bounds) + 1)]
