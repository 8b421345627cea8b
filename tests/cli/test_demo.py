"""`keyledger demo`: fills a fresh installation, shows what can be tried, and leaves a used one alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.wiring import Services
from ledger.values import Status
from projections.runner import lag
from tests.api.conftest import SignedIn, app, client
from tests.cli.conftest import CommandLine

__all__ = ["app", "client"]


@pytest.fixture
def demo(keyledger: CommandLine) -> Any:
    return keyledger.ok("demo", "--yes", "--json").json


def test_what_is_shown_verifies_with_the_token_that_is_shown(demo: Any, client: Any) -> None:
    gateway = SignedIn(client, demo["verifier_token"], None)  # type: ignore[arg-type]  # its id is not asked for
    for organisation in demo["organisations"]:
        example = organisation["example"]
        asked = {name: example[name] for name in ("secret", "public_id", "channel") if example[name]}
        answer = gateway("POST", "/v1/verify", asked).json
        assert (answer["code"], answer["credential_id"]) == ("VALID", example["credential_id"]), example["kind"]
        assert answer["organisation_id"] == organisation["organisation_id"]
        assert answer["mode"] == "live"


def test_every_status_preset_and_report_has_something_to_show(demo: Any, keyledger: CommandLine) -> None:
    def listed(*filters: object) -> list[Any]:
        return [
            credential
            for organisation in demo["organisations"]
            for credential in keyledger.ok(
                "credential", "list", "--organisation", organisation["organisation_id"], "--json", *filters
            ).json["data"]
        ]

    everything = listed()
    assert len(everything) == sum(organisation["credentials"] for organisation in demo["organisations"])
    assert {credential["status"] for credential in everything} == set(Status)
    assert {credential["preset"] for credential in everything} == {"read_only", "write", "full_access", "custom"}
    now = datetime.now(UTC)
    two_months_ago, next_month = ((now + timedelta(days=days)).isoformat() for days in (-60, 30))
    for report in (("--overdue",), ("--unused-since", two_months_ago), ("--expiring-before", next_month)):
        assert 0 < len(listed(*report)) < len(everything), report


def test_the_lists_are_up_to_date_when_it_ends(demo: Any, services: Services) -> None:
    # The verifier comes last, and no list shows it.
    assert all(view.position >= view.head - 1 for view in lag(services.store).values()), demo["organisations"]


def test_an_installation_that_holds_an_organisation_is_refused_and_left_alone(
    keyledger: CommandLine, organisation: str, services: Services
) -> None:
    head = services.log.head()
    ran = keyledger("demo", "--yes")
    assert ran.exit_code == 5
    assert ran.err == ("error: this installation holds an organisation already, and the demo is for a fresh one\n")
    assert services.log.head() == head, organisation


def test_it_asks_first_and_a_no_records_nothing(keyledger: CommandLine, services: Services) -> None:
    assert keyledger("demo", stdin="n\n").exit_code == 1
    assert services.log.head() == 0
    assert keyledger("demo", stdin="y\n").exit_code == 0


def test_it_adds_an_organisation_with_as_many_credentials_as_asked(keyledger: CommandLine, services: Services) -> None:
    made = keyledger.ok("demo", "--yes", "--json", "--credentials", 250, "--seed", 3).json["organisations"]
    assert [organisation["credentials"] for organisation in made][-1] == 250
    assert "example" not in made[-1]
    counted = {
        str(row["organisation_id"]): row["events"]
        for row in services.store.rows("SELECT organisation_id, count(*) AS events FROM ledger_events GROUP BY 1")
    }
    assert {one["organisation_id"]: one["events"] for one in made}.items() <= counted.items()


def test_people_get_a_table_and_a_secret_of_each_to_try(keyledger: CommandLine) -> None:
    ran = keyledger.ok("demo", "--yes")
    assert ran.out.count("kl_") == 6  # and the verifier's
    assert "Swiftword Messaging" in ran.out
    assert "shown this once" in ran.err
    assert "kl_" not in ran.err


@pytest.mark.parametrize("count", ["0", "-1", "many", "10000001"])
def test_a_number_of_credentials_that_makes_no_sense_is_a_usage_error(keyledger: CommandLine, count: str) -> None:
    assert keyledger("demo", "--yes", "--credentials", count).exit_code == 2


def test_limits_for_which_the_stories_were_not_written_are_named_before_anything_is_recorded(
    keyledger: CommandLine,
) -> None:
    refused = keyledger("demo", "--yes", KEYLEDGER_CHANNEL_KEYS_MAX="rest=1")
    assert (refused.exit_code, "KEYLEDGER_CHANNEL_KEYS_MAX" in refused.err) == (5, True)
    assert keyledger.ok("organisation", "list", "--json").json["data"] == []
