"""The settings: every variable is read, bounded and named when it is wrong."""

from dataclasses import fields
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from ledger.role_grants import RoleGrants
from ledger.settings import PREFIX, ChannelKeys, Settings, SettingsError, from_environment
from ledger.values import Channel

# For every setting: a text that is read, what it reads as, and texts that are refused.
READ: dict[str, tuple[str, Any, list[str]]] = {
    "database_url": ("postgresql://u:p@db/keyledger", "postgresql://u:p@db/keyledger", []),
    "data_dir": ("/var/lib/keyledger", Path("/var/lib/keyledger"), ["", "  "]),
    "schema": ("tenant_7", "tenant_7", ["", "Tenant", "7tenant", "a-b", 'a"b', "é", "a" * 40, "pg_ledger", "a\nb"]),
    "host": ("0.0.0.0", "0.0.0.0", []),  # noqa: S104 - a text like any other here
    "port": ("65535", 65_535, ["0", "65536", "http", "", "80.5"]),
    "workers": ("4", 4, ["0", "65"]),
    "threads": ("64", 64, ["0", "257"]),
    "projector": ("no", False, ["maybe", ""]),
    "master_key": ("AAAA", "AAAA", []),
    "bootstrap_token": ("kl_x", "kl_x", []),
    "pool_size_max": ("3", 3, ["2", "101"]),
    "commit_batch_max": ("1", 1, ["0", "1001"]),
    "commit_queue_max": ("100000", 100_000, ["0", "100001"]),
    "statement_timeout": ("0.5", 0.5, ["0", "3601", "nan", "inf", "soon"]),
    "lock_timeout": ("1", 1.0, ["0", "3601"]),
    "connect_timeout": ("300", 300.0, ["0", "301"]),
    "projection_poll": ("0.05", 0.05, ["0.04", "61"]),
    "projection_lag_max": ("86400", 86_400.0, ["0", "86401"]),
    "usage_flush": ("0.1", 0.1, ["0", "3601"]),
    "usage_days": ("366", 366, ["0", "367"]),
    "reading_days": ("3660", 3_660, ["0", "3661"]),
    "verification_cache_max": ("0", 0, ["-1", "5000001"]),
    "verification_cache_seconds": ("0.5", 0.5, ["0", "3601"]),
    "log_name": (
        "example.com/keys",
        "example.com/keys",
        ["https://example.com", "Example.com", "a b", "a+b", "a/", "-a"],
    ),
    "seal_seconds": ("0.05", 0.05, ["0.04", "61"]),
    "seal_events": ("1", 1, ["0", "10001"]),
    "seal_delay_max": ("10", 10.0, ["9", "604801"]),
    "signer_memory": ("/var/lib/signer/memory", "/var/lib/signer/memory", []),
    "erasures": ("/var/lib/keyledger/erasures", "/var/lib/keyledger/erasures", []),
    "witnesses": ("/etc/keyledger/witnesses", "/etc/keyledger/witnesses", []),
    "witness_seconds": ("0.1", 0.1, ["0", "3601"]),
    "witness_delay_max": ("0.1", 0.1, ["0", "604801"]),
    "timestamp_url": (
        "https://tsa.example.com/tsr?a=b",
        "https://tsa.example.com/tsr?a=b",
        ["tsa.example.com", "ftp://tsa.example.com", "https://", "https://a b"],
    ),
    "timestamp_seconds": ("60", 60.0, ["0.5", "604801"]),
    "rotation_days": ("30", 30, ["0", "3661"]),
    "retention_days": ("36600", 36_600, ["-1", "36601"]),
    "report_interval": ("60", 60.0, ["0", "86401"]),
    "production_hints": ("granted", "granted", ["none", "", "Granted"]),
    "channel_defaults_before": ("2024-02-29", date(2024, 2, 29), ["2023-02-29", "6 June 2023", ""]),
    "default_channels": ("email, ftp,email", (Channel.EMAIL, Channel.FTP), ["fax", "ftp;http"]),
    "channel_keys_max": (
        "ftp=2, rest=100,email=0",
        ChannelKeys(ftp=2, rest=100, email=0),
        ["", "ftp", "fax=1", "ftp=-1", "rest=101", "ftp=many", "ftp=1,ftp=2", "ftp=1;rest=2"],
    ),
    "failures_per_address": ("1", 1, ["0", "100001"]),
    "failures_per_public_id": ("1", 1, ["0", "100001"]),
    "revocations_per_minute": ("10000", 10_000, ["0", "10001", "many"]),
    "webhook_private_addresses": ("10.20.0.0/16", (ip_network("10.20.0.0/16"),), ["10.20.0.1/16", "all"]),
    "issuer": (
        "https://keys.example.com:8443",
        "https://keys.example.com:8443",
        ["keys.example.com", "https://keys.example.com/", "ftp://keys.example.com", "https://keys.example.com?x"],
    ),
    "access_token_seconds": ("60", 60, ["59", "86401"]),
    "session_idle_seconds": ("60", 60, ["59", "86401"]),
    "session_seconds": ("300", 300, ["299", "604801"]),
    "oidc_issuer": (
        "https://login.example.com/realms/staff",
        "https://login.example.com/realms/staff",
        ["login.example.com", "http://login.example.com", "https://login.example.com?x"],
    ),
    "oidc_client_id": ("keyledger", "keyledger", []),
    "oidc_client_secret": ("s3cret", "s3cret", []),
    "oidc_scopes": ("openid groups", "openid groups", ["", "profile", "openid-2"]),
    "oidc_roles_claim": ("roles", "roles", []),
    "oidc_roles": ("admins=administrator", RoleGrants.parse("admins=administrator"), ["admins", "admins=root"]),
    "oidc_session_seconds": ("300", 300, ["299", "86401"]),
    "body_bytes_max": ("1024", 1_024, ["1023", "10485761"]),
    "trusted_proxies": (
        " 10.0.0.0/8, ::1 ,",
        (ip_network("10.0.0.0/8"), ip_network("::1")),
        ["10.0.0.1/8", "proxy", "10.0.0.0/8;::1"],
    ),
    "log_level": ("DEBUG", "DEBUG", ["debug", "TRACE", ""]),
}


