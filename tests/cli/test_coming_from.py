"""docs/coming-from.md names commands that run and operations that there are."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.app import create_app
from api.wiring import Services
from tests import given
from tests.cli.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs/coming-from.md").read_text()
SECTIONS = PAGE.split("\n## ")[1:]
COMMANDS = re.compile(r"`keyledger ((?!COMMAND)[^`]+)`")
REQUESTS = re.compile(r"`(GET|PUT|POST) (/[^`? ]+)")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_every_command_of_a_section_runs_in_order(
    keyledger: CommandLine, organisation: str, section: str, tmp_path: Path
) -> None:
    catalogue = keyledger.ok("catalogue", "show", organisation, "--json").json
    catalogue["apis"] = given.apis({"orders": ["customer:view"], "payouts": ["customer:edit"]})
    edited = tmp_path / "catalogue.json"
    edited.write_bytes(orjson.dumps(catalogue))
    keyledger.ok("catalogue", "set", organisation, edited)
    ids = {"ORGANISATION": organisation, "TIME": f"{datetime.now(UTC) + timedelta(days=1):%FT%TZ}"}
    for command in COMMANDS.findall(section):
        words = [ids.get(word, word) for word in shlex.split(command)]
        if words[:2] == ["credential", "revoke"]:  # final, and each row is about a credential of its own
            owner = ("--organisation", organisation, "--mode", "test", "--full", "--json")
            words[2] = keyledger.ok("credential", "create", *owner).json["id"]
        document = keyledger.ok(*words, "--json").json
        made = {"open": "ACCOUNT", "register": "APPLICATION", "create": "CREDENTIAL"}.get(words[1])
        if made and "rest" not in words:  # the rows below that one are about a login
            ids[made] = document["id"]


def test_every_operation_of_the_page_is_in_the_apis_document(services: Services) -> None:
    document: Any = create_app(services).test_client().get("/openapi.json").json
    operations: dict[str, Any] = document["paths"]
    known = {(m, re.sub(r"\{\w+\}", "*", path)) for path, of in operations.items() for m in of}

    for method, path in REQUESTS.findall(PAGE):
        pattern = "/v1/organisations/*" + re.sub(r"/[A-Z]+\b", "/*", path)
        assert (method.lower(), pattern) in known, (method, path)
