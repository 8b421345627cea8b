"""S3, the channel keys page: an account's keys on FTP, REST, HTTP, Web Service and Email, line by line."""

from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import Channel
from projections.runner import Projector
from tests.api.conftest import Answer, SignedIn
from tests.cli.conftest import CommandLine
from tests.waiting import until_caught_up

DEFAULTS = ["email", "ftp", "http", "web_service"]
PASSWORD = "eleven purple walruses sing"
OTHER_PASSWORD = "twelve orange herons whistle"


@pytest.fixture
def accounts(organisation: UUID) -> str:
    """Where the organisation's accounts are."""
    return f"/v1/organisations/{organisation}/accounts"


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where its credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def opened(administrator: SignedIn, accounts: str, **wanted: Any) -> dict[str, Any]:
    """A new account as its opening was answered: a master's, unless another kind is wanted."""
    answer = administrator("POST", accounts, {"kind": "master", "name": "Acme Messaging", **wanted})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def add_key(administrator: SignedIn, credentials: str, account: str, channel: str, **more: Any) -> Answer:
    """What "+ Create API Key" does for a channel: a login, but for REST, which takes keys."""
    kind = "api_key" if channel == "rest" else "channel_login"
    body = {"kind": kind, "mode": "live", "preset": "full_access", "channel": channel, "account_id": account, **more}
    return administrator("POST", credentials, body)


def verdict(verifier: SignedIn, channel: str, login: str | None, secret: str, **more: Any) -> str:
    """What a gateway of a channel is told."""
    asked = {"secret": secret, "channel": channel, **more} | ({"public_id": login} if login else {})
    code: str = verifier("POST", "/v1/verify", asked).json["code"]
    return code


def test_s3_01_keys_are_managed_for_one_master_or_sub_account(
    services: Services, projector: Projector, administrator: SignedIn, accounts: str, credentials: str
) -> None:
    master = opened(administrator, accounts)["id"]
    sub = opened(administrator, accounts, kind="sub", parent_id=master, name="Acme North")["id"]
    of_master = add_key(administrator, credentials, master, "ftp").json["id"]
    of_sub = add_key(administrator, credentials, sub, "ftp").json["id"]
    until_caught_up(services)

    for account, key in ((master, of_master), (sub, of_sub)):
        listed = administrator("GET", f"{credentials}?account={account}").json["data"]
        assert [one["id"] for one in listed] == [key]
        channels = administrator("GET", f"{accounts}/{account}").json["channels"]
        assert [one["credential_id"] for one in channels] == [key]


def test_s3_02_old_masters_have_four_channels_active_by_default(
    services: Services, administrator: SignedIn, verifier: SignedIn, accounts: str
) -> None:
    account = opened(administrator, accounts, opened_on="2023-06-05")

    assert sorted(one["channel"] for one in account["credentials"]) == DEFAULTS
    for one in account["credentials"]:
        assert (one["kind"], one["mode"], one["access_level"]) == ("channel_login", "live", "full")
        assert one["account_id"] == account["id"]
        assert verdict(verifier, one["channel"], one["public_id"], one["secret"]) == "VALID"
    read = administrator("GET", f"{accounts}/{account['id']}")
    assert [one["channel"] for one in read.json["channels"]] == DEFAULTS
    assert account["channels"] == read.json["channels"]
    assert not any(one["secret"] in read.text for one in account["credentials"])


def test_s3_02_the_command_line_opens_them_too(keyledger: CommandLine, organisation: UUID) -> None:
    old = ("--organisation", organisation, "--kind", "master", "--name", "Acme", "--opened-on", "2023-06-05")
    account = keyledger.ok("account", "open", *old, "--json").json
    assert sorted(one["channel"] for one in account["credentials"]) == DEFAULTS
    secrets = keyledger.ok("account", "open", *old).out.split()[1:]
    assert len(secrets) == 4
    assert all(secret.startswith("kl_channel_login_live_") for secret in secrets)


