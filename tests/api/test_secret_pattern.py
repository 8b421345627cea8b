"""What is published for secret scanners is what the ledger issues: pattern, checksum, vectors and guide."""

import json
import re
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.schemas.revocations import SECRETS_MAX
from api.wiring import Services
from ledger.secret_format import SECRET_PATTERN, well_formed
from ledger.secrets import Holder
from ledger.values import Kind, Mode

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/secret-scanning.md").read_text()
EXAMPLES = ROOT / "examples/secret-scanning"
VECTORS: list[dict[str, Any]] = json.loads((EXAMPLES / "vectors.json").read_text())
HOLDERS: tuple[Holder, ...] = (*Kind, "operator")


def told_well_formed(published: dict[str, Any], text: str) -> bool:
    """What somebody finds who knows nothing but what is published."""
    if not re.fullmatch(published["pattern"], text):
        return False
    rule = published["checksum"]
    random, given = text[: -rule["characters"]][-rule["of_characters"] :], text[-rule["characters"] :]
    number, digits = zlib.crc32(random.encode()), ""
    while number:
        number, digit = divmod(number, len(rule["alphabet"]))
        digits = rule["alphabet"][digit] + digits
    return digits.rjust(rule["characters"], rule["alphabet"][0]) == given


def test_the_pattern_is_published_for_anyone_and_may_be_kept(client: FlaskClient) -> None:
    answer = client.get("/v1/secret-pattern")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"].startswith("public")
    assert answer.get_json()["pattern"] == SECRET_PATTERN
    assert answer.get_json()["report"] == {"method": "POST", "path": "/v1/revocations", "secrets_max": SECRETS_MAX}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_published_recognises_what_is_issued(
    services: Services, client: FlaskClient, holder: Holder, mode: Mode
) -> None:
    published = client.get("/v1/secret-pattern").get_json()
    secret = services.keyring.digests.issue(holder, mode).plaintext

    assert secret.startswith(published["prefix"])
    assert told_well_formed(published, secret)
    assert not told_well_formed(published, secret[:-1] + ("0" if secret[-1] != "0" else "1"))


def _function_of_the_guide() -> Callable[[str], bool]:
    """The guide's own Python, as a reader would copy it."""
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0], names)  # noqa: S102 - a document of ours
    found: Callable[[str], bool] = names["well_formed"]
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["why"] for vector in VECTORS])
def test_each_vector_is_what_it_says_by_the_ledger_by_the_pattern_and_by_the_guide(
    client: FlaskClient, vector: dict[str, Any]
) -> None:
    published = client.get("/v1/secret-pattern").get_json()

    assert well_formed(vector["secret"]) is vector["well_formed"]
    assert told_well_formed(published, vector["secret"]) is vector["well_formed"]
    assert _function_of_the_guide()(vector["secret"]) is vector["well_formed"]


def test_every_kind_has_a_vector() -> None:
    good = [vector["secret"] for vector in VECTORS if vector["well_formed"]]
    assert all(any(secret.startswith(f"kl_{holder}_") for secret in good) for holder in HOLDERS)


def test_the_rule_for_gitleaks_and_the_guide_have_the_pattern() -> None:
    (rule,) = tomllib.loads((EXAMPLES / "gitleaks.toml").read_text())["rules"]

    assert rule["regex"] == SECRET_PATTERN
    assert SECRET_PATTERN in GUIDE
