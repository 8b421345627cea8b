"""A rebuild gives the rows that the live view has, whatever happened, whoever writes meanwhile."""

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.wiring import Services
from ledger.commands import (
    ChangeOperatorRoles,
    CloseAccount,
    Command,
    DescribeAccount,
    DescribeCredential,
    EndOverlap,
    EraseCredential,
    RemoveOperator,
    RenameOrganisation,
    ResumeCredential,
    RevokeCredential,
    RotateOperatorToken,
    RotateSecret,
    SetAllowlist,
    SetRetention,
    SuspendCredential,
)
from ledger.errors import InvalidValue, LedgerError, RebuildFailed, RebuildRunning
from ledger.store.codec import UnknownTopic
from ledger.values import (
    Channel,
    Description,
    EmailAddress,
    Kind,
    Label,
    Login,
    Mode,
    Name,
    Network,
    Reference,
    Role,
)
from projections import PROJECTIONS
from projections.rebuild import SUFFIX, line_encoder, rebuild
from projections.runner import Projector, advisory_key, wait_for
from tests import given
from tests.projections.keeping_up import all_rows, catch_up
from tests.waiting import SECONDS_MAX

# What is hard on the way into a table: quotes, backslashes, breaks, what looks like NULL, other scripts.
TEXTS = st.sampled_from(['a "quoted" name', r"back\slash \n \N", "null", r"\.", "{x,y}", "Größe ﬁ 名前", "plain"])
BREAKS = st.sampled_from(["two\nlines\tand a tab", 'a "b"\r\n\\n\\', ""])

Step = Callable[[Services, UUID, dict[str, UUID]], Command]


def on_credential(build: Callable[..., Command], **more: Any) -> Step:
    return lambda services, _, ids: build(
        context=given.context(),
        credential_id=ids["credential"],
        **{name: value(services) if callable(value) else value for name, value in more.items()},
    )


def a_secret(services: Services) -> Any:
    return services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored


STEPS = st.one_of(
    st.builds(
        lambda name, text: on_credential(
            DescribeCredential,
            name=Label(name),
            description=Description(text),
            contact_email=EmailAddress("next@example.org"),
            labels={"team": name},
        ),
        TEXTS,
        BREAKS,
    ),
    st.builds(
        lambda hours: on_credential(RotateSecret, secret=a_secret, overlap=timedelta(hours=hours)),
        st.integers(0, 2),
    ),
    st.sampled_from(
        [
            on_credential(EndOverlap),
            on_credential(SuspendCredential),
            on_credential(ResumeCredential),
            on_credential(SetAllowlist, networks=(Network("192.0.2.0/24"), Network("2001:db8::/32"))),
            on_credential(RevokeCredential),
            on_credential(RevokeCredential, effective_at=datetime.now(UTC) + timedelta(days=2)),
            on_credential(EraseCredential),
            lambda services, _, ids: RotateSecret(
                context=given.context(),
                credential_id=ids["credential"],
                secret=a_secret(services),
                login=Login(f"other-{uuid4().hex}"),
            ),
            lambda _, __, ids: DescribeAccount(
                context=given.context(), account_id=ids["account"], name=Name('Renamed "\\N"'), reference=Reference("")
            ),
            lambda _, __, ids: CloseAccount(context=given.context(reason="moved"), account_id=ids["account"]),
            lambda _, organisation, __: RenameOrganisation(
                context=given.context(), organisation_id=organisation, name=Name("Renamed \\ Ltd")
            ),
            lambda _, organisation, __: SetRetention(context=given.context(), organisation_id=organisation, days=90),
            lambda _, __, ids: ChangeOperatorRoles(
                context=given.context(),
                operator_id=ids["operator"],
                roles=frozenset({Role.AUDITOR, Role.VIEWER}),
                production=False,
            ),
            lambda services, _, ids: RotateOperatorToken(
                context=given.context(),
                operator_id=ids["operator"],
                secret=services.keyring.digests.issue("operator", Mode.LIVE).stored,
            ),
            lambda _, __, ids: RemoveOperator(context=given.context(), operator_id=ids["operator"]),
        ]
    ),
)


