"""Credentials from the command line: each command, its JSON, and that secrets are shown once."""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from flask import Flask

from api import outgoing
from api.wiring import Services
from ledger.verification import Code
from projections.credential_status import find_credential
from projections.usage import UsageRecorder
from tests.cli.conftest import CommandLine, CreateCredential


def verdict(keyledger: CommandLine, secret: str, *more: object) -> str:
    code: str = keyledger("verify", "--secret-file", "-", "--json", *more, stdin=f"{secret}\n").json["code"]
    return code


def test_the_secret_stands_alone_on_standard_output_and_the_remarks_beside_it(
    keyledger: CommandLine, organisation: str
) -> None:
    ran = keyledger.ok("credential", "create", "--organisation", organisation, "--mode", "live", "--full")
    assert ran.out.startswith("kl_api_key_live_")
    assert ran.out.count("\n") == 1
    assert "shown this once" in ran.err
    assert ran.out.strip() not in ran.err
    assert verdict(keyledger, ran.out.strip()) == "VALID"


def test_what_json_shows_of_a_credential_is_what_the_api_shows(
    keyledger: CommandLine, services: Services, create: CreateCredential
) -> None:
    created = create("--name", "Billing", "--contact-email", "dev@example.com", "--label", "team=pay")
    shown = keyledger.ok("credential", "show", created["id"], "--json").json
    row = find_credential(services.store, UUID(created["organisation_id"]), UUID(created["id"]))
    assert row is not None
    app = Flask(__name__)
    app.extensions["keyledger"] = services
    with app.test_request_context():
        by_the_api = orjson.loads(outgoing.to_json(outgoing.credential(row)))
    assert shown.pop("effective_scopes") == shown["scopes"]
    assert shown.pop("superseded_by") == []
    assert shown == by_the_api
    assert {**shown, "secret": created["secret"]} == created


def test_usage_shows_what_the_api_shows_and_a_line_for_each_address_and_day(
    keyledger: CommandLine, services: Services, create: CreateCredential
) -> None:
    created = create()
    usage = UsageRecorder(services.store, 60)
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    usage.note(UUID(created["id"]), 1, at, ip_address("192.0.2.7"))
    usage.note(UUID(created["id"]), 1, at, None, Code.WRONG_MODE)
    usage.flush()
    assert keyledger.ok("credential", "usage", created["id"], "--json").json == {
        "addresses": [
            {
                "version": 1,
                "address": "192.0.2.7",
                "uses": 1,
                "first_used_at": "2026-03-01T12:00:00Z",
                "last_used_at": "2026-03-01T12:00:00Z",
            }
        ],
        "days": [{"day": "2026-03-01", "codes": {"VALID": 1, "WRONG_MODE": 1}}],
    }
    shown = keyledger.ok("credential", "usage", created["id"]).out
    assert re.search(r"1\s+192\.0\.2\.7\s+1\s+2026-03-01 12:00:00Z\s+2026-03-01 12:00:00Z", shown)
    assert re.search(r"2026-03-01\s+VALID=1, WRONG_MODE=1", shown)
    assert keyledger("credential", "usage", uuid4()).exit_code == keyledger("credential", "show", uuid4()).exit_code


def test_an_environment_gives_the_mode_and_without_either_the_mode_is_asked_for(
    keyledger: CommandLine, organisation: str
) -> None:
    whose = ("credential", "create", "--organisation", organisation, "--full", "--json")
    assert keyledger.ok(*whose, "--environment", "staging").json["mode"] == "test"
    refused = keyledger(*whose)
    assert refused.exit_code == 3
    assert refused.err == "error: mode: is required where no environment tells it\n"


