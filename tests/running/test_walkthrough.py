"""docs/walkthrough.md, run command by command in a fresh clone, and what it prints compared with what stands there.

A block marked `console` holds commands (`$ `, continued by `> `), each followed by what it prints. Ids, secrets, and
times differ from run to run and are made alike on both sides. What runs is HEAD, so a change to the product is
committed first. `python -m tests.running.test_walkthrough` runs it and writes down what was printed.
"""

import difflib
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port
from tests.programs import program

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/walkthrough.md"
# The first command installs everything from the package index.
COMMAND_SECONDS_MAX = 240
# PostgreSQL writes a checkpoint before it ends.
CLOSE_SECONDS_MAX = 30
PORTS = ("8080", "8000", "9000")  # as they stand in the document

pytestmark = pytest.mark.timeout(600)

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ALIKE = (
    (re.compile(r"\bkl_(\w+?)_live_(?:[0-9A-Za-z]{36}|\.\.\.)"), r"kl_\1_live_..."),
    (re.compile(r"\b(ak|client|pk|login)_live_[0-9A-Za-z]{22}\b"), r"\1_live_<public id>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC|\+00:00)?"), "<time>"),
    (re.compile(r"(\"hint\": \"|ending in )[0-9A-Za-z]{4}\b"), r"\1<hint>"),
    (re.compile(r"(\"cursor\": \")[\w-]+"), r"\1<cursor>"),
)
_SECRET = _ALIKE[0]
_OF_A_JOB = re.compile(r"\[\d+\][+ -] |bash: line \d+: +\d+ Killed ")


@dataclass(frozen=True)
class Step:
    """A command of the document, and what it prints there."""

    command: str
    printed: str


def steps(document: str) -> list[Step]:
    """All commands of all blocks, in order."""
    found = []
    for block in _BLOCK.findall(document):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = part.splitlines()
            continued = 0
            while continued < len(rest) and rest[continued].startswith("> "):
                continued += 1
            command = "\n".join([first, *(line.removeprefix("> ") for line in rest[:continued])])
            found.append(Step(command, "\n".join(rest[continued:])))
    return found


