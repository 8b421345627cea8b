"""Programs that some tests need: nginx and other servers from the system, Spectral from npm, Caddy
and a witness from pip.

A developer without one skips those tests and is told so. In CI, where `.ci/run` installs them as root, nothing is
skipped: what is missing there is a failure.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

# Debian keeps servers in /usr/sbin, which an ordinary user's PATH lacks; `.ci/run` installs from npm beside its lock.
# An environment that was not activated is not on the PATH.
_BESIDES_PATH = (
    "/usr/sbin",
    "/usr/local/sbin",
    str(Path(__file__).parents[1] / "requirements/node_modules/.bin"),
    str(Path(sys.executable).parent),
)
_GOPATH = "/usr/share/gocode"


def program(name: str) -> str:
    """The path of a program; without it the test that asks is skipped, or in CI fails."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_BESIDES_PATH)))
    return found or _missing(name)


def go_packages(name: str) -> str:
    """The GOPATH with a Go package that Debian installs as source, which is treated alike."""
    return _GOPATH if (Path(_GOPATH) / "src" / name).is_dir() else _missing(name)


def witness_packages() -> str:
    """The directory with aics-witness, which is kept apart as its metadata asks for a newer Python than it needs."""
    there = Path(__file__).parents[1] / "requirements/witness/site"
    return str(there) if (there / "aics_witness").is_dir() else _missing("aics-witness")


def root(why: str) -> None:
    """Being root; any other user skips the test that asks, or in CI fails."""
    if os.geteuid() != 0:
        _cannot(f"only root can do this: {why}")


def _missing(name: str) -> NoReturn:
    _cannot(f"{name} is not installed: .ci/run shows how to install it")


def _cannot(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
