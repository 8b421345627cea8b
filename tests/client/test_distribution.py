"""What is installed: a distribution of its own, with its types, and none of the server's dependencies."""

import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.architecture.test_imports import foreign
from tests.running.doors import ROOT

PROJECT = ROOT / "clients/python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves things beside its sources."""
    directory = tmp_path_factory.mktemp("wheel")
    copy = "import shutil, sys; shutil.copytree(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", copy, PROJECT, directory / "client"], check=True)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=directory / "client", check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return built


def test_it_needs_nothing_but_its_http(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        told = HeaderParser().parsestr(archive.read(metadata).decode())

    assert told["Name"] == "keyledger-client"
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_all("Requires-Dist") == ["httpcore[asyncio]<2,>=1.0.9"]


def test_it_imports_nothing_else_and_nothing_of_ours() -> None:
    for file in (PROJECT / "src").rglob("*.py"):
        source = file.read_text()
        assert foreign(source) <= {"httpcore", "keyledger_client"}, file
        assert "from api" not in source, file
        assert "from ledger" not in source, file


def test_its_wheel_holds_the_package_its_types_and_its_licence_and_works_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "keyledger_client/py.typed" in names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"keyledger_client"}
    assert any(name.endswith("licenses/LICENSE") for name in names)

    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import keyledger_client as k; print(k.__file__)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True, cwd="/")
    assert ran.stdout.startswith(str(wheel))