# What says nothing alone, with what it takes besides.
BESIDES = {"oidc_issuer": {"oidc_client_id": "keyledger", "oidc_roles": "admins=administrator"}}


def variables(name: str, text: str) -> dict[str, str]:
    """An environment with this setting, and what it takes besides."""
    return {PREFIX + given.upper(): value for given, value in {**BESIDES.get(name, {}), name: text}.items()}


def test_every_setting_is_tried_here_and_documented() -> None:
    assert [f.name for f in fields(Settings)] == list(READ)
    assert all(len(f.metadata["meaning"]) > 10 for f in fields(Settings))


@pytest.mark.parametrize("name", READ)
def test_a_variable_is_read_and_nothing_else_changes(name: str) -> None:
    text, value, _ = READ[name]
    found = from_environment(variables(name, f" {text} "))
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value)
    assert all(
        getattr(found, f.name) == f.default for f in fields(Settings) if f.name not in {name, *BESIDES.get(name, {})}
    )


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (_, _, wrong) in READ.items() for text in wrong])
def test_a_wrong_value_is_refused_and_the_variable_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=PREFIX + name.upper()):
        from_environment(variables(name, text))


def test_the_bounds_that_are_enforced_are_the_bounds_that_are_documented() -> None:
    for setting in fields(Settings):
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool):
            low, high = setting.metadata["bounds"]
            assert f"{low} to {high}" in setting.metadata["meaning"]
            for value in (low, high):
                assert getattr(Settings(**{setting.name: value}), setting.name) == value
            for value in (low - 0.01, high + 1):
                with pytest.raises(SettingsError, match=setting.name.upper()):
                    Settings(**{setting.name: value})


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("TRUE", True), ("0", False), ("false", False)]
)
def test_yes_and_no_in_the_usual_spellings(text: str, value: bool) -> None:
    assert from_environment({"KEYLEDGER_PROJECTOR": text}).projector is value


def test_an_unknown_variable_is_most_likely_a_typing_error_and_refused() -> None:
    with pytest.raises(SettingsError, match="KEYLEDGER_PROT is not a setting"):
        from_environment({"KEYLEDGER_PROT": "8080"})
    with pytest.raises(SettingsError, match="KEYLEDGER_PORT_FILE is not a setting"):
        from_environment({"KEYLEDGER_PORT_FILE": "/run/port"})


def test_variables_of_others_and_of_the_test_suite_are_left_alone() -> None:
    assert from_environment({"PATH": "/bin", "KEYLEDGERS": "x", "KEYLEDGER_TEST_DATABASE_URL": "x"}) == Settings()


@pytest.mark.parametrize("name", ["database_url", "master_key", "bootstrap_token", "oidc_client_secret"])
def test_what_is_secret_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    variable = PREFIX + name.upper()
    assert getattr(from_environment({f"{variable}_FILE": str(file)}), name) == "from the file"
    with pytest.raises(SettingsError, match=f"set {variable} or {variable}_FILE, not both"):
        from_environment({f"{variable}_FILE": str(file), variable: "x"})


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="KEYLEDGER_MASTER_KEY_FILE names a file that cannot be read"):
        from_environment({"KEYLEDGER_MASTER_KEY_FILE": str(file)})


def test_the_process_environment_is_what_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYLEDGER_PORT", "8181")
    assert from_environment().port == 8181


def test_no_secret_is_shown() -> None:
    secrets = {"database_url": "postgresql://u:hidden1@db/x", "master_key": "hidden2", "bootstrap_token": "hidden3"}
    assert "hidden" not in repr(Settings(**secrets))  # type: ignore[arg-type]


def test_a_wrong_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingsError) as refused:
        from_environment({"KEYLEDGER_PORT": "hidden"})
    assert "hidden" not in str(refused.value)


def test_the_master_key_file_is_in_the_data_directory() -> None:
    assert Settings(data_dir=Path("/d")).master_key_file == Path("/d/master.key")
