"""`keyledger audit`: from the database to an auditor's laptop."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential
from ledger.tlog.report import Verdict
from ledger.values import EmailAddress
from projections.sealed.sealer import Sealer
from tests import given
from tests.cli.conftest import CommandLine
from tests.projections.test_sealing import sealing, some_events

ROOT = Path(__file__).parents[2]

# What an auditor has not installed, and what reaches the network: to import it, or to do it, is an error.
WITHOUT = """
import sys, socket

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "flask", "psycopg", "eventsourcing", "msgspec", "click", "orjson", "rich", "marshmallow",
        }:
            raise ImportError(f"{name} is not installed here")

def refuse(*_args, **_more):
    raise OSError("there is no network here")

sys.meta_path.insert(0, Blocked())
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture
def sealed(services: Services) -> UUID:
    """An organisation, some of whose events are sealed."""
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        by_hand.seal()
    return organisation


@pytest.fixture
def exported(services: Services, sealed: UUID, keyledger: CommandLine, tmp_path: Path) -> tuple[Path, Path]:
    """A bundle and a policy, as an auditor is handed them."""
    bundle, policy = tmp_path / "acme.ndjson", tmp_path / "policy"
    sealer = Sealer(services.log)
    sealer.start()
    try:
        keyledger.ok("audit", "export", "--organisation", sealed, "--reason", "audit of 2026", "--output", bundle)
    finally:
        sealer.stop()
    policy.write_text(keyledger.ok("audit", "policy", "--organisation", sealed).out)
    return bundle, policy


def verified(bundle: Path, policy: Path, *more: str | Path, blocked: bool = True) -> subprocess.CompletedProcess[str]:
    """`keyledger audit verify` as a process of its own, on a machine that has Python and cryptography."""
    argv = ["keyledger", "audit", "verify", str(bundle), "--policy", str(policy), *map(str, more)]
    program = f"{WITHOUT if blocked else ''}\nsys.argv = {argv!r}\nfrom api.entry import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )


def test_an_export_verifies_on_a_machine_without_database_network_or_our_other_packages(
    exported: tuple[Path, Path],
) -> None:
    ran = verified(*exported)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("ok\n")
    assert "audit of 2026" in ran.stdout