@pytest.mark.parametrize("opened_on", ["2023-06-06", "2026-01-01", None])
def test_s3_03_later_masters_start_with_none_and_the_day_itself_is_later(
    administrator: SignedIn, accounts: str, opened_on: str | None
) -> None:
    account = opened(administrator, accounts, opened_on=opened_on)
    assert (account["credentials"], account["channels"]) == ([], [])


def test_s3_03_sub_accounts_start_with_none_however_old(administrator: SignedIn, accounts: str) -> None:
    master = opened(administrator, accounts, opened_on="2020-01-01")["id"]
    sub = opened(administrator, accounts, kind="sub", parent_id=master, opened_on="2020-01-01")
    assert sub["credentials"] == []


def test_s3_04_each_keys_credentials_are_unique_and_valid_on_its_own_channel_only(
    administrator: SignedIn, verifier: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    keys = {channel: add_key(administrator, credentials, account, channel).json for channel in Channel}

    assert len({key["public_id"] for key in keys.values()}) == len({key["secret"] for key in keys.values()}) == 5
    for own, key in keys.items():
        login = None if own is Channel.REST else key["public_id"]
        for channel in Channel:
            expected = "VALID" if channel is own else "WRONG_CHANNEL"
            assert verdict(verifier, channel, login, key["secret"]) == expected


def test_s3_04_a_login_is_unique_on_its_channel_across_the_installation(
    administrator: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    other_organisation = administrator("POST", "/v1/organisations", {"name": "Other"}).json["id"]
    theirs = f"/v1/organisations/{other_organisation}/credentials"
    assert add_key(administrator, credentials, account, "ftp", login="acme.files").status_code == 201

    login = {"kind": "channel_login", "mode": "live", "preset": "read_only"}
    refused = administrator("POST", theirs, login | {"channel": "ftp", "login": "Acme.Files"})
    assert (refused.status_code, refused.json["code"]) == (409, "login_already_claimed")
    assert administrator("POST", theirs, login | {"channel": "email", "login": "acme.files"}).status_code == 201


@pytest.mark.parametrize("channel", ["ftp", "rest", "http", "web_service", "email"])
def test_s3_05_a_key_is_created_for_each_of_the_five_channels(
    administrator: SignedIn, keyledger: CommandLine, organisation: UUID, accounts: str, credentials: str, channel: str
) -> None:
    account, other = opened(administrator, accounts)["id"], opened(administrator, accounts)["id"]
    created = add_key(administrator, credentials, account, channel)
    assert (created.status_code, created.json["channel"]) == (201, channel)
    kind = "api_key" if channel == "rest" else "channel_login"
    by_command = keyledger.ok(
        *("credential", "create", "--organisation", organisation, "--kind", kind, "--mode", "live", "--full"),
        *("--channel", channel, "--account", other, "--json"),
    ).json
    assert (by_command["channel"], by_command["account_id"]) == (channel, other)


def test_s3_06_the_user_chooses_own_credentials_or_has_them_generated(
    administrator: SignedIn, verifier: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    own = add_key(administrator, credentials, account, "ftp", login="acme.files", secret=PASSWORD).json
    generated = add_key(administrator, credentials, account, "email").json

    assert own["public_id"] == "acme.files"
    assert verdict(verifier, "ftp", "acme.files", PASSWORD) == "VALID"
    assert generated["public_id"].startswith("login_live_")
    assert verdict(verifier, "email", generated["public_id"], generated["secret"]) == "VALID"


@pytest.mark.parametrize(
    ("password", "code", "reason"),
    [
        ("too short", "invalid_length", "shorter than 15 characters"),
        ("aaaaaaaaaaaaaaaaaaaaaa", "weak_password", "easily guessed"),
        ("acme.files123456", "weak_password", "easily guessed"),
        ("Acme.Files.acme.files", "weak_password", "easily guessed"),
        ("eleven purple\nwalruses", "forbidden_characters", "control or invisible"),
        ("kl_eleven purple walruses sing", "invalid_value", "begins with kl_"),
    ],
)
def test_s3_06_a_password_that_is_refused_says_why(
    administrator: SignedIn, services: Services, accounts: str, credentials: str, password: str, code: str, reason: str
) -> None:
    account = opened(administrator, accounts)["id"]
    head = services.log.head()
    refused = add_key(administrator, credentials, account, "ftp", login="acme.files", secret=password)
    assert (refused.status_code, refused.json["code"]) == (422, code)
    assert refused.json["errors"][0]["field"] == "secret"
    assert reason in refused.json["errors"][0]["reason"]
    assert password not in refused.text
    assert services.log.head() == head


def test_s3_07_a_secret_is_seen_once_and_a_new_one_takes_generating(
    services: Services, projector: Projector, administrator: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    key = add_key(administrator, credentials, account, "http").json
    path = f"{credentials}/{key['id']}"
    until_caught_up(services)
    for read in (path, f"{path}/events", f"{credentials}?account={account}", f"{accounts}/{account}"):
        assert key["secret"] not in administrator("GET", read).text
    again = administrator("POST", f"{path}/rotate").json["secret"]
    assert again != key["secret"]


def test_s3_08_active_channels_are_listed_and_one_that_ends_is_not(
    services: Services, projector: Projector, administrator: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts, opened_on="2021-01-01")
    ends = {one["channel"]: f"{credentials}/{one['id']}" for one in account["credentials"]}
    assert administrator("POST", f"{ends['ftp']}/revoke").status_code == 200
    assert administrator("POST", f"{ends['http']}/suspend").status_code == 200

    channels = administrator("GET", f"{accounts}/{account['id']}").json["channels"]
    assert [one["channel"] for one in channels] == ["email", "web_service"]
    until_caught_up(services)
    listed = administrator("GET", f"{credentials}?account={account['id']}&status=active").json["data"]
    assert {one["id"] for one in listed} == {one["credential_id"] for one in channels}


@pytest.mark.parametrize(
    ("allowlist", "inside", "outside"),
    [
        (["192.0.2.7"], ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.8", "2001:db8::7"]),
        (["192.0.2.7", "198.51.100.0/24"], ["192.0.2.7", "198.51.100.200"], ["198.51.101.1"]),
        (["2001:db8::/32"], ["2001:db8:1::9"], ["2001:db9::1", "192.0.2.7"]),
        (["::ffff:192.0.2.0/120"], ["192.0.2.200", "::ffff:192.0.2.9"], ["192.0.3.1"]),
    ],
)
def test_s3_08_an_ip_whitelist_takes_one_address_or_several(
    administrator: SignedIn,
    verifier: SignedIn,
    accounts: str,
    credentials: str,
    allowlist: list[str],
    inside: list[str],
    outside: list[str],
) -> None:
    account = opened(administrator, accounts)["id"]
    key = add_key(administrator, credentials, account, "ftp").json
    path = f"{credentials}/{key['id']}/allowlist"
    assert administrator("PUT", path, {"allowlist": allowlist}, {"If-Match": "*"}).status_code == 200

    def at(address: str) -> str:
        return verdict(verifier, "ftp", key["public_id"], key["secret"], client_ip=address)

    assert {at(address) for address in inside} == {"VALID"}
    assert {at(address) for address in outside} == {"IP_NOT_ALLOWED"}
    assert verdict(verifier, "ftp", key["public_id"], key["secret"]) == "IP_NOT_ALLOWED"


def test_s3_09_credentials_are_changed_at_any_time_the_login_too(
    administrator: SignedIn, verifier: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    key = add_key(administrator, credentials, account, "ftp", login="acme.files", secret=PASSWORD).json
    path = f"{credentials}/{key['id']}/rotate"

    changed = administrator("POST", path, {"secret": OTHER_PASSWORD}).json
    assert changed["public_id"] == "acme.files"
    assert verdict(verifier, "ftp", "acme.files", PASSWORD) == "NOT_FOUND"
    assert verdict(verifier, "ftp", "acme.files", OTHER_PASSWORD) == "VALID"

    renamed = administrator("POST", path, {"secret": PASSWORD, "login": "acme.backup"}).json
    assert (renamed["id"], renamed["public_id"]) == (key["id"], "acme.backup")
    assert verdict(verifier, "ftp", "acme.files", PASSWORD) == "NOT_FOUND"
    assert verdict(verifier, "ftp", "acme.backup", PASSWORD) == "VALID"
    back = administrator("POST", path, {"login": "Acme.Files"}).json
    assert verdict(verifier, "ftp", "acme.files", back["secret"]) == "VALID"


def test_s3_09_a_login_that_was_given_up_stays_taken(administrator: SignedIn, accounts: str, credentials: str) -> None:
    account, other = opened(administrator, accounts)["id"], opened(administrator, accounts)["id"]
    key = add_key(administrator, credentials, account, "ftp", login="acme.files").json
    taken = add_key(administrator, credentials, other, "ftp", login="taken").json
    assert administrator("POST", f"{credentials}/{key['id']}/rotate", {"login": "acme.new"}).status_code == 200

    for login in ("acme.files", "acme.new"):
        refused = administrator("POST", f"{credentials}/{taken['id']}/rotate", {"login": login})
        assert (refused.status_code, refused.json["code"]) == (409, "login_already_claimed")


def test_s3_09_changing_warns_that_implementations_break(
    keyledger: CommandLine, administrator: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    key = add_key(administrator, credentials, account, "ftp").json["id"]
    assert "whatever still uses what it had before is refused" in keyledger.ok("credential", "rotate", key).err
    assert "warning" not in keyledger.ok("credential", "rotate", key, "--overlap", "1h").err
    document = administrator("GET", "/openapi.json").json
    operation = document["paths"]["/v1/organisations/{organisation_id}/credentials/{credential_id}/rotate"]["post"]
    assert "breaks" in operation["description"]


def test_s3_10_several_rest_keys_work_and_other_channels_take_one_at_a_time(
    administrator: SignedIn, verifier: SignedIn, accounts: str, credentials: str
) -> None:
    account = opened(administrator, accounts)["id"]
    rest = [add_key(administrator, credentials, account, "rest").json for _ in range(10)]
    assert {verdict(verifier, "rest", None, key["secret"]) for key in rest} == {"VALID"}
    refused = add_key(administrator, credentials, account, "rest")
    assert (refused.status_code, refused.json["code"]) == (409, "channel_key_exists")
    assert "10 good keys on the channel rest, where it may have 10" in refused.json["detail"]

    first = add_key(administrator, credentials, account, "ftp").json
    assert add_key(administrator, credentials, account, "ftp").json["code"] == "channel_key_exists"
    assert add_key(administrator, credentials, account, "http").status_code == 201
    other = opened(administrator, accounts)["id"]
    assert add_key(administrator, credentials, other, "ftp").status_code == 201
    administrator("POST", f"{credentials}/{first['id']}/suspend")
    assert add_key(administrator, credentials, account, "ftp").status_code == 409
    administrator("POST", f"{credentials}/{first['id']}/revoke")
    second = add_key(administrator, credentials, account, "ftp")
    assert second.status_code == 201
    assert add_key(administrator, credentials, account, "ftp").status_code == 409


def test_s3_10_the_limit_is_a_setting(
    keyledger: CommandLine, administrator: SignedIn, organisation: UUID, accounts: str
) -> None:
    account = opened(administrator, accounts)["id"]
    create = (
        *("credential", "create", "--organisation", organisation, "--kind", "channel_login", "--mode", "live"),
        *("--full", "--channel", "ftp", "--account", account),
    )
    two = {"KEYLEDGER_CHANNEL_KEYS_MAX": "ftp=2"}
    assert [keyledger(*create, **two).exit_code for _ in range(3)] == [0, 0, 5]
    assert keyledger(*create, KEYLEDGER_CHANNEL_KEYS_MAX="ftp=0").exit_code == 5
