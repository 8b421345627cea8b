"""`keyledger catalogue` and `keyledger application`: what the API can, the command line can."""

from pathlib import Path
from uuid import uuid4

import orjson

from tests import given
from tests.cli.conftest import CommandLine, now

OFFERED = {"order:view": ["live", "test"], "order:edit": ["live", "test"]}


def written(directory: Path, **changes: object) -> Path:
    """A catalogue in a file."""
    document = {"groups": given.groups(OFFERED), "apis": given.apis({"orders": ["order:view"]}), **changes}
    file = directory / "catalogue.json"
    file.write_bytes(orjson.dumps(document))
    return file


def test_what_show_prints_can_be_edited_and_set(keyledger: CommandLine, organisation: str, tmp_path: Path) -> None:
    shown = keyledger.ok("catalogue", "show", organisation, "--json").json
    shown["groups"] = shown["groups"][:1]
    file = tmp_path / "edited.json"
    file.write_bytes(orjson.dumps(shown))

    changed = keyledger.ok("catalogue", "set", organisation, file, "--expected-version", 1, "--json").json

    assert (changed["version"], len(changed["groups"]), len(changed["retired"]["live"])) == (2, 1, 14)
    assert keyledger.ok("catalogue", "show", organisation, "--version", 1, "--json").json["retired"] == {
        "live": [],
        "test": [],
    }
    stale = keyledger("catalogue", "set", organisation, written(tmp_path), "--expected-version", 1)
    assert (stale.exit_code, "expected version 1, it is at 2" in stale.err) == (6, True)


