"""Which processes Ctrl-C reaches."""

import subprocess
import sys
from pathlib import Path

# Run in a process of its own, as it is about the first process that multiprocessing starts.
PROGRAM = """
import multiprocessing
import signal

from ledger.store.interrupts import interrupts_held


def is_held():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def tell(connection):
    connection.send(is_held())


if __name__ == "__main__":
    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    with interrupts_held():
        child = spawning.Process(target=tell, args=(writing,))
        child.start()
    print(reading.recv(), is_held())
    child.join()
"""


def test_not_even_the_first_process_that_is_started_gets_ctrl_c_and_this_one_does(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=True, cwd=Path(__file__).parents[2]
    )
    assert ran.stdout.split() == ["True", "False"]
