"""Who did what, at the command line."""

import pytest

from tests.cli.conftest import CommandLine, CreateCredential


def test_the_feed_tells_who_did_what_newest_first(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create("--name", "Billing")
    keyledger.ok("credential", "revoke", created["id"], "--reason", "Ada left")
    told = keyledger.ok("activity", "--organisation", organisation).out
    assert told.index("credential.revoked") < told.index("credential.created")
    assert "Ada left" in told
    first = keyledger.ok("activity", "--organisation", organisation, "--limit", "1", "--json").json["data"]
    assert [event["topic"] for event in first] == ["credential.revoked"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("--topic", "organisation.registered"), ["organisation.registered"]),
        (("--actor", "system"), []),
        (("--address", "192.0.2.1"), []),
        (("--until", "2001-01-01T00:00:00Z"), []),
        (("--operator", "00000000-0000-0000-0000-000000000001"), []),
    ],
)
def test_the_feed_is_filtered(
    keyledger: CommandLine, organisation: str, asked: tuple[str, str], found: list[str]
) -> None:
    told = keyledger.ok("activity", "--organisation", organisation, *asked, "--json").json["data"]
    assert [event["topic"] for event in told] == found


def test_what_an_operator_did_is_found_by_the_operator(keyledger: CommandLine, organisation: str) -> None:
    about = keyledger.ok("activity", "--about", organisation, "--json").json["data"]
    assert [event["aggregate"] for event in about] == ["organisation"]
    both = keyledger("activity", "--operator", organisation, "--actor", "system")
    assert both.exit_code == 2
