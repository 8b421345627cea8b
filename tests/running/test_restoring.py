"""A server on a restored backup: what was erased since is gone before it answers anybody."""

import shutil
import signal

import pytest

from tests.deploy.test_backup import back_up
from tests.running.test_serve import STOP_SECONDS_MAX, Installation, the_token
from tests.running.test_serve import installation as installation
from tests.waiting import until

pytestmark = pytest.mark.timeout(480)

EMAIL = "grace.hopper@navy.example"


def test_a_server_on_a_restored_backup_answers_nothing_that_was_erased_since(installation: Installation) -> None:
    installation.serve()
    installation.await_url()
    token = the_token(installation)
    _, organisation = installation.ask("POST", "/v1/organisations", token, {"name": "Acme"})
    credentials = f"/v1/organisations/{organisation['id']}/credentials"
    key = {"kind": "api_key", "mode": "test", "preset": "read_only", "contact_email": EMAIL}
    _, created = installation.ask("POST", credentials, token, key)
    one = f"{credentials}/{created['id']}"
    until(lambda: EMAIL in str(installation.ask("GET", f"{credentials}?q=hopper", token)))
    data = installation.directory / "data"
    back_up((data / "embedded.lock").read_text().strip(), data / "backup")
    for act in ("revoke", "erase"):
        status, answer = installation.ask("POST", f"{one}/{act}", token, {"reason": "asked to"})
        assert status == 200, answer
    installation.started[-1].send_signal(signal.SIGINT)
    installation.started[-1].wait(STOP_SECONDS_MAX)
    shutil.rmtree(data / "postgres")
    (data / "backup").rename(data / "postgres")

    installation.serve()
    installation.await_url()

    for path in (one, f"{one}/events", credentials, f"{credentials}?q=hopper", f"{credentials}?contact_email={EMAIL}"):
        status, answer = installation.ask("GET", path, token)
        assert status == 200, answer
        assert EMAIL not in str(answer), path
    _, again = installation.ask("GET", one, token)
    assert (again["status"], again["erased_at"] is None) == ("revoked", False)