@hypothesis_settings(max_examples=8)
@drawn(steps=st.lists(st.tuples(st.integers(0, 3), STEPS), max_size=25), batch=st.sampled_from([1, 3, 500]))
def test_a_rebuild_equals_the_live_view(services: Services, steps: list[tuple[int, Step]], batch: int) -> None:
    # Examples share a ledger: histories of earlier ones only add to what must be equal.
    organisation = given.an_organisation(services)
    things: list[dict[str, UUID]] = []
    for number in range(4):
        kind = (Kind.API_KEY, Kind.CHANNEL_LOGIN, Kind.OAUTH_CLIENT, Kind.KEY_PAIR)[number]
        account = given.an_account(services, organisation, reference=Reference("a\\b"))
        more: dict[str, Any] = {"account_id": account}
        if kind is Kind.CHANNEL_LOGIN:
            more |= {"channel": Channel.FTP, "login": Login(f"user-{uuid4().hex}"), "password_hash": "$argon2id$x"}
        receipt, _ = given.a_credential(services, organisation, kind=kind, **more)
        operator, _ = given.an_operator(services, organisation_id=organisation)
        things.append({"account": account, "credential": receipt.id, "operator": operator})
    for which, step in steps:
        with suppress(LedgerError):  # what is refused leaves no event, which is another test's matter
            services.ledger.handle(step(services, organisation, things[which]))
    catch_up(services, batch)
    live = all_rows(services)
    for view in PROJECTIONS:
        assert rebuild(services.log, view.name) == services.log.head()
    assert all_rows(services) == live


def test_a_rebuild_keeps_names_keys_and_settings_of_tables_and_leaves_nothing(services: Services) -> None:
    given.a_credential(services, given.an_organisation(services))
    catch_up(services)

    def catalogue() -> list[dict[str, Any]]:
        return services.store.rows(
            "SELECT c.relname, c.relkind, c.reloptions, pg_get_indexdef(c.oid) AS definition, "
            "(SELECT array_agg(conname || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint "
            "WHERE conrelid = c.oid AND contype <> 'n') AS constraints, "
            "(SELECT array_agg(attname || format_type(atttypid, atttypmod) || attnotnull ORDER BY attnum) "
            "FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns "
            "FROM pg_class c WHERE relnamespace = current_schema::regnamespace ORDER BY relname"
        )

    before = catalogue()
    for view in PROJECTIONS:
        rebuild(services.log, view.name)
        rebuild(services.log, view.name)
    assert catalogue() == before


@pytest.mark.parametrize("name", [view.name for view in PROJECTIONS])
def test_a_rebuild_while_writers_run_misses_nothing_and_stops_nobody(services: Services, name: str) -> None:
    organisation = given.an_organisation(services)
    for _ in range(40):
        given.a_credential(services, organisation)
    done = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        while not done.is_set():
            try:
                receipt, _ = given.a_credential(services, organisation)
                services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))
                services.ledger.handle(EraseCredential(context=given.context(), credential_id=receipt.id))
            except Exception as error:
                failures.append(error)
                raise

    projector = Projector(services.log)
    projector.start()
    writers = [threading.Thread(target=work) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        positions = [rebuild(services.log, name) for _ in range(3)]
    finally:
        done.set()
        for writer in writers:
            writer.join()
        caught_up = wait_for(services.store, None, services.log.head(), timeout=SECONDS_MAX)
        projector.stop()
    assert caught_up
    assert not failures
    assert positions == sorted(positions)
    after = all_rows(services)
    rebuild(services.log, name)  # nobody writes: what the log alone gives
    assert all_rows(services) == after


def test_a_second_rebuild_of_a_view_is_refused_and_one_of_another_is_not(services: Services) -> None:
    with services.store.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (advisory_key(services.store.schema, "rebuild activity"),))
        with pytest.raises(RebuildRunning, match="activity is being rebuilt already"):
            rebuild(services.log, "activity")
        rebuild(services.log, "credential_list")


def test_what_a_crashed_rebuild_left_does_not_stop_the_next(services: Services) -> None:
    with services.store.connect() as connection:
        connection.execute(f"CREATE TABLE credential_secret{SUFFIX} (left_behind integer)")
    rebuild(services.log, "credential_status")
    assert services.store.row("SELECT to_regclass(%s) AS found", (f"credential_secret{SUFFIX}",)) == {"found": None}


