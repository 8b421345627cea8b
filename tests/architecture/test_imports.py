"""Who may know whom: the contracts of pyproject.toml, and the packages that each part may use."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]

# The domain proper: pure functions over frozen dataclasses.
DOMAIN = (
    "access_review",
    "account",
    "application",
    "bulk_revocation",
    "catalogue",
    "commands",
    "credential",
    "errors",
    "events",
    "export",
    "operator",
    "organisation",
    "permissions",
    "role_grants",
    "secret_format",
    "secret_versions",
    "sealed_log",
    "signing_key",
    "values",
    "verification",
    "webhook_endpoint",
)
# What else in ledger/ may use, beyond the standard library and our own packages (decision 0002).
PACKAGES: dict[str, set[str]] = {
    **{f"ledger/{name}.py": set() for name in DOMAIN},
    "ledger/__init__.py": set(),
    "ledger/secrets.py": {"argon2", "zxcvbn"},
    "ledger/settings.py": set(),
    "ledger/auditing.py": set(),
    "ledger/channel_slots.py": set(),
    "ledger/issuing.py": {"uuid_utils"},
    "ledger/opening.py": {"uuid_utils"},
    "ledger/service.py": set(),
    "ledger/timestamping.py": {"cryptography", "rfc3161_client"},
    "ledger/webhooks.py": {"uuid_utils"},
    "ledger/tlog": {"cryptography"},
    "ledger/store": {"cryptography", "eventsourcing", "msgspec", "psycopg", "psycopg_pool"},
    "projections": {"msgspec", "psycopg"},
}
OURS = {"ledger", "projections", "api"}

# What reads a clock, draws randomness or does I/O. Names of modules, whole, and of functions on what is imported.
IMPURE_MODULES = {
    "asyncio",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
IMPURE_CALLS = {
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "open",
    "print",
    "input",
    "exec",
    "eval",
    "getenv",
    "urandom",
}


def imported(source: str) -> Iterator[str]:
    """The modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""


def foreign(source: str) -> set[str]:
    """The packages that a source imports from beyond the standard library and our own."""
    packages = {module.partition(".")[0] for module in imported(source)}
    return packages - OURS - sys.stdlib_module_names


def impurities(source: str) -> set[str]:
    """What in a source reads a clock, draws randomness or does I/O."""
    found = {module for module in imported(source) if module.partition(".")[0] in IMPURE_MODULES}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in IMPURE_CALLS:
                found.add(f"{called}()")
        elif isinstance(node, ast.Global):
            found.add("global")
    return found


def test_every_contract_of_imports_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # It would configure logging, and so disable every logger there is: tests in the same process read theirs.
    monkeypatch.setattr("logging.config.dictConfig", lambda _config: None)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("place", PACKAGES)
def test_each_part_uses_the_packages_it_may(place: str) -> None:
    path = ROOT / place
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        assert foreign(file.read_text(encoding="utf-8")) <= PACKAGES[place], file.name


def test_every_module_of_the_ledger_is_held_to_something() -> None:
    held = {place.removeprefix("ledger/") for place in PACKAGES if place.startswith("ledger/")}
    there = {
        path.name for path in (ROOT / "ledger").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert there == held


@pytest.mark.parametrize("name", DOMAIN)
def test_the_domain_reads_no_clock_draws_no_randomness_and_does_no_io(name: str) -> None:
    assert impurities((ROOT / "ledger" / f"{name}.py").read_text(encoding="utf-8")) == set()


def test_the_provable_logs_formats_are_pure_and_know_nothing_else_of_ours() -> None:
    for file in sorted((ROOT / "ledger" / "tlog").glob("*.py")):
        source = file.read_text(encoding="utf-8")
        assert impurities(source) == set(), file.name
        ours = {module for module in imported(source) if module.partition(".")[0] in OURS}
        assert all(module.startswith("ledger.tlog.") for module in ours), file.name


def test_secrets_draw_randomness_and_nothing_else() -> None:
    source = (ROOT / "ledger" / "secrets.py").read_text(encoding="utf-8")
    assert impurities(source) == {"secrets", "threading"}  # the second: to bound how many hashes are computed at once


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("from os import environ", {"os"}),
        ("def f():\n    import random", {"random"}),
        ("datetime.now(UTC)", {"now()"}),
        ("date.today()", {"today()"}),
        ("uuid4()", {"uuid4()"}),
        ("open('x')", {"open()"}),
        ("x = context.at + overlap", set()),
    ],
)
def test_what_is_impure_would_be_found(source: str, found: set[str]) -> None:
    assert impurities(source) == found


def test_a_foreign_package_would_be_found() -> None:
    assert foreign("import flask\nfrom psycopg.rows import dict_row\nimport json\nfrom ledger import events") == {
        "flask",
        "psycopg",
    }
