"""Operators and organisations from the command line."""

import orjson
from flask import Flask

from api import documents, outgoing
from api.wiring import Services
from projections.operator_status import find_caller, list_operators
from tests.cli.conftest import CommandLine


def enrol(keyledger: CommandLine, *more: object) -> str:
    return keyledger.ok("operator", "enrol", "--name", "Ada", "--role", "administrator", *more).out.strip()


def test_an_enrolled_operator_signs_in_with_the_token_printed_once(keyledger: CommandLine, services: Services) -> None:
    token = enrol(keyledger, "--production", "--email", "ada@example.com", "--reason", "first one")
    caller = find_caller(services.store, services.keyring.digests.candidates(token))
    assert caller is not None
    assert (caller.roles, caller.production) == (frozenset({"administrator"}), True)
    listed = keyledger.ok("operator", "list", "--json")
    assert listed.json["data"][0]["name"] == "Ada"
    assert token not in listed.out
    assert listed.json["data"][0]["tokens"][0]["hint"] == token[-4:]


def test_what_json_shows_of_an_operator_is_what_the_api_shows(keyledger: CommandLine, services: Services) -> None:
    enrol(keyledger)
    app = Flask(__name__)
    with app.app_context():
        by_the_api = [documents.operator(row) for row in list_operators(services.store, None, None, 10)]
    shown = keyledger.ok("operator", "list", "--json").json["data"]
    assert list(shown[0]) == list(by_the_api[0])
    ours, theirs = (dict(one) for one in (shown[0], orjson.loads(outgoing.to_json(by_the_api[0]))))
    assert ours == theirs


def test_roles_are_set_whole_and_keep_the_grant_for_production(keyledger: CommandLine) -> None:
    enrol(keyledger, "--production")
    operator_id = keyledger.ok("operator", "list", "--json").json["data"][0]["id"]
    changed = keyledger.ok("operator", "roles", operator_id, "--role", "auditor", "--role", "viewer", "--json")
    assert (changed.json["roles"], changed.json["production"]) == (["auditor", "viewer"], True)
    assert "no administrator of all organisations is left" in changed.err
    assert keyledger("operator", "roles", operator_id, "--role", "emperor").exit_code == 2


def test_a_rotated_token_replaces_the_old_one_and_a_removed_operator_has_none(
    keyledger: CommandLine, services: Services
) -> None:
    old = enrol(keyledger)
    operator_id = keyledger.ok("operator", "list", "--json").json["data"][0]["id"]
    new = keyledger.ok("operator", "rotate-token", operator_id).out.strip()

    def known(token: str) -> bool:
        return find_caller(services.store, services.keyring.digests.candidates(token)) is not None

    assert [known(old), known(new)] == [False, True]
    keyledger.ok("operator", "remove", operator_id, "--reason", "left")
    assert not known(new)
    assert keyledger("operator", "remove", operator_id).exit_code == 5
    assert "removed" in keyledger.ok("operator", "show", operator_id).out


def test_an_organisation_is_registered_renamed_and_listed(keyledger: CommandLine, organisation: str) -> None:
    keyledger.ok("organisation", "rename", organisation, "Acme Ltd", "--expected-version", "1")
    listed = keyledger.ok("organisation", "list", "--json").json["data"]
    assert [(one["id"], one["name"], one["version"]) for one in listed] == [(organisation, "Acme Ltd", 2)]
    assert "Acme Ltd" in keyledger.ok("organisation", "list").out