def test_a_catalogue_is_read_from_standard_input_retired_and_told(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    text = written(tmp_path).read_text()
    assert "version 2" in keyledger.ok("catalogue", "set", organisation, "-", "--reason", "ours", stdin=text).out
    assert "version 3" in keyledger.ok("catalogue", "retire", organisation, "order:edit").out

    third, second, _ = keyledger.ok("catalogue", "history", organisation, "--json").json["data"]
    assert (third["removed"], second["reason"]) == (["order:edit"], "ours")
    table = keyledger.ok("catalogue", "history", organisation).out
    assert "order:edit" in table
    shown = keyledger.ok("catalogue", "show", organisation).out
    assert "order:view" in shown
    assert "Retired for live credentials: currency_account:edit" in shown
    assert "custom" not in keyledger.ok("catalogue", "preview", organisation, "--mode", "live", "--full").out


def test_credentials_are_listed_with_the_labels_of_the_catalogue_that_they_were_created_under(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    keyledger.ok("catalogue", "set", organisation, written(tmp_path))
    keyledger.ok("credential", "create", "--organisation", organisation, "--mode", "live", "--preset", "read_only")
    (listed,) = keyledger.ok("credential", "list", "--organisation", organisation, "--json").json["data"]
    assert (listed["preset"], listed["presets"]) == ("read_only", {"shop": "read_only"})


def test_a_file_that_is_no_catalogue_is_refused_with_what_is_wrong(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    for changes, said in (
        ({"groups": "none"}, "is not a catalogue: Expected `array`, got `str` - at `$.groups`"),
        ({"groups": []}, "groups: must not be empty"),
        ({"apis": given.apis({"orders": ["invoice:view"]})}, "apis.0.scopes: the groups do not hold invoice:view"),
    ):
        refused = keyledger("catalogue", "set", organisation, written(tmp_path, **changes))
        assert (refused.exit_code, said in refused.err) == (3, True), refused.err
    assert keyledger("catalogue", "show", uuid4()).exit_code == 4


def test_an_application_is_registered_described_connected_and_archived(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    keyledger.ok("catalogue", "set", organisation, written(tmp_path))
    app = keyledger.ok("application", "register", "Sync", "--organisation", organisation).out.strip()

    keyledger.ok("application", "describe", app, "--title", "Ledger sync", "--description", "Books payouts.")
    keyledger.ok("application", "connect", app, "orders", "--expected-version", 2)
    shown = keyledger.ok("application", "show", app, "--json").json
    assert (shown["title"], shown["connected_apis"][0]["name"]) == ("Ledger sync", "orders")
    assert "Books payouts." in keyledger.ok("application", "show", app).out
    assert "Ledger sync" in keyledger.ok("application", "list", "--organisation", organisation, "--search", "sync").out

    create = ("credential", "create", "--organisation", organisation, "--mode", "test", "--application", app, "--json")
    made = keyledger.ok(*create, "--full").json
    assert (made["scopes"], made["application_id"]) == (["order:view"], app)
    beyond = keyledger(*create, "--scope", "order:edit")
    assert (beyond.exit_code, "do not take order:edit" in beyond.err) == (3, True)
    shown = keyledger.ok("credential", "show", made["id"], "--json").json
    assert shown["effective_scopes"] == ["order:view"]

    assert keyledger("application", "connect", app).exit_code == 2
    keyledger.ok("application", "connect", app, "--none")
    keyledger.ok("application", "archive", app, "--yes", "--reason", "sold")
    archived = keyledger(*create, "--full")
    assert (archived.exit_code, "archived" in archived.err) == (5, True)
    told = keyledger.ok("application", "history", app).out
    for words in ("registered", "described", "APIs connected", "archived", "why: sold"):
        assert words in told
    at_the_end = keyledger.ok("history", app, "--as-of", now(), "--json").json["state"]
    assert (at_the_end["archived"], at_the_end["apis"]) == (True, [])


def test_the_first_key_pair_comes_with_the_application(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    keyledger.ok("catalogue", "set", organisation, written(tmp_path))
    register = ("application", "register", "Sync", "--organisation", organisation, "--api", "orders")
    made = keyledger.ok(*register, "--generate", "production", "--json").json
    assert (made["credential"]["environment"], made["credential"]["application_id"]) == ("production", made["id"])
    assert made["secret"].startswith("kl_key_pair_live_")
    listed = keyledger.ok("application", "list", "--organisation", organisation, "--not-archived", "--json").json
    assert [app["id"] for app in listed["data"]] == [made["id"]]


def test_the_first_key_pair_takes_what_the_api_takes_for_it(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    keyledger.ok("catalogue", "set", organisation, written(tmp_path))
    register = ("application", "register", "Sync", "--organisation", organisation, "--api", "orders", "--json")
    of_pair = ("--name", "First", "--contact-email", "dev@example.com", "--scope", "order:view")
    made = keyledger.ok(*register, "--mode", "test", *of_pair).json["credential"]
    assert (made["mode"], made["environment"], made["scopes"]) == ("test", None, ["order:view"])
    assert (made["name"], made["contact_email"]) == ("First", "dev@example.com")
    made = keyledger.ok(*register, "--generate", "staging", "--preset", "read_only").json["credential"]
    assert (made["mode"], made["environment"], made["scopes"]) == ("test", "staging", ["order:view"])

    assert keyledger(*register, *of_pair).exit_code == 2
    assert keyledger(*register, "--generate", "staging", "--mode", "live").exit_code == 3


def test_a_preview_is_refused_as_the_credential_would_be(
    keyledger: CommandLine, organisation: str, tmp_path: Path
) -> None:
    catalogue = keyledger.ok("catalogue", "show", organisation, "--json").json
    edits = [f"{entity['name']}:edit" for group in catalogue["groups"] for entity in group["entities"]]
    keyledger.ok("catalogue", "retire", organisation, *edits)
    preview = ("catalogue", "preview", organisation, "--mode", "live", "--preset", "write")
    create = ("credential", "create", "--organisation", organisation, "--mode", "live", "--preset", "write")

    refused, not_created = keyledger(*preview), keyledger(*create)

    assert refused.exit_code == not_created.exit_code == 3
    assert refused.err == not_created.err == "error: preset: the catalogue offers live credentials nothing of this\n"
