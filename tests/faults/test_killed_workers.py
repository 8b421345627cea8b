"""Worker processes killed in mid-commit, several at a time, again and again: what they had acknowledged is there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

from api.wiring import Services
from ledger.settings import Settings
from tests import given
from tests.faults.checking import attempt, check_everything

# Eight threads that create credentials and say so, one line each, only after they were told that it is recorded.
WORKER = """
import os, sys, threading
from pathlib import Path
from uuid import UUID
from api.wiring import open_services
from ledger.settings import Settings
from tests import given

url, schema, key, organisation = sys.argv[1:]
settings = Settings(database_url=url, schema=schema, master_key=key)
with open_services(settings, url) as services:
    def work():
        while True:
            receipt, _ = given.a_credential(services, UUID(organisation))
            os.write(1, f'["{receipt.id}", {receipt.position}]\\n'.encode())
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_workers_killed_in_mid_commit_lose_nothing_acknowledged_and_leave_nothing_half_done(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    organisation = given.an_organisation(services)
    told: dict[UUID, int] = {}
    for round_ in range(3):
        outputs = [tmp_path / f"{round_}-{n}" for n in range(2)]
        workers = []
        for path in outputs:
            with path.open("wb") as output:
                arguments = [settings.database_url, settings.schema, settings.master_key, str(organisation)]
                workers.append(subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdout=output))
        for worker, path in zip(workers, outputs, strict=True):
            deadline = time.monotonic() + 60
            while path.stat().st_size < 2_000 * (round_ + 1):  # a few batches in; which part of the next is chance
                assert worker.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait(10)
        for path in outputs:
            for line in path.read_text().splitlines():
                credential_id, position = json.loads(line)
                told[UUID(credential_id)] = position
    after = attempt(services, organisation)
    assert after.acknowledged
    recorded = {
        row["originator_id"]: row["position"]
        for row in services.store.rows(
            "SELECT originator_id, max(notification_id) AS position FROM ledger_events GROUP BY 1"
        )
    }
    assert len(told) > 50
    assert {credential_id: recorded.get(credential_id) for credential_id in told} == told
    check_everything(services, [after])
