"""How the workers of a server are told to stop."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.ports import free_port
from tests.waiting import SECONDS_MAX, until

# A server of its own, whose worker misses the first signal as one does whose main thread is just falling asleep.
PROGRAM = """
import multiprocessing
import signal
import sys

from granian.constants import Interfaces

from api.serving import _Server


def deaf_at_first():
    chosen = signal.signal

    def once_deaf(number, handler):
        told = []

        def second_time(*about):
            told.append(number)
            if len(told) > 1:
                handler(*about)

        return chosen(number, second_time if number == signal.SIGTERM else handler)

    signal.signal = once_deaf
    return answer


def answer(environ, start_response):
    start_response("200 OK", [])
    return [b"here"]


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn", force=True)
    server = _Server("deaf", port=int(sys.argv[1]), interface=Interfaces.WSGI, workers_kill_timeout=30)
    server.serve(target_loader=deaf_at_first, wrap_loader=False)
"""


def test_a_worker_that_missed_a_signal_is_told_again_and_ends_by_itself(tmp_path: Path) -> None:
    program, port = tmp_path / "program.py", free_port()
    program.write_text(PROGRAM)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=SECONDS_MAX) as answer:
                return bool(answer.read() == b"here")
        except OSError:
            return False

    with subprocess.Popen(
        [sys.executable, program, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as server:
        until(answers)
        server.send_signal(signal.SIGINT)
        told, _ = server.communicate(timeout=2 * SECONDS_MAX)
    assert "Stopped worker-1" in told
    assert "Killing" not in told


# A signal that another thread gets leaves the main one asleep, as one does that comes just before it falls asleep.
ASLEEP = """
import signal
import threading
import time

from api.serving import _LightSleep

event = _LightSleep()
signal.signal(signal.SIGTERM, lambda *about: event.set())


def signalled():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()


threading.Thread(target=signalled, daemon=True).start()
print(event.wait())
"""


def test_the_first_process_misses_no_signal_in_its_sleep() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASLEEP],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout.strip() == "True"
