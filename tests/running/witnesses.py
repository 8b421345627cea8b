"""A witness that others wrote (PyPI's aics-witness), as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from ledger.tlog.notes import VerifierKey
from tests.ports import free_port
from tests.programs import witness_packages

START_SECONDS_MAX = 30.0


@dataclass
class Witness:
    """A witness: its key, where it listens, and its process while it runs."""

    name: str
    directory: Path
    port: int
    vkey: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> VerifierKey:
        return VerifierKey.parse(self.vkey)

    @property
    def line(self) -> str:
        """Its line in a policy."""
        return f"witness {self.name} {self.vkey} {self.url}\n"

    def command(self, *arguments: str) -> str:
        ran = subprocess.run([*_PROGRAM, *arguments], env=self._environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def follow(self, key: VerifierKey) -> None:
        """Have it cosign the log that this key signs. Before it starts."""
        self.command("add-log", "--origin", key.name, "--vkey", key.encode())

    def start(self) -> None:
        command = [*_PROGRAM, "serve", "--listen", f"127.0.0.1:{self.port}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                with urlopen(f"{self.url}/healthz", timeout=5) as answer:
                    assert answer.status == 200
            except OSError:
                assert self.process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, "the witness did not start"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_SECONDS_MAX)
            self.process = None

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": witness_packages(),
            "AICS_WITNESS_CONFIG": str(self.directory / "witness.json"),
        }


_PROGRAM = (sys.executable, "-m", "aics_witness")


@contextmanager
def witness(directory: Path, name: str) -> Iterator[Witness]:
    """A witness that was set up and is stopped afterwards; it follows no log yet and does not run."""
    directory.mkdir()
    made = Witness(name, directory, free_port())
    made.vkey = made.command("init", "--name", f"{name}.witness.example").splitlines()[-1]
    try:
        yield made
    finally:
        made.stop()
