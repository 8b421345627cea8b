"""Ending what leaked, from the command line: every secret that a text holds."""

from pathlib import Path

from ledger.secrets import format_secret
from ledger.values import Kind, Mode
from tests.cli.conftest import CommandLine, CreateCredential

UNKNOWN = format_secret(Kind.API_KEY, Mode.LIVE, "neverIssuedToAnybodyAnywhere00")


def status(keyledger: CommandLine, credential_id: str) -> str:
    """What the credential is now."""
    found: str = keyledger.ok("credential", "show", credential_id, "--json").json["status"]
    return found


def test_every_live_secret_in_a_text_is_ended(keyledger: CommandLine, create: CreateCredential, tmp_path: Path) -> None:
    one, other, unharmed = create(), create(), create()
    newer = keyledger.ok("credential", "rotate", other["id"], "--overlap", "7d").out.strip()
    paste = tmp_path / "paste.log"
    text = f"key={one['secret']}; {one['secret']}\nBearer {other['secret']}\n{UNKNOWN}\n{UNKNOWN[:-1]}0\n"
    paste.write_bytes(b"\xff not UTF-8\n" + text.encode())

    found = keyledger.ok("credential", "revoke-leaked", paste, "--reason", "INC-7", "--json").json["data"]

    assert found == [
        {"hint": one["secret"][-4:], "outcome": "revoked", "id": one["id"]},
        {"hint": other["secret"][-4:], "outcome": "secret_ended", "id": other["id"]},
        {"hint": UNKNOWN[-4:], "outcome": "not_live", "id": None},
    ]
    assert status(keyledger, one["id"]) == "revoked"
    assert [status(keyledger, other["id"]), status(keyledger, unharmed["id"])] == ["active", "active"]
    assert keyledger("verify", "--secret-file", "-", stdin=newer).exit_code == 0
    told = keyledger.ok("history", one["id"], "--json").json["data"][-1]
    assert (told["reason"], told["actor"].partition(":")[0]) == ("INC-7", "command_line")


def test_the_secrets_themselves_are_not_shown(keyledger: CommandLine, create: CreateCredential) -> None:
    secret = create()["secret"]

    ran = keyledger.ok("credential", "revoke-leaked", "-", stdin=f"key={secret}\n")

    assert f"…{secret[-4:]}" in ran.out
    assert "credential revoked" in ran.out
    assert secret not in ran.out + ran.err
    again = keyledger.ok("credential", "revoke-leaked", "-", stdin=secret)
    assert "ended already" in again.out


def test_a_text_without_secrets_says_so(keyledger: CommandLine) -> None:
    keyledger.ok("organisation", "register", "Acme")

    assert "no secret of ours" in keyledger.ok("credential", "revoke-leaked", "-", stdin="nothing here\n").err


def test_the_last_administrators_token_is_left_and_told(keyledger: CommandLine) -> None:
    enrol = ("operator", "enrol", "--name", "Ada", "--role", "administrator")
    token = keyledger.ok(*enrol).out.strip()

    refused = keyledger("credential", "revoke-leaked", "-", stdin=token)
    assert (refused.exit_code, "rotate it now" in refused.out) == (1, True)

    keyledger.ok(*enrol)
    assert "operator removed" in keyledger.ok("credential", "revoke-leaked", "-", stdin=token).out