def test_a_rebuild_that_fails_leaves_the_view_as_it_was(services: Services) -> None:
    given.a_credential(services, given.an_organisation(services))
    catch_up(services)
    before = all_rows(services)

    def give_up(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(services.log, "credential_list", give_up)
    assert all_rows(services) == before
    assert services.store.row("SELECT to_regclass(%s) AS found", (f"credential_list{SUFFIX}",)) == {"found": None}


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a short log is folded by several processes."""
    monkeypatch.setattr("projections.rebuild.SPLIT_EVENTS", 1)
    monkeypatch.setattr("projections.rebuild.os.sched_getaffinity", lambda _: {1, 2, 3})


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("name", ["credential_status", "credential_list"])
def test_a_rebuild_in_several_processes_equals_the_live_view(services: Services, name: str) -> None:
    organisation = given.an_organisation(services)
    for number in range(30):
        receipt, _ = given.a_credential(services, organisation, name=Label(f"number {number}"))
        if number % 3 == 0:
            services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))
    catch_up(services)
    before = all_rows(services)
    seen: list[tuple[int, int]] = []

    rebuild(services.log, name, lambda done, total: seen.append((done, total)))

    assert all_rows(services) == before
    assert (seen[0], seen[-1]) == ((0, 71), (71, 71))
    assert seen == sorted(seen)


@pytest.mark.usefixtures("in_parts")
def test_a_part_that_fails_fails_the_rebuild_and_leaves_the_view_as_it_was(services: Services) -> None:
    organisation = given.an_organisation(services)
    for _ in range(10):
        given.a_credential(services, organisation)
    catch_up(services)
    before = all_rows(services)
    with services.store.connect() as connection:
        connection.execute(
            "INSERT INTO ledger_events SELECT %s, 1, 'credential.unheard_of', '{}', max(notification_id) + 1 "
            "FROM ledger_events",
            (uuid4(),),
        )
        connection.execute("UPDATE ledger_head SET position = position + 1")

    with pytest.raises(UnknownTopic):
        rebuild(services.log, "credential_list")

    assert all_rows(services) == before
    assert services.store.row("SELECT to_regclass(%s) AS found", (f"credential_list{SUFFIX}",)) == {"found": None}


@pytest.mark.usefixtures("in_parts")
def test_a_part_whose_process_is_killed_fails_the_rebuild_in_one_sentence(services: Services) -> None:
    organisation = given.an_organisation(services)
    for _ in range(10):
        given.a_credential(services, organisation)
    catch_up(services)
    before = all_rows(services)

    def kill_one(_: int, __: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(RebuildFailed, match="is gone"):
        rebuild(services.log, "credential_list", kill_one)

    assert all_rows(services) == before
    assert services.store.row("SELECT to_regclass(%s) AS found", (f"credential_list{SUFFIX}",)) == {"found": None}


def test_a_snapshot_outlasts_however_long_others_read_it(services: Services) -> None:
    """The parent of a rebuild in parts does nothing in its transaction for as long as they fold."""
    with services.log.snapshot() as snapshot:
        (shown,) = snapshot._connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() or ("",)
    assert shown == "0"


def test_an_unknown_view_is_refused_by_name(services: Services) -> None:
    with pytest.raises(InvalidValue, match="is not one of organisation_status, "):
        rebuild(services.log, "invoices")


def test_progress_goes_from_nothing_to_everything(services: Services) -> None:
    given.a_credential(services, given.an_organisation(services))
    seen: list[tuple[int, int]] = []
    rebuild(services.log, "activity", lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)


@drawn(
    st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=6), max_size=4),
    st.dictionaries(st.sampled_from("ab"), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))),
)
@hypothesis_settings(max_examples=150)
def test_a_line_for_copy_reads_as_the_values_it_was_made_of(
    postgres: str, text: str | None, texts: list[str], labels: dict[str, str]
) -> None:
    columns = ("text", "texts", "labels", "at", "id", "number")
    types = ("text", "text[]", "jsonb", "timestamp with time zone", "uuid", "bigint")
    row = (text, texts, labels, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), uuid4(), 7)
    with psycopg.connect(postgres) as connection:
        connection.execute("SET timezone TO 'UTC'")
        connection.execute(
            "CREATE TEMPORARY TABLE t (text text, texts text[], labels jsonb, at timestamptz, id uuid, number bigint)"
        )
        options = "FORMAT csv, NULL 'null', QUOTE '\"', ESCAPE '\\'"
        with connection.cursor().copy(f"COPY t FROM STDIN WITH ({options})") as copy:
            copy.write(line_encoder(columns, types)(dict(zip(columns, row, strict=True))))
        assert connection.execute("SELECT * FROM t").fetchone() == row
        connection.rollback()
