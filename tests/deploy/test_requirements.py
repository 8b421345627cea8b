"""What is installed: pinned by hash, from nowhere in particular, the same everywhere, and free to be passed on."""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = sorted((ROOT / "requirements").glob("*.txt"))

_PIN = re.compile(
    r"^([a-z0-9-]+)==([^ ;]+)(?: ; [^\\]+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)

# Licences under which Keyledger may be passed on as a whole, Apache-2.0 itself included. The LGPL is not among them:
# psycopg, which has it, is used as it comes and can be replaced by its user, which is all that it asks.
FREE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|MPL|Mozilla Public License|Unlicense)", re.IGNORECASE)
COPYLEFT = re.compile(r"GPL|General Public|Affero", re.IGNORECASE)
LGPL = {"psycopg", "psycopg-binary", "psycopg-pool"}


def pins(file: Path) -> dict[str, Version]:
    """The versions that a list of requirements pins."""
    return {name: Version(version) for name, version, _ in _PIN.findall(file.read_text())}


def test_there_is_a_list_for_running_testing_and_measuring() -> None:
    assert [file.name for file in LISTS] == ["bench.txt", "run.txt", "test.txt"]


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_every_requirement_is_pinned_by_hash_and_names_no_index(file: Path) -> None:
    left = _PIN.sub("", file.read_text())

    assert pins(file)
    assert [line for line in left.splitlines() if not re.fullmatch(r" +# .*", line)] == []
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", file.read_text())


def test_what_runs_is_what_was_tested() -> None:
    tested, running, measured = (pins(ROOT / f"requirements/{name}.txt") for name in ("test", "run", "bench"))
    others = {n: v for n, v in running.items() if tested.get(n) != v}
    # Measuring also takes peers, which nothing else needs.
    others |= {n: v for n, v in measured.items() if tested.get(n, v) != v or (n in running and running[n] != v)}

    assert others == {}, "run.txt or bench.txt pins other versions than the tests': run `make lock`"


@pytest.mark.parametrize("name", ["test", "bench"])
def test_what_only_some_install_is_there_to_be_tested_and_measured(name: str) -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    parts = [asked for extra in extras.keys() - {"build", "test", "bench"} for asked in extras[extra]]

    assert {Requirement(asked).name for asked in parts} <= pins(ROOT / f"requirements/{name}.txt").keys()


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_the_pins_are_what_pyproject_asks_for(file: Path) -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]
    wanted += project["optional-dependencies"].get(file.stem, [])
    pinned = pins(file)

    for requirement in map(Requirement, wanted):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{requirement} is not pinned in requirements/{file.name}: run `make lock`"
        assert pinned[name] in requirement.specifier, f"{requirement} is pinned as {pinned[name]}: run `make lock`"


def test_no_requirement_binds_those_who_pass_keyledger_on() -> None:
    unfit = {}
    for name in pins(ROOT / "requirements/test.txt"):
        try:
            licence = licence_of(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        if (COPYLEFT.search(licence) and name not in LGPL) or not (FREE.search(licence) or name in LGPL):
            unfit[name] = licence

    assert unfit == {}
    assert {name: licence_of(name) for name in LGPL} == dict.fromkeys(LGPL, "LGPL-3.0-only")


def licence_of(distribution: str) -> str:
    """What its metadata says: the SPDX expression, or else the older field and classifiers, or else how the text of its
    licence begins.
    """
    found = metadata.metadata(distribution)
    if found["License-Expression"]:
        return found["License-Expression"]
    classifiers = [line for line in found.get_all("Classifier") or [] if line.startswith("License ::")]
    if told := "; ".join(filter(None, [(found["License"] or "")[:200], *classifiers])):
        return told
    text = metadata.distribution(distribution).read_text(f"licenses/{found['License-File']}") or ""
    return text[:200]


@pytest.mark.parametrize("folder", ["requirements", "benchmarks/peers"])
def test_what_npm_brings_is_pinned_by_hash_and_names_no_registry(folder: str) -> None:
    lock = (ROOT / folder / "package-lock.json").read_text()
    packages = {name: package for name, package in json.loads(lock)["packages"].items() if name}

    assert packages
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert '"resolved"' not in lock


@pytest.mark.parametrize("folder", ["requirements", "benchmarks/peers"])
def test_no_npm_package_binds_those_who_pass_keyledger_on(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    licences = {name: package.get("license", "") for name, package in packages.items()}

    assert {name: licence for name, licence in licences.items() if COPYLEFT.search(licence)} == {}
