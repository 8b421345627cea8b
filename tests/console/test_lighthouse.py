"""Lighthouse rates pages as others do: how accessible they are, how well they follow good practice, and how fast."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ledger.values import Role
from projections.runner import Projector
from tests import given
from tests.console.conftest import SAME_ORIGIN
from tests.programs import program
from tests.running.doors import Installation, an_installation
from tests.waiting import until_caught_up

LEAST = {"accessibility": 100, "best-practices": 100, "performance": 95}  # in percent
# On a busy machine a run now and then ends without rating anything: a trace lacks the start of the page load
# (NO_NAVSTART), nothing was painted in time (NO_FCP), the browser did not start. What is broken is so in each run. And
# what others take of the machine meanwhile is taken from the performance, never added to it, nor from anything else: of
# a few runs the best tells of the page.
RUNS_MAX, RUN_SECONDS_MAX = 3, 100
PAGES = ("sign-in", "overview", "dashboard", "credentials", "credential", "activity", "apps", "accounts", "search")


@pytest.fixture(scope="module")
def addresses(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, str]]]:
    """The pages with the cookie of an administrator who is signed in."""
    with an_installation(postgres, tmp_path_factory.mktemp("lighthouse")) as running:
        projector = Projector(running.services.log)
        projector.start()
        try:
            yield _prepared(running)
        finally:
            projector.stop()


def _prepared(running: Installation) -> dict[str, tuple[str, str]]:
    services, organisation = running.services, running.organisation
    made = [given.a_credential(services, organisation, name=f"Key {number}")[0] for number in range(25)]
    for _ in range(5):
        given.an_application(services, organisation)
        given.an_account(services, organisation)
    until_caught_up(services)
    _, token = given.an_operator(services, Role.ADMINISTRATOR)
    sign_in = f"{running.url}/console/sign-in"
    answer = requests.post(sign_in, {"token": token}, headers=SAME_ORIGIN, allow_redirects=False, timeout=30)
    cookie = f"keyledger={answer.cookies['keyledger']}"
    root = f"{running.url}/console/organisations/{organisation}"
    paths = {
        "overview": "",
        "credential": f"/credentials/{made[0].id}",
        "search": "/search?q=key",
        **{page: f"/{page}" for page in ("dashboard", "credentials", "activity", "apps", "accounts")},
    }
    return {"sign-in": (sign_in, ""), **{page: (root + path, cookie) for page, path in paths.items()}}


@pytest.mark.timeout(RUNS_MAX * RUN_SECONDS_MAX + 60)
@pytest.mark.parametrize("page", PAGES)
def test_lighthouse_finds_nothing_to_better(addresses: dict[str, tuple[str, str]], page: str, tmp_path: Path) -> None:
    address, cookie = addresses[page]
    report = tmp_path / "report.json"
    flags = "--headless=new" + (" --no-sandbox" if os.geteuid() == 0 else "")
    command = [
        program("lighthouse"),
        address,
        "--quiet",
        "--output=json",
        f"--output-path={report}",
        "--preset=desktop",
    ]
    command += [f"--only-categories={','.join(LEAST)}", f"--chrome-flags={flags}", "--no-enable-error-reporting"]
    if cookie:
        command.append(f"--extra-headers={json.dumps({'Cookie': cookie})}")
    environment = {**os.environ, "CHROME_PATH": program("chromium")}
    found, told = None, []
    for _ in range(RUNS_MAX):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, env=environment
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failed:
            told.append(f"{failed}: {failed.stderr!s}")
            continue
        found = json.loads(report.read_text())
        assert found["finalDisplayedUrl"] == address
        scores = {name: round(category["score"] * 100) for name, category in found["categories"].items()}
        below = {name for name, least in LEAST.items() if scores[name] < least}
        if below != {"performance"}:
            break
    assert found is not None, told
    assert not below, (scores, list(_lost(found)))


def _lost(report: dict[str, dict[str, dict[str, object]]]) -> Iterator[str]:
    """What cost something."""
    for name, audit in report["audits"].items():
        if audit["score"] not in (None, 1):
            yield f"{name}: {audit.get('displayValue') or audit['title']}"
