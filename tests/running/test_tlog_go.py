"""Our checkpoints, tiles and proofs, checked by what Go's checksum database is built on (golang.org/x/mod/sumdb)."""

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger.tlog import checkpoints, notes
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import consistency_proof, inclusion_proof, leaf_hash, root
from ledger.tlog.notes import Algorithm, SignerKey
from tests.programs import go_packages, program
from tests.unit.tlog.trees import Log, flipped

SOURCE = Path(__file__).parent / "tlog_go" / "main.go"
SIGNER = SignerKey("ledger.example/7", Algorithm.ED25519, b"\x01" * 32)
WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE, b"\x02" * 32)
SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 700)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from what Debian packages: no module is downloaded."""
    build = tmp_path_factory.mktemp("go")
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": go_packages("golang.org/x/mod/sumdb"),
        "GOFLAGS": "",
        "GOCACHE": str(build / "cache"),
        "CGO_ENABLED": "0",
    }
    built = build / "checker"
    subprocess.run([program("go"), "build", "-o", built, SOURCE], env=environment, check=True, timeout=250)
    return built


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A directory with a log that grew in rounds, and proofs between many of its sizes."""
    grown = Log()
    for before, size in zip((0, *SIZES), SIZES, strict=False):
        grown.append([b"entry %d" % number for number in range(before, size)])
    for path, data in grown.files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    read = grown.reader()
    text = checkpoints.encode(Checkpoint(SIGNER.name, grown.size, root(grown.size, read)))
    (tmp_path / "checkpoint").write_bytes(notes.sign(text, [SIGNER, WITNESS], time=5))
    (tmp_path / "key").write_text(SIGNER.verifier.encode())
    (tmp_path / "signer").write_text(SIGNER.encode())
    proofs = {
        "inclusion": [
            {
                "index": index,
                "size": size,
                "root": encoded(root(size, read)),
                "leaf": encoded(leaf_hash(grown.entries[index])),
                "proof": list(map(encoded, inclusion_proof(index, size, read))),
            }
            for size in SIZES
            for index in {0, size // 2, size - 1}
        ],
        "consistency": [
            {
                "old": old,
                "new": new,
                "oldRoot": encoded(root(old, read)),
                "newRoot": encoded(root(new, read)),
                "proof": list(map(encoded, consistency_proof(old, new, read))),
            }
            for new in SIZES
            for old in SIZES
            if old <= new
        ],
    }
    (tmp_path / "proofs.json").write_text(json.dumps(proofs))
    return tmp_path


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def run(checker: Path, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([checker, log], capture_output=True, text=True, timeout=60)


def proofs_of(parts: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [part["proof"] for part in parts]


def test_go_accepts_all_that_we_wrote_and_makes_the_same(checker: Path, log: Path) -> None:
    ran = run(checker, log)
    assert ran.stderr == ""
    made, ours = json.loads(ran.stdout), json.loads((log / "proofs.json").read_text())
    assert [proof or [] for proof in made["Inclusion"]] == proofs_of(ours["inclusion"])
    assert [proof or [] for proof in made["Consistency"]] == proofs_of(ours["consistency"])
    opened = notes.open_note(made["Note"].encode(), [SIGNER.verifier])
    assert opened.text == notes.open_note((log / "checkpoint").read_bytes(), [SIGNER.verifier]).text


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("checkpoint", "checkpoint"),
        ("tile/0/000", "tiles"),
        ("tile/0/002.p/188", "tiles"),
        ("tile/1/000.p/2", "tiles"),
        ("tile/entries/001", "entries"),
    ],
)
def test_go_notices_a_flipped_bit(checker: Path, log: Path, file: str, complaint: str) -> None:
    path = log / file
    path.write_bytes(flipped(path.read_bytes(), 77))
    ran = run(checker, log)
    assert ran.returncode == 1
    assert complaint in ran.stderr


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_go_refuses_a_proof_that_is_not_ours(checker: Path, log: Path, kind: str) -> None:
    proofs = json.loads((log / "proofs.json").read_text())
    changed = next(part for part in proofs[kind] if part["proof"])
    changed["proof"][0] = encoded(bytes(32))
    (log / "proofs.json").write_text(json.dumps(proofs))
    ran = run(checker, log)
    assert ran.returncode == 1
    assert kind in ran.stderr
