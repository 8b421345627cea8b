"""docs/deployment.md and what it points to say what the code does."""

import re
from dataclasses import MISSING, Field, fields
from pathlib import Path

from ledger.role_grants import RoleGrants
from ledger.settings import PREFIX, Settings, from_environment
from ledger.values import Channel

ROOT = Path(__file__).parents[2]
DEPLOYMENT = (ROOT / "docs/deployment.md").read_text()


def settings_table() -> str:
    """Every setting with its default and meaning."""
    rows = [f"| `{PREFIX}{f.name.upper()}` | {_default(f)} | {f.metadata['meaning']} |" for f in fields(Settings)]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _default(field: Field[object]) -> str:
    assert field.default is not MISSING
    match field.default:
        case "" | () | RoleGrants(entries=()):
            return "none"
        case bool(yes):
            return "`yes`" if yes else "`no`"
        case (Channel(), *_):
            return f"`{','.join(map(str, field.default))}`"
        case other:
            return f"`{other}`"


def test_the_settings_are_documented_as_they_are() -> None:
    documented = re.search(r"<!-- settings: [^>]*-->\n(.*?)\n?<!-- /settings -->", DEPLOYMENT, re.DOTALL)

    assert documented is not None
    assert documented[1] == settings_table()


def test_the_unit_of_systemd_sets_nothing_but_settings() -> None:
    unit = (ROOT / "deploy/keyledger.service").read_text()
    variables = dict(re.findall(r"^Environment=(KEYLEDGER_\w+)=(\S+)$", unit, re.MULTILINE))

    assert set(re.findall(r"%d/(\w+)", unit)) == set(re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE))
    from_environment({name: value for name, value in variables.items() if not name.endswith("_FILE")})
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    assert {name.removesuffix("_FILE") for name in variables} <= known


def test_every_file_that_the_documents_link_to_exists() -> None:
    for document in (*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")):
        links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL))
        missing = [link for link in links if not (document.parent / link).exists()]
        assert missing == [], document


def test_every_decision_is_in_the_index() -> None:
    decisions = {file.name for file in (ROOT / "docs/decisions").glob("[0-9]*.md")}

    assert set(re.findall(r"\]\((\d{4}-[^)]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text())) == decisions
