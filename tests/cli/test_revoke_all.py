"""`keyledger credential revoke-all`: looks first, asks, and says how far it came."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.service import CREDENTIAL
from ledger.values import Kind, PublicId
from projections.bulk_revocation_status import list_unfinished
from tests import given
from tests.cli.conftest import CommandLine, CreateCredential, Ran


def revoke_all(keyledger: CommandLine, organisation: str, *more: object, stdin: str | None = None) -> Ran:
    return keyledger("credential", "revoke-all", "--organisation", organisation, *more, stdin=stdin)


@pytest.fixture
def adas(create: CreateCredential) -> list[str]:
    """The ids of two credentials of Ada's; a third is Grace's."""
    create("--contact-email", "grace@example.com")
    return sorted(create("--contact-email", "ada@example.com")["id"] for _ in range(2))


def status(keyledger: CommandLine, *credentials: str) -> list[str]:
    return [keyledger.ok("credential", "show", one, "--json").json["status"] for one in credentials]


def test_a_dry_run_lists_what_it_covers_and_touches_nothing(
    services: Services, keyledger: CommandLine, organisation: str, adas: list[str]
) -> None:
    head = services.log.head()
    shown = revoke_all(keyledger, organisation, "--contact-email", "ada@example.com", "--dry-run")
    document = revoke_all(keyledger, organisation, "--contact-email", "ada@example.com", "--dry-run", "--json").json

    assert shown.exit_code == 0
    assert all(one in shown.out for one in adas)
    assert document["digest"] in shown.out
    assert (document["count"], [one["id"] for one in document["credentials"]]) == (2, adas)
    assert services.log.head() == head


def test_it_asks_and_a_no_records_nothing(
    services: Services, keyledger: CommandLine, organisation: str, adas: list[str]
) -> None:
    head = services.log.head()
    refused = revoke_all(keyledger, organisation, "--contact-email", "ada@example.com", stdin="n\n")
    assert refused.exit_code == 1
    assert services.log.head() == head

    done = revoke_all(
        keyledger, organisation, "--contact-email", "ada@example.com", "--because", "owner_left", stdin="y\n"
    )
    assert (done.exit_code, "Revoked 2 of 2" in done.err) == (0, True)
    assert status(keyledger, *adas) == ["revoked"] * 2


def test_a_digest_confirms_what_its_dry_run_showed_and_nothing_else(
    keyledger: CommandLine, organisation: str, adas: list[str], create: CreateCredential
) -> None:
    asked = ("--contact-email", "ada@example.com", "--because", "owner_left")
    digest = revoke_all(keyledger, organisation, *asked, "--dry-run", "--json").json["digest"]
    create("--contact-email", "ada@example.com")

    changed = revoke_all(keyledger, organisation, *asked, "--digest", digest)
    assert changed.exit_code == 5
    assert status(keyledger, *adas) == ["active"] * 2

    digest = revoke_all(keyledger, organisation, *asked, "--dry-run", "--json").json["digest"]
    run = revoke_all(keyledger, organisation, *asked, "--digest", digest, "--reason", "HR-7", "--json").json
    assert (run["status"], run["revoked"], run["remaining"]) == ("finished", 3, 0)
    last = keyledger.ok("history", adas[0], "--json").json["data"][-1]
    assert (last["topic"], last["reason"]) == ("credential.revoked", "HR-7")


def test_named_credentials_come_from_a_file(
    keyledger: CommandLine, organisation: str, adas: list[str], create: CreateCredential, tmp_path: Path
) -> None:
    leaked = tmp_path / "leaked.txt"
    leaked.write_text(f"\n{adas[0]}\n{adas[0]}\n")
    assert revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes", "--json").json["total"] == 1
    public_id = create()["public_id"]
    assert revoke_all(keyledger, organisation, "--ids-file", "-", "--yes", stdin=public_id).exit_code == 0

    leaked.write_text(f"{adas[0]}\n{public_id}\n")
    assert revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes").exit_code == 2
    leaked.write_text("\n")
    assert revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes").exit_code == 2
    leaked.write_bytes(b"caf\xe9\n")
    assert revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes").exit_code == 2
    leaked.write_text("pk_live_7\npk_\0live\n")
    refused = revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes")
    assert (refused.exit_code, "line 2" in refused.err) == (3, True)


def test_a_public_id_of_something_imported_may_look_like_an_id_without_hyphens(
    services: Services, keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    public_id = PublicId("0197a000000070008000000000000007")
    imported, _ = given.a_credential(services, UUID(organisation), kind=Kind.KEY_PAIR, public_id=public_id)
    leaked = tmp_path / "leaked.txt"
    leaked.write_text(f"{public_id}\n")
    assert revoke_all(keyledger, organisation, "--ids-file", leaked, "--yes").exit_code == 0
    assert status(keyledger, str(imported.id)) == ["revoked"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), 3),  # nobody means all of them
        (("--label", "team"), 2),
        (("--contact-email", "nobody"), 3),
        (("--mode", "live", "--yes", "--dry-run"), 2),
        (("--mode", "test", "--yes"), 5),  # there is none
    ],
)
def test_what_is_wrong_is_refused_and_records_nothing(
    services: Services,
    keyledger: CommandLine,
    organisation: str,
    adas: list[str],
    more: tuple[str, ...],
    code: int,
) -> None:
    head = services.log.head()
    assert revoke_all(keyledger, organisation, *more).exit_code == code
    assert services.log.head() == head


def test_a_run_that_is_cut_off_says_so_and_resume_finishes_it(
    services: Services, keyledger: CommandLine, organisation: str, adas: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("api.bulk_revoking.advance", interrupted)
        cut_off = revoke_all(keyledger, organisation, "--contact-email", "ada@example.com", "--yes")
    (run,) = list_unfinished(services.store, 10)
    assert cut_off.exit_code == 130
    assert f"--resume {run}" in cut_off.err

    resumed = keyledger("credential", "revoke-all", "--resume", run)
    assert (resumed.exit_code, "Revoked 2 of 2" in resumed.err) == (0, True)
    assert keyledger("credential", "revoke-all", "--resume", run).exit_code == 0  # and again does no harm
    assert keyledger("credential", "revoke-all", "--resume", run, "--organisation", organisation).exit_code == 2


# The command in steps of one and with time between them, so that whoever kills it finds it long before the last.
IN_SHORT_STEPS = """
import time
from api import bulk_revoking
from api.cli import main