def test_verifying_says_what_a_gateway_would_be_told_and_by_its_exit_code(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    key, client = create(), create("--kind", "oauth_client")
    mistyped = key["secret"][:-1] + ("0" if key["secret"][-1] != "0" else "1")
    assert verdict(keyledger, mistyped) == "MALFORMED"
    assert verdict(keyledger, client["secret"]) == "MALFORMED"
    assert verdict(keyledger, client["secret"], "--public-id", client["public_id"]) == "VALID"
    assert verdict(keyledger, "something else") == "NOT_FOUND"
    assert verdict(keyledger, key["secret"], "--mode", "test") == "WRONG_MODE"
    assert verdict(keyledger, key["secret"], "--scope", "customer:edit") == "INSUFFICIENT_SCOPE"
    assert verdict(keyledger, key["secret"], "--organisation", str(uuid4())) == "NOT_FOUND"
    assert verdict(keyledger, key["secret"], "--public-id", "") == "VALID"
    assert verdict(keyledger, key["secret"], "--api", "payouts") == "API_NOT_CONNECTED"
    read = keyledger("verify", "--secret-file", "-", "--json", stdin=f"{key['secret']}\n").json
    assert read["scopes"] == key["scopes"]
    told = keyledger("verify", stdin=f"{key['secret']}\n")
    assert (told.exit_code, f"scopes: {', '.join(key['scopes'])}" in told.out) == (0, True)
    assert keyledger("verify", stdin="something else\n").exit_code == 1


def test_rotating_with_an_overlap_leaves_both_good_until_it_ends(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create()
    rotated = keyledger.ok("credential", "rotate", created["id"], "--overlap", "7d", "--json").json
    assert rotated["status"] == "rotating"
    assert [verdict(keyledger, one["secret"]) for one in (created, rotated)] == ["VALID", "VALID"]
    keyledger.ok("credential", "end-overlap", created["id"])
    assert [verdict(keyledger, one["secret"]) for one in (created, rotated)] == ["EXPIRED", "VALID"]


def test_a_suspended_credential_is_refused_until_it_is_resumed(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create()
    keyledger.ok("credential", "suspend", created["id"], "--reason", "odd traffic")
    assert verdict(keyledger, created["secret"]) == "SUSPENDED"
    keyledger.ok("credential", "resume", created["id"])
    assert verdict(keyledger, created["secret"]) == "VALID"


def test_a_credential_is_good_on_its_allowlist_alone(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create()
    keyledger.ok("credential", "allowlist", created["id"], "192.0.2.0/24", "2001:db8::/32")
    assert verdict(keyledger, created["secret"], "--client-ip", "192.0.2.7") == "VALID"
    assert verdict(keyledger, created["secret"], "--client-ip", "198.51.100.1") == "IP_NOT_ALLOWED"
    keyledger.ok("credential", "allowlist", created["id"], "--any")
    assert verdict(keyledger, created["secret"]) == "VALID"


def test_describing_changes_what_is_named_and_leaves_the_rest(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create("--name", "Billing", "--label", "team=pay", "--contact-email", "dev@example.com")
    described = keyledger.ok("credential", "describe", created["id"], "--name", "", "--label", "a=b", "--json").json
    assert (described["name"], described["labels"]) == ("", {"a": "b"})
    assert described["contact_email"] == "dev@example.com"


def test_revoking_is_final_and_only_then_can_be_erased(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create("--contact-email", "dev@example.com")
    assert keyledger("credential", "erase", created["id"], "--yes").exit_code == 5
    revoked = keyledger.ok("credential", "revoke", created["id"], "--because", "compromised", "--json").json
    assert (revoked["status"], revoked["revocation_reason"]) == ("revoked", "compromised")
    assert verdict(keyledger, created["secret"]) == "REVOKED"
    assert keyledger("credential", "revoke", created["id"]).exit_code == 5
    keyledger.ok("credential", "erase", created["id"], "--yes")
    assert keyledger.ok("credential", "show", created["id"], "--json").json["contact_email"] is None


def test_erasing_asks_first_and_no_means_no(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create("--contact-email", "dev@example.com")
    keyledger.ok("credential", "revoke", created["id"])
    assert keyledger("credential", "erase", created["id"], stdin="n\n").exit_code == 1
    assert keyledger.ok("credential", "show", created["id"], "--json").json["contact_email"] == "dev@example.com"


def test_a_chosen_password_comes_from_a_file_or_a_prompt_and_is_never_shown(
    keyledger: CommandLine, create: CreateCredential, tmp_path: Path
) -> None:
    password, other = "eleven purple walruses sing", "twelve orange herons whistle"
    (tmp_path / "password").write_text(f"{password}\n")
    login = ("--kind", "channel_login", "--channel", "ftp", "--login", "bob.ftp")
    created = create(*login, "--secret-file", tmp_path / "password")
    assert created["public_id"] == "bob.ftp"
    assert verdict(keyledger, password, "--public-id", "bob.ftp", "--channel", "ftp") == "VALID"
    keyledger.ok("credential", "rotate", created["id"], "--ask-secret", stdin=f"{other}\n{other}\n")
    assert verdict(keyledger, other, "--public-id", "bob.ftp", "--channel", "ftp") == "VALID"
    keyledger("credential", "show", created["id"])
    keyledger("history", created["id"], "--json")
    assert not any(secret in shown for shown in keyledger.everything_shown for secret in (password, other))


def test_a_generated_secret_is_shown_once_and_in_no_later_output(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create()
    keyledger.everything_shown.clear()
    rotated = keyledger.ok("credential", "rotate", created["id"], "--overlap", "1h").out.strip()
    keyledger.everything_shown.remove(rotated + "\n")
    for arguments in (
        ("credential", "show", created["id"]),
        ("credential", "show", created["id"], "--json"),
        ("credential", "list", "--organisation", organisation),
        ("credential", "list", "--organisation", organisation, "--json"),
        ("history", created["id"]),
        ("history", created["id"], "--json"),
        ("credential", "suspend", created["id"], "--json"),
        ("credential", "suspend", created["id"]),
    ):
        keyledger(*arguments)
    keyledger("verify", "--secret-file", "-", stdin=rotated)
    shown = "".join(keyledger.everything_shown)
    assert created["secret"] not in shown
    assert rotated not in shown


def test_a_list_is_filtered_bounded_and_current_without_a_projector_running(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    billing, shipping = create("--name", "Billing export"), create("--name", "Shipping")
    keyledger.ok("credential", "suspend", shipping["id"])

    def listed(*more: object) -> Any:
        return keyledger.ok("credential", "list", "--organisation", organisation, "--json", *more).json

    assert [one["id"] for one in listed()["data"]] == [shipping["id"], billing["id"]]
    assert [one["id"] for one in listed("--search", "bill")["data"]] == [billing["id"]]
    assert [one["id"] for one in listed("--status", "suspended")["data"]] == [shipping["id"]]
    bounded = listed("--limit", "1")
    assert (len(bounded["data"]), bounded["pagination"]) == (1, {"has_more": True})
    table = keyledger.ok("credential", "list", "--organisation", organisation).out
    assert billing["id"] in table
    assert "Billing export" in table


def test_markup_in_a_name_is_shown_as_it_is(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    create("--name", "[red]alert[/red]")
    assert "[red]alert[/red]" in keyledger.ok("credential", "list", "--organisation", organisation).out


def test_a_successor_names_a_credential_of_its_own_organisation(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create()
    successor = create("--supersedes", created["id"])
    assert successor["supersedes"] == created["id"]
    assert keyledger.ok("credential", "show", created["id"], "--json").json["superseded_by"] == [successor["id"]]
    assert f"superseded by    {successor['id']}" in keyledger.ok("credential", "show", created["id"]).out
    other = keyledger.ok("organisation", "register", "Other").out.strip()
    refused = keyledger(
        *("credential", "create", "--organisation", other, "--mode", "live", "--full", "--supersedes", created["id"])
    )
    assert (refused.exit_code, refused.err) == (3, "error: supersedes: is not a credential of this organisation\n")


def test_times_are_rfc_3339_in_z(create: CreateCredential) -> None:
    year = datetime.now(UTC).year + 2  # the next may be about to begin
    created = create("--expires-at", f"{year}-01-01T02:00:00+02:00")
    assert created["expires_at"] == f"{year}-01-01T00:00:00Z"
    assert created["created_at"].endswith("Z")
