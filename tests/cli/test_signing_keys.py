"""`keyledger signing-key` and `--public-key`."""

import json
from pathlib import Path

from joserfc.jwk import ECKey

from api.wiring import Services
from ledger.values import SIGNING_KEY_ID
from tests import given
from tests.cli.conftest import CommandLine, now


def test_a_rotation_is_listed_and_told_in_the_history(keyledger: CommandLine) -> None:
    assert keyledger.ok("signing-key", "list", "--json").json == {"data": []}
    first = keyledger.ok("signing-key", "rotate", "--reason", "first", "--json").json
    assert (first["algorithm"], first["version"], first["expires_at"]) == ("EdDSA", 1, None)

    told = keyledger.ok("signing-key", "rotate", "--algorithm", "ES256").out
    second, before = keyledger.ok("signing-key", "list", "--json").json["data"]
    assert f"{second['kid']} (ES256) from " in told
    assert (second["algorithm"], before["kid"]) == ("ES256", first["kid"])
    assert before["expires_at"] is not None
    assert first["kid"] in keyledger.ok("signing-key", "list").out
    assert first["kid"] in keyledger.ok("history", SIGNING_KEY_ID).out
    assert keyledger.ok("history", SIGNING_KEY_ID, "--as-of", now(), "--json").json["state"]["keys"]


def test_after_a_compromise_one_key_is_left(keyledger: CommandLine) -> None:
    keyledger.ok("signing-key", "rotate")
    assert "no other ones are good" in keyledger.ok("signing-key", "rotate", "--now").out
    assert len(keyledger.ok("signing-key", "list", "--json").json["data"]) == 1
    assert len(keyledger.ok("signing-key", "list", "--all", "--json").json["data"]) == 2


def test_a_client_is_created_with_its_public_key_and_has_no_secret(
    keyledger: CommandLine, services: Services, tmp_path: Path
) -> None:
    key = tmp_path / "client.jwk"
    key.write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=False)))
    about = ("--organisation", given.an_organisation(services), "--mode", "test", "--preset", "read_only")
    created = keyledger.ok("credential", "create", *about, "--kind", "oauth_client", "--public-key", key, "--json").json
    assert "secret" not in created
    assert keyledger("credential", "create", *about, "--public-key", key).exit_code == 3
    key.write_text("[]")
    assert keyledger("credential", "create", *about, "--kind", "oauth_client", "--public-key", key).exit_code == 2
    key.write_text("no JSON")
    assert keyledger("credential", "rotate", created["id"], "--public-key", key).exit_code == 2
    assert "secret" in keyledger.ok("credential", "rotate", created["id"], "--json").json
