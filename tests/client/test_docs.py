"""docs/client.md does what it says: its code runs before a running Keyledger, and its figures are the client's."""

import os
import re
import subprocess
import sys
from pathlib import Path

from keyledger_client import errors, exchange
from tests.running.doors import ROOT, Installation

PAGE = (ROOT / "docs/client.md").read_text()


def test_the_code_of_the_page_runs(installation: Installation, tmp_path: Path) -> None:
    _, secret = installation.key()
    token_file = tmp_path / "token"
    token_file.write_text(installation.token + "\n")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    script = tmp_path / "page.py"
    tried = (
        'assert may_view_customers(os.environ["SECRET"], "192.0.2.7")',
        'assert not may_view_customers("x", "192.0.2.7")',
    )
    script.write_text("\n".join([*blocks, *tried]))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "clients/python/src"),
        "KEYLEDGER_URL": installation.url,
        "KEYLEDGER_GATEWAY_TOKEN_FILE": str(token_file),
        "SECRET": secret,
    }

    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)

    assert len(blocks) == 4
    assert (ran.returncode, ran.stderr) == (0, "")


def test_its_tree_of_errors_is_the_clients() -> None:
    tree = re.search(r"^    KeyledgerError\n(?:    .*\n)+", PAGE, re.MULTILINE)
    assert tree is not None
    told = set(re.findall(r"^[ │├└─]*(\w+)", tree[0], re.MULTILINE))

    there = {name for name, it in vars(errors).items() if isinstance(it, type) and issubclass(it, Exception)}
    assert told == there


def test_its_figures_are_the_clients() -> None:
    assert f"timeout={exchange.TIMEOUT_SECONDS}, retries={exchange.RETRIES})" in PAGE
    assert exchange.CONNECTIONS_MAX == 10
    assert "up to ten connections" in PAGE
    assert exchange._PAUSE_SECONDS == 0.05
    assert "begin at 50 milliseconds" in PAGE
