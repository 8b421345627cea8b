"""The list of erasures: what is on it stays on it, whoever writes and however the file is lost."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from api import sweeping
from api.erasing import erase_again, erase_brought_back, sweep_unlisted_erasures
from api.sweeping import Sweeper
from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential
from ledger.errors import StoreUnavailable
from ledger.settings import SettingsError
from ledger.store import erasures
from ledger.store.erasures import Erasure, ErasureList
from projections.credential_status import list_not_erased
from projections.erasure_marks import keep_mark, list_marks
from tests import given
from tests.waiting import until


def listed(among: ErasureList) -> list[Erasure]:
    return [one for batch in among.batches() for one in batch]


def an_erasure(number: int) -> Erasure:
    return Erasure(UUID(int=number), "credential", datetime(2026, 1, 2, tzinfo=UTC), "operator:x", "asked to")


def an_erased_credential(services: Services) -> UUID:
    receipt, _ = given.a_credential(services, given.an_organisation(services))
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))
    services.ledger.handle(EraseCredential(context=given.context(reason="asked to"), credential_id=receipt.id))
    return receipt.id


def test_all_that_is_listed_is_read_in_batches_and_nothing_is_listed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "BATCH", 3)
    kept = ErasureList(tmp_path / "erasures.sqlite")
    assert listed(kept) == []
    kept.remember(map(an_erasure, range(1, 8)))
    kept.remember([an_erasure(3)._replace(reason="another"), an_erasure(9)])
    assert listed(ErasureList(tmp_path / "erasures.sqlite")) == [an_erasure(n) for n in (*range(1, 8), 9)]
    assert kept.missing([UUID(int=8), UUID(int=9), UUID(int=1), UUID(int=10)]) == [UUID(int=8), UUID(int=10)]


def test_what_was_entered_after_a_mark_is_read_from_there_on(tmp_path: Path) -> None:
    kept = ErasureList(tmp_path / "erasures.sqlite")
    assert (kept.newest_mark(), kept.own_marks([b"x"])) == (None, [])
    kept.remember(map(an_erasure, (7, 8)))
    mark = kept.newest_mark()
    assert mark is not None
    assert [*kept.batches(after=mark)] == []
    kept.remember([an_erasure(2), an_erasure(8)])
    newest = kept.newest_mark()
    assert newest is not None
    assert [*kept.batches(after=mark)] == [[an_erasure(2)]]
    assert kept.own_marks([newest, b"of another list", mark]) == [mark, newest]


def test_a_list_that_was_begun_without_marks_gets_them(tmp_path: Path) -> None:
    file = tmp_path / "erasures.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(erasures._TABLE)
        row = (UUID(int=5).bytes, "credential", "2026-01-02T00:00:00+00:00", "operator:x", "asked to")
        database.execute("INSERT INTO erased VALUES (?, ?, ?, ?, ?)", row)
    kept = ErasureList(file)
    kept.remember([an_erasure(4)])
    assert listed(kept) == [an_erasure(5), an_erasure(4)]


def a_listed_credential(services: Services) -> UUID:
    """One that is on the list and was never erased in this database, as in a backup from before."""
    receipt, _ = given.a_credential(services, given.an_organisation(services))
    services.erasures.remember([an_erasure(receipt.id.int)])
    return receipt.id


def test_only_what_was_listed_since_is_compared_with_the_database(services: Services) -> None:
    an_erased_credential(services)
    assert erase_brought_back(services) == 0
    (before,) = list_marks(services.store)
    listed_since = a_listed_credential(services)
    assert erase_brought_back(services) == 1
    assert list_not_erased(services.store, [listed_since]) == []
    assert list_marks(services.store) == [services.erasures.newest_mark()] != [before]

    # Something that nobody has erased takes the place of what was: as long as the mark is there, nobody looks.
    receipt, _ = given.a_credential(services, given.an_organisation(services))
    with closing(sqlite3.connect(services.settings.erasures_file)) as database, database:
        for table in ("erased", "entered"):
            database.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (receipt.id.bytes, listed_since.bytes))  # noqa: S608
    assert erase_brought_back(services) == 0
    keep_mark(services.store, before, instead_of=list_marks(services.store))  # which an older backup has
    assert erase_brought_back(services) == 1


def test_what_is_restored_under_a_running_service_is_erased_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.05)
    sweeper = Sweeper(services)
    sweeper.start()
    try:
        brought_back = a_listed_credential(services)
        until(lambda: list_not_erased(services.store, [brought_back]) == [])
    finally:
        sweeper.stop()


def test_a_list_whose_directory_is_gone_is_not_taken_for_an_empty_one(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "not mounted" / "erasures.sqlite"
    settings = replace(services.settings, erasures=str(file))
    with pytest.raises(SettingsError, match="whose directory is not there"):
        erase_again(replace(services, settings=settings, erasures=ErasureList(file)))


def test_a_list_from_another_machine_is_compared_whole(services: Services, tmp_path: Path) -> None:
    a_listed_credential(services)
    assert erase_brought_back(services) == 1
    receipt, _ = given.a_credential(services, given.an_organisation(services))
    others = replace(services, erasures=ErasureList(tmp_path / "others.sqlite"))
    others.erasures.remember([an_erasure(receipt.id.int), *listed(services.erasures)])
    assert erase_brought_back(others) == 1
    assert len(list_marks(services.store)) == 2
    assert (erase_brought_back(services), erase_brought_back(others)) == (0, 0)


def test_an_erasure_is_listed_when_it_is_answered(services: Services) -> None:
    erased = an_erased_credential(services)
    assert [(one.id, one.aggregate, one.reason) for one in listed(services.erasures)] == [
        (erased, "credential", "asked to")
    ]


def test_what_the_list_lacks_is_entered_from_the_database(services: Services) -> None:
    erased = an_erased_credential(services)
    for enter in (erase_again, sweep_unlisted_erasures):
        services.settings.erasures_file.unlink()
        assert enter(services) == 0
        assert [one.id for one in listed(services.erasures)] == [erased]


def test_without_a_data_directory_nothing_is_listed_here(tmp_path: Path) -> None:
    nowhere = ErasureList(tmp_path / "missing" / "erasures.sqlite")
    nowhere.remember([an_erasure(1)])
    assert (nowhere.kept, listed(nowhere)) == (False, [])


def test_a_list_that_cannot_be_used_is_said_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "erasures.sqlite"
    file.write_text("this is no database" * 100)
    for use in (lambda: listed(ErasureList(file)), lambda: ErasureList(file).remember([an_erasure(1)])):
        with pytest.raises(StoreUnavailable, match="the list of erasures cannot be used"):
            use()