def alike(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, instead in _ALIKE:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


class Terminal:
    """A shell with job control, which runs one command after the other."""

    _DONE = "the command is done"

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Job control, which would want a terminal if it were an argument. Should the test be killed, its shell reads
        # nothing more, and ends with its jobs.
        self.run("set -m; trap 'kill $(jobs -p)' EXIT")

    def run(self, command: str) -> str:
        """What the command prints. A command that does not end in time fails with what it printed until then."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # What a command reads is not what the shell reads, or a job would take the next command for its input.
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo {self._DONE}\n".encode())
        self._shell.stdin.flush()
        deadline, printed = time.monotonic() + COMMAND_SECONDS_MAX, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            while not printed.endswith(f"\n{self._DONE}\n".encode()):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(f"$ {command}\ndid not end, and printed\n{printed.decode()}")
                more = os.read(self._shell.stdout.fileno(), 65_536)
                if not more:
                    raise AssertionError(f"$ {command}\nended the shell, and printed\n{printed.decode()}")
                printed += more
        text = printed.decode().removesuffix(f"{self._DONE}\n").strip("\n")
        # The shell's own word on its jobs comes when it comes.
        return "\n".join(line for line in text.splitlines() if not _OF_A_JOB.match(line))

    def close(self) -> None:
        """End the shell and all that it started, whatever state they are in."""
        self._shell.kill()
        self._shell.communicate()
        for end in (psutil.Process.terminate, psutil.Process.kill):
            deadline = time.monotonic() + CLOSE_SECONDS_MAX
            while (left := self._left()) and time.monotonic() < deadline:
                for process in left:
                    with suppress(psutil.NoSuchProcess):
                        end(process)
                psutil.wait_procs(left, timeout=5)

    def _left(self) -> list[psutil.Process]:
        # PostgreSQL has a session of its own, and after a kill -9 no parent; but it works inside the clone.
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                in_session = os.getsid(process.pid) == self._shell.pid
                if in_session or Path(process.cwd()).is_relative_to(self._directory):
                    left.append(process)
        return left


@contextmanager
def a_clone() -> Iterator[Path]:
    """HEAD of this repository, as someone who clones it has it."""
    directory = Path(tempfile.mkdtemp(prefix="keyledger-walkthrough-"))
    clone = directory / "keyledger"
    try:
        # A checkout may belong to somebody else, as in CI. The side of git that is asked takes this from a file alone.
        configuration = directory / "gitconfig"
        configuration.write_text("[safe]\n\tdirectory = *\n")
        subprocess.run(
            ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(clone)],
            env=os.environ | {"GIT_CONFIG_GLOBAL": str(configuration)},
            check=True,
            timeout=60,
        )
        for reached in (directory, clone):
            reached.chmod(0o755)  # by the user that PostgreSQL runs as under root
        yield clone
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def a_terminal() -> Iterator[Callable[[str], str]]:
    """Runs commands in a fresh clone, on ports that are free here, and gives what each printed."""
    ports = {written: str(free_port()) for written in PORTS}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KEYLEDGER_", "MAKE"))}
    environment |= {"KEYLEDGER_PORT": ports["8080"], "LC_ALL": "C.UTF-8"}
    environment.pop("MFLAGS", None)
    with a_clone() as directory:
        example = directory / "examples/nginx/nginx.conf"
        example.write_text(_with_ports(example.read_text(), ports))
        terminal = Terminal(directory, environment)
        try:
            written = {here: port for port, here in ports.items()}
            yield lambda command: _with_ports(terminal.run(_with_ports(command, ports)), written)
        finally:
            terminal.close()


def _with_ports(text: str, ports: dict[str, str]) -> str:
    """A command or a configuration with ports that are free here."""
    for written, here in ports.items():
        text = re.sub(rf"\b{written}\b", here, text)
    return text


def test_the_walkthrough_prints_what_it_says() -> None:
    for needed in ("git", "make", "curl", "nginx"):
        program(needed)
    with a_terminal() as run:
        for step in steps(DOCUMENT.read_text()):
            told, printed = alike(step.printed), alike(run(step.command))
            difference = difflib.unified_diff(
                told.splitlines(), printed.splitlines(), "told", "printed", n=99, lineterm=""
            )
            assert told == printed, "\n".join([f"$ {step.command}", *difference])


def test_a_document_is_split_into_commands_and_what_they_print() -> None:
    document = "a\n```console\n$ one \\\n>   two\nprinted\n\nmore\n$ three\n```\nb\n```sh\n$ never\n```\n"

    assert steps(document) == [Step("one \\\n  two", "printed\n\nmore"), Step("three", "")]


def test_only_what_differs_from_run_to_run_is_made_alike() -> None:
    assert alike("revoked") != alike("active")
    assert alike('"version": 1') != alike('"version": 2')
    assert alike("kl_api_key_live_" + "a" * 36) == alike("kl_api_key_live_...")
    assert alike("kl_api_key_live_...") != alike("kl_operator_live_...")
    assert alike("2026-01-01T00:00:00Z by ada") != alike("2026-01-01T00:00:00Z by bob")


def record() -> None:
    """Write down what the commands print, secrets cut short."""
    document = DOCUMENT.read_text()
    with a_terminal() as run:
        printed = iter([(step, run(step.command)) for step in steps(document)])

    def told(block: re.Match[str]) -> str:
        lines = []
        for step in steps(block.group(0)):
            ran, found = next(printed)
            assert ran == step
            lines.append("$ " + step.command.replace("\n", "\n> "))
            if alike(found) == alike(step.printed):
                found = step.printed  # what is right already is not touched
            lines += [_SECRET[0].sub(_SECRET[1], found)] if found else []
        return "```console\n" + "\n".join(lines) + "\n```"

    DOCUMENT.write_text(_BLOCK.sub(told, document))


if __name__ == "__main__":
    record()
