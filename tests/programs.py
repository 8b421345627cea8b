"""Programs that some tests need: nginx and other servers from the system, Spectral from npm, Caddy from pip.

A developer without one skips those tests and is told so. In CI, where `.ci/run` installs them, nothing is skipped: a
program that is missing there is a failure.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

# Debian keeps servers in /usr/sbin, which an ordinary user's PATH lacks; `.ci/run` installs from npm beside its lock.
# An environment that was not activated is not on the PATH.
_BESIDES_PATH = (
    "/usr/sbin",
    "/usr/local/sbin",
    str(Path(__file__).parents[1] / "requirements/node_modules/.bin"),
    str(Path(sys.executable).parent),
)


def program(name: str) -> str:
    """The path of a program; without it the test that asks is skipped, or in CI fails."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_BESIDES_PATH)))
    if found is None:
        missing = f"{name} is not installed: .ci/run shows how to install it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