def test_the_verifier_is_a_module_of_its_own_too(exported: tuple[Path, Path]) -> None:
    bundle, policy = exported
    ran = subprocess.run(
        [sys.executable, "-m", "ledger.auditing", bundle, "--policy", policy, "--json"],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    document = orjson.loads(ran.stdout)
    assert (ran.returncode, document["verdict"], document["leaves"]) == (0, "ok", 8)
    assert document["manifest"]["reason"] == "audit of 2026"


@pytest.mark.parametrize("program", [["-m", "ledger.auditing"], ["-m", "api.cli", "audit", "verify"]])
def test_ctrl_c_ends_it_in_a_line(exported: tuple[Path, Path], tmp_path: Path, program: list[str]) -> None:
    bundle, policy = exported
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    verifying = subprocess.Popen(
        [sys.executable, *program, pipe, "--policy", policy],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    with pipe.open("wb") as half:  # as soon as the verifier reads it
        half.write(bundle.read_bytes()[:-100])
        half.flush()
        verifying.send_signal(signal.SIGINT)
        assert verifying.communicate(timeout=60) == (b"", b"error: interrupted\n")
    assert verifying.returncode == 130


INTERRUPTED_IMPORT = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "api.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from api.entry import main
main()
"""


def test_ctrl_c_while_a_command_is_still_being_imported_ends_it_in_a_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "error: interrupted\n")


def test_what_was_tampered_with_is_named_and_told_by_the_exit_code(exported: tuple[Path, Path]) -> None:
    bundle, policy = exported
    bundle.write_bytes(bundle.read_bytes().replace(b"Acme", b"Acne", 1))
    ran = verified(bundle, policy)
    assert ran.returncode == Verdict.TAMPERED
    assert "leaf 0 (organisation.registered" in ran.stdout


def test_a_kept_bundle_tells_that_the_log_was_longer(exported: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, policy = exported
    assert verified(bundle, policy, "--known", bundle).returncode == 0
    half = tmp_path / "half.ndjson"
    half.write_bytes(b"".join(bundle.read_bytes().splitlines(keepends=True)[:4]))
    assert verified(half, policy).returncode == Verdict.TRUNCATED


@pytest.mark.parametrize("missing", ["bundle", "policy", "known"])
def test_a_file_that_is_not_there_is_a_mistake_of_use(exported: tuple[Path, Path], missing: str) -> None:
    bundle, policy = exported
    nowhere = bundle.with_name("nowhere")
    files = {"bundle": bundle, "policy": policy, "known": bundle, missing: nowhere}
    ran = verified(files["bundle"], files["policy"], "--known", files["known"])
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: ")


def test_the_verifier_is_among_the_commands_as_well(exported: tuple[Path, Path], keyledger: CommandLine) -> None:
    bundle, policy = exported
    assert keyledger("audit", "verify", bundle, "--policy", policy).exit_code == 0
    assert "verify" in keyledger.ok("audit", "--help").out


def test_a_half_written_file_is_gone_on_with(exported: tuple[Path, Path], keyledger: CommandLine, sealed: UUID) -> None:
    bundle, _policy = exported
    whole = bundle.read_bytes()
    for kept in (len(whole) // 2, len(whole.splitlines(keepends=True)[0]), len(whole) - 10):
        bundle.write_bytes(whole[:kept])
        ran = keyledger.ok("audit", "export", "--organisation", sealed, "--output", bundle)
        assert "Going on" in ran.err
        assert bundle.read_bytes() == whole
    refused = keyledger("audit", "export", "--organisation", sealed, "--output", bundle)
    assert (refused.exit_code, "whole" in refused.err) == (2, True)


def test_a_half_written_file_is_gone_on_with_where_the_same_is_asked_for_and_for_nothing_else(
    exported: tuple[Path, Path], keyledger: CommandLine, sealed: UUID
) -> None:
    bundle, _policy = exported
    whole = bundle.read_bytes()
    half = whole[: len(whole) // 2]
    bundle.write_bytes(half)
    of = ("audit", "export", "--organisation", sealed, "--output", bundle)
    for otherwise in (
        ("--reason", "another audit"),
        ("--reason", "audit of 2026", "--topic", "credential"),
        ("--reason", "audit of 2026", "--personal"),
        ("--reason", "audit of 2026", "--from", "2026-01-01T00:00:00Z"),
        ("--reason", "audit of 2026", "--credential", uuid4()),
        ("--personal",),
    ):
        refused = keyledger(*of, *otherwise)
        assert (refused.exit_code, "otherwise" in refused.err) == (2, True)
        assert bundle.read_bytes() == half
    keyledger.ok(*of, "--reason", "audit of 2026")
    assert bundle.read_bytes() == whole


def test_a_file_of_something_else_is_not_touched(keyledger: CommandLine, sealed: UUID, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine\n")
    assert keyledger("audit", "export", "--organisation", sealed, "--reason", "x", "--output", other).exit_code == 2
    assert other.read_text() == "mine\n"


def test_an_export_says_why_and_of_whom(keyledger: CommandLine, sealed: UUID, tmp_path: Path) -> None:
    output = tmp_path / "new"
    assert keyledger("audit", "export", "--organisation", sealed, "--output", output).exit_code == 3
    assert keyledger("audit", "export", "--organisation", uuid4(), "--reason", "x", "--output", output).exit_code == 4
    assert not output.exists()


def test_without_a_sealer_an_export_says_so(
    keyledger: CommandLine, sealed: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.auditing.SEALED_SECONDS_MAX", 0.2)
    ran = keyledger("audit", "export", "--organisation", sealed, "--reason", "x", "--output", tmp_path / "new")
    assert (ran.exit_code, "serve" in ran.err) == (7, True)


def test_the_database_is_checked_leaf_by_leaf(services: Services, keyledger: CommandLine, sealed: UUID) -> None:
    assert keyledger.ok("audit", "check").out == "ok\n"
    assert "ok, 7 leaves" in keyledger.ok("audit", "check", "--organisation", sealed).out
    with services.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("DELETE FROM ledger_events WHERE topic = 'organisation.registered'")
    ran = keyledger("audit", "check")
    assert ran.exit_code == Verdict.MISSING
    assert "leaf 0 (organisation.registered" in ran.out
    document = keyledger("audit", "check", "--json").json
    assert document["verdict"] == "missing"
    found = [finding for log in document["logs"] for finding in log["findings"]]
    assert [finding["leaf"] for finding in found] == [0]


def test_what_somebody_wrote_into_the_database_does_not_repaint_what_is_found(
    services: Services, keyledger: CommandLine, sealed: UUID
) -> None:
    with services.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ledger_events SET topic = E'\\x1b[2Jok' WHERE topic = 'organisation.registered'")
    ran = keyledger("audit", "check", "--organisation", sealed)
    assert ran.exit_code == Verdict.TAMPERED
    assert ("\x1b" in ran.out, "made one of \\x1b[2Jok" in ran.out) == (False, True)


def test_a_check_takes_what_was_kept_elsewhere(
    exported: tuple[Path, Path], keyledger: CommandLine, services: Services
) -> None:
    bundle, policy = exported
    keyledger.ok("audit", "check", "--known", bundle)
    keyledger.ok("audit", "check", "--known", bundle, "--policy", policy)
    services.settings.signer_memory_file.unlink()
    assert "memory" in keyledger.ok("audit", "check").err
    bundle.write_text("something else\n")
    assert keyledger("audit", "check", "--known", bundle).exit_code == 2


def test_what_an_older_key_signed_is_compared_by_the_policy_of_then(
    exported: tuple[Path, Path], keyledger: CommandLine, services: Services, sealed: UUID, tmp_path: Path
) -> None:
    kept, before = exported
    bundle, policy = tmp_path / "new.ndjson", tmp_path / "new.policy"
    keyledger.ok("log", "rotate-key", "--overlap", "0", "--reason", "stolen")
    sealer = Sealer(services.log)
    sealer.start()
    try:
        keyledger.ok("audit", "export", "--organisation", sealed, "--reason", "again", "--output", bundle)
    finally:
        sealer.stop()
    policy.write_text(keyledger.ok("audit", "policy", "--organisation", sealed).out)
    assert verified(bundle, policy).returncode == 0
    assert verified(kept, policy).returncode == Verdict.UNTRUSTED
    told = verified(bundle, policy, "--known", kept)
    assert (told.returncode, "--earlier-policy" in told.stdout) == (Verdict.UNTRUSTED, True)
    assert verified(bundle, policy, "--known", kept, "--earlier-policy", before).returncode == 0


def test_the_root_log_tells_that_no_head_was_kept_back(
    exported: tuple[Path, Path], keyledger: CommandLine, tmp_path: Path
) -> None:
    bundle, policy = exported
    root = tmp_path / "root.ndjson"
    assert "whether it has others" in verified(bundle, policy).stdout
    keyledger.ok("audit", "root-log", "--output", root)
    ran = verified(bundle, policy, "--root-log", root)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "of this log: all" in ran.stdout
    assert "as the policy has it" in ran.stdout
    assert keyledger("audit", "root-log", "--output", root).exit_code == 2
    root.write_bytes(root.read_bytes().replace(b'"digest":"', b'"digest":"0', 1))
    assert verified(bundle, policy, "--root-log", root).returncode == Verdict.TAMPERED
    assert verified(bundle, policy, "--root-log", root.with_name("nowhere")).returncode == 2


def test_what_concerns_no_organisation_is_exported_by_whoever_runs_the_ledger(
    keyledger: CommandLine, services: Services, sealed: UUID, tmp_path: Path
) -> None:
    bundle, policy = tmp_path / "installation.ndjson", tmp_path / "policy"
    sealer = Sealer(services.log)
    sealer.start()
    try:
        keyledger.ok("audit", "export", "--installation", "--reason", "who may do what", "--output", bundle)
    finally:
        sealer.stop()
    policy.write_text(keyledger.ok("audit", "policy", "--installation").out)
    ran = verified(bundle, policy)
    assert (ran.returncode, "/installation" in ran.stdout) == (0, True)
    both = ("--installation", "--organisation", str(sealed))
    for options in (both, ()):
        assert keyledger("audit", "export", *options, "--reason", "x", "--output", tmp_path / "x").exit_code == 2
    assert keyledger("audit", "policy").exit_code == 2


def test_a_log_that_is_not_there_is_missed_when_it_is_asked_for(keyledger: CommandLine, sealed: UUID) -> None:
    ran = keyledger("audit", "check", "--organisation", uuid4())
    assert (ran.exit_code, "no such log" in ran.out) == (Verdict.MISSING, True)


@pytest.mark.parametrize("lines_lost", [9, 1])  # before the credential, and after it
def test_an_export_with_what_was_erased_since_is_gone_on_with(
    keyledger: CommandLine, services: Services, sealed: UUID, tmp_path: Path, lines_lost: int
) -> None:
    bundle, policy = tmp_path / "personal.ndjson", tmp_path / "policy"
    credential, _ = given.a_credential(services, sealed, contact_email=EmailAddress("ada@example.com"))
    sealer = Sealer(services.log)
    sealer.start()
    try:
        keyledger.ok("audit", "export", "--organisation", sealed, "--reason", "x", "--personal", "--output", bundle)
        whole = bundle.read_bytes().splitlines(keepends=True)
        services.ledger.handle(RevokeCredential(context=given.context(), credential_id=credential.id))
        services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential.id))
        bundle.unlink()
        bundle.write_bytes(b"".join(whole[:-lines_lost]))
        assert (b"ada@example.com" in bundle.read_bytes()) == (lines_lost == 1)
        keyledger.ok("audit", "export", "--organisation", sealed, "--output", bundle)
        assert b"ada@example.com" not in bundle.read_bytes()
    finally:
        sealer.stop()
    policy.write_text(keyledger.ok("audit", "policy", "--organisation", sealed).out)
    ran = verified(bundle, policy)
    assert ran.returncode == Verdict.ERASED, ran.stdout
    assert b'{"type":"later"' in bundle.read_bytes()
    bundle.write_bytes(b"".join(bundle.read_bytes().splitlines(keepends=True)[:-1]))
    keyledger.ok("audit", "export", "--organisation", sealed, "--output", bundle)
    assert verified(bundle, policy).returncode == Verdict.ERASED