advance = bulk_revoking.advance


def advance_slowly(*arguments):
    time.sleep(0.1)
    return advance(*arguments)


bulk_revoking.STEP_CREDENTIALS, bulk_revoking.advance = 1, advance_slowly
main()
"""


def test_a_run_whose_process_is_killed_goes_on_and_revokes_each_credential_once(
    services: Services, environment: dict[str, str | None], organisation: str, keyledger: CommandLine
) -> None:
    keys = [given.a_credential(services, UUID(organisation))[0].id for _ in range(100)]
    of = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
    asked = ["credential", "revoke-all", "--organisation", organisation, "--mode", "live", "--yes"]
    process = subprocess.Popen([sys.executable, "-c", IN_SHORT_STEPS, *asked], env=of)
    deadline = time.monotonic() + 60
    while services.ledger.load(CREDENTIAL, keys[0]).revoked_at is None:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait(10)

    (run,) = list_unfinished(services.store, 10)
    # In one look, as what the killed process sent last may still be committed.
    (row,) = services.store.rows(
        "SELECT revoked, (SELECT count(*) FROM credential_status WHERE revoked_at IS NOT NULL) AS found "
        "FROM bulk_revocation_status WHERE run_id = %s",
        (run,),
    )
    assert 0 < row["revoked"] == row["found"] < len(keys)  # it knows how far it came

    finished = keyledger("credential", "revoke-all", "--resume", run, "--json").json
    assert (finished["status"], finished["revoked"], finished["skipped"]) == ("finished", len(keys), 0)
    for key in keys:
        topics = [recorded.event.TOPIC for recorded in services.log.history(key).recorded]
        assert topics.count("credential.revoked") == 1
