"""`keyledger audit export --format` and `keyledger audit review`: a file and its manifest."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from api.cli.exporting import write_whole
from api.wiring import Services
from ledger.errors import ExportOvertaken
from projections.sealed.sealer import Sealer
from tests import given
from tests.cli.conftest import CommandLine
from tests.projections.test_sealing import sealing


@pytest.fixture
def organisation(services: Services) -> UUID:
    organisation = given.an_organisation(services)
    given.a_credential(services, organisation)
    return organisation


def manifest_of(file: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads(file.with_name(f"{file.name}.manifest.json").read_text())
    assert manifest["sha256"] == sha256(file.read_bytes()).hexdigest()
    return manifest


def test_events_are_written_for_other_tools_with_their_manifest(
    services: Services, organisation: UUID, keyledger: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "events.parquet"
    with sealing(services) as by_hand:
        by_hand.seal()
    sealer = Sealer(services.log)
    sealer.start()
    try:
        asked = ("audit", "export", "--organisation", organisation, "--format", "parquet", "--output", file)
        said = keyledger.ok(*asked, "--reason", "audit of 2026").out
    finally:
        sealer.stop()
    table = pq.read_table(file)
    assert f"{file}: {table.num_rows} events" in said
    assert table["topic"].to_pylist()[-1] == "export.requested"
    assert manifest_of(file)["rows"] == table.num_rows
    assert sorted(path.name for path in tmp_path.glob("events*")) == ["events.parquet", "events.parquet.manifest.json"]


def test_exports_are_listed_with_how_far_their_files_are_and_written_once_more_without_asking_anew(
    services: Services, organisation: UUID, keyledger: CommandLine, tmp_path: Path
) -> None:
    asked = ("audit", "export", "--organisation", organisation)
    sealer = Sealer(services.log)
    with sealing(services) as by_hand:
        by_hand.seal()
    sealer.start()
    try:
        keyledger.ok(*asked, "--format", "csv", "--output", tmp_path / "one.csv", "--reason", "audit of 2026")
    finally:
        sealer.stop()
    (tmp_path / "two.csv.part").write_text("what a run that was cut off left")
    listed = keyledger.ok("audit", "exports", "--organisation", organisation, "--json").json["data"]
    ((download,),) = [one["downloads"] for one in listed]
    assert (listed[0]["status"], listed[0]["reason"]) == ("ready", "audit of 2026")
    assert download["leaves_done"] == download["leaves"] == listed[0]["leaves"]
    assert download["finished_at"] is not None

    again = (*asked, "--export", listed[0]["id"])
    for form, name in (("csv", "two.csv"), ("bundle", "two.ndjson")):
        keyledger.ok(*again, "--format", form, "--output", tmp_path / name)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert not (tmp_path / "two.csv.part").exists()
    shown = keyledger.ok("audit", "exports", "--organisation", organisation).out
    assert "bundle ready, csv ready" in shown
    assert shown.count("audit of 2026") == 1
    more = keyledger(*again, "--format", "csv", "--output", tmp_path / "three.csv", "--reason", "another")
    assert (more.exit_code, "nothing is added" in more.err) == (2, True)
    other = given.an_organisation(services, "Other")
    foreign = keyledger("audit", "export", "--organisation", other, *again[4:], "--output", tmp_path / "three.csv")
    assert foreign.exit_code == 3
    assert not list(tmp_path.glob("three*"))


def test_exports_of_what_concerns_no_organisation_are_listed_without_those_of_any(
    services: Services, organisation: UUID, keyledger: CommandLine
) -> None:
    given.an_export(services, organisation)
    own = given.an_export(services, None)
    listed = keyledger.ok("audit", "exports", "--installation", "--json").json["data"]
    assert [one["id"] for one in listed] == [str(own)]
    assert keyledger("audit", "exports").exit_code == 2
    assert keyledger("audit", "exports", "--installation", "--organisation", organisation).exit_code == 2


@pytest.mark.parametrize("form", ["csv", "parquet", "html"])
def test_a_review_is_written_with_its_manifest(
    organisation: UUID, keyledger: CommandLine, tmp_path: Path, form: str
) -> None:
    file = tmp_path / f"review.{form}"
    asked = ("audit", "review", "--organisation", organisation, "--format", form, "--output", file)
    told = json.loads(keyledger.ok(*asked, "--reason", "third quarter", "--json").out)
    assert told == manifest_of(file)
    assert (told["rows"], told["counts"], told["asked"]["reason"]) == (1, {"active": 1}, "third quarter")


def test_a_review_of_the_past_has_what_there_was(organisation: UUID, keyledger: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "review.csv"
    asked = ("audit", "review", "--organisation", organisation, "--output", file, "--reason", "audit")
    assert "0 credentials" in keyledger.ok(*asked, "--as-of", "2020-01-01T00:00:00Z").out


def test_what_is_there_is_not_written_over(organisation: UUID, keyledger: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "review.csv"
    file.write_text("somebody else's")
    for command in (("review",), ("export", "--format", "csv")):
        asked = ("audit", *command, "--organisation", organisation, "--output", file, "--reason", "audit")
        assert "is there already" in keyledger(*asked).err
    assert file.read_text() == "somebody else's"


def test_a_review_without_a_reason_is_refused_and_leaves_no_file(
    organisation: UUID, keyledger: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "review.csv"
    assert keyledger("audit", "review", "--organisation", organisation, "--output", file).exit_code != 0
    assert list(tmp_path.glob("review*")) == []


@pytest.mark.parametrize("failure", [ExportOvertaken, KeyboardInterrupt])
def test_what_fails_half_way_leaves_nothing_of_what_may_be_erased_by_then(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"ada@example.com"
        raise failure("erased meanwhile")

    with pytest.raises(failure):
        write_whole(tmp_path / "events.csv", pieces())
    assert list(tmp_path.iterdir()) == []
