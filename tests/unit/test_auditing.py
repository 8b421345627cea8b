"""The offline verifier as a program: what it tells does not depend on how many processes look at the leaves."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.auditing import main
from ledger.tlog import checkpoints, notes
from ledger.tlog.bundle import Filter, LeafLine
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.examining import CHUNK_LEAVES
from ledger.tlog.policy import encode
from ledger.tlog.report import Verdict
from tests.unit.tlog.bundles import (
    MANIFEST,
    ROOT_ORIGIN,
    a_bundle,
    a_log,
    leaf,
    log_key,
    policy,
    request,
    seal,
    written,
)

SIZE = 5 * CHUNK_LEAVES + 7  # more than are looked at ahead
LEAVES = [request(0), *(leaf(1, f"key {index}")._replace(leaf_index=index) for index in range(1, SIZE))]


def edited(*indexes: int) -> list[LeafLine]:
    """The leaves with some events that are not as they were sealed."""
    return [
        line._replace(payload=line.payload and line.payload._replace(state=b"{}")) if index in indexes else line
        for index, line in enumerate(LEAVES)
    ]


@pytest.mark.parametrize(
    ("lines", "verdict", "places"),
    [
        (LEAVES, Verdict.OK, []),
        (edited(3, CHUNK_LEAVES, SIZE - 1), Verdict.TAMPERED, [3, CHUNK_LEAVES, SIZE - 1]),
        ([*LEAVES[:1_500], *LEAVES[1_501:]], Verdict.MISSING, [1_500]),
    ],
)
def test_several_processes_find_what_one_finds(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: Sequence[LeafLine],
    verdict: Verdict,
    places: list[int],
) -> None:
    file, believed = tmp_path / "bundle.ndjson", tmp_path / "policy"
    file.write_bytes(b"".join(written(replace(MANIFEST, size=SIZE), lines, seal(line.hash for line in LEAVES))))
    believed.write_bytes(encode(policy()))
    told = []
    for jobs in ("1", "2"):
        assert main([str(file), "--policy", str(believed), "--json", "--jobs", jobs]) == verdict
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    assert [finding["leaf"] for finding in told[0]["findings"]] == places


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("", True),
        ("2100-01-01T00:00:00.000000Z", True),
        ("2026-03-03T12:00:00.000000Z", False),  # long before the last leaf
    ],
)
def test_a_period_that_goes_on_is_told_as_far_as_the_log_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str, told: bool
) -> None:
    file, believed = tmp_path / "bundle.ndjson", tmp_path / "policy"
    file.write_bytes(b"".join(a_bundle(7, Filter(end=end))))
    believed.write_bytes(encode(policy()))
    latest = max(line.entry.partition(b'"at":"')[2][:27].decode() for line in a_log(7))

    assert main([str(file), "--policy", str(believed)]) == Verdict.OK
    line = f"up to      {latest}: what was recorded after that only a later export has"
    assert (line in capsys.readouterr().out.splitlines()) == told
    assert main([str(file), "--policy", str(believed), "--json"]) == Verdict.OK
    assert json.loads(capsys.readouterr().out)["latest"] == latest


@pytest.mark.parametrize("jobs", ["0", "-1", "65", "many"])
def test_as_many_processes_as_nobody_has_are_refused(jobs: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bundle.ndjson", "--policy", "policy", "--jobs", jobs])


def test_what_is_given_to_be_compared_and_is_not_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    believed, file, kept = tmp_path / "policy", tmp_path / "bundle.ndjson", tmp_path / "kept.note"
    believed.write_bytes(encode(policy()))
    file.write_bytes(b"".join(a_bundle()))
    kept.write_bytes(notes.sign(checkpoints.encode(Checkpoint(ROOT_ORIGIN, 1, bytes(32))), [log_key(ROOT_ORIGIN)]))
    assert main([str(file), "--policy", str(believed), "--known", str(kept)]) == Verdict.UNTRUSTED
    assert "kept.note was not compared" in capsys.readouterr().out
