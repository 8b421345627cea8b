"""What the claims of an identity provider give."""

from uuid import UUID

import pytest

from ledger.role_grants import RoleGrant, RoleGrants
from ledger.settings import Settings, SettingsError, from_environment
from ledger.values import Role

ORGANISATION = UUID("01976b3c-9d1a-7c3e-8f00-2b4e5a6c7d8e")
GIVEN = {
    "KEYLEDGER_OIDC_ISSUER": "https://login.example.com/realms/staff",
    "KEYLEDGER_OIDC_CLIENT_ID": "keyledger",
    "KEYLEDGER_OIDC_ROLES": "admins=administrator",
}


def test_an_entry_names_roles_and_perhaps_production_and_an_organisation() -> None:
    text = f"cn=admins,dc=example=administrator; ops = operator, auditor+production@{ORGANISATION} ;audit=auditor;"

    grants = RoleGrants.parse(text)

    assert grants.entries == (
        RoleGrant("cn=admins,dc=example", frozenset({Role.ADMINISTRATOR}), production=False, organisation_id=None),
        RoleGrant("ops", frozenset({Role.OPERATOR, Role.AUDITOR}), production=True, organisation_id=ORGANISATION),
        RoleGrant("audit", frozenset({Role.AUDITOR}), production=False, organisation_id=None),
    )
    assert RoleGrants.parse(str(grants)) == grants


def test_the_first_entry_that_fits_decides_alone() -> None:
    grants = RoleGrants.parse("admins=administrator;ops=operator")
    assert grants.first_of(["ops", "admins"]) == grants.entries[0]
    assert grants.first_of(["ops"]) == grants.entries[1]
    for nothing in ([], ["Admins"], ["admins "], ["admin"]):
        assert grants.first_of(nothing) is None


@pytest.mark.parametrize("wrong", ["admins", "=administrator", "admins=", "admins=root", "a=viewer@", "a=viewer@x",
                                   "gateways=verifier", "a=viewer+prod", "a=viewer,"])  # fmt: skip
def test_an_entry_that_cannot_be_read_stops_the_service(wrong: str) -> None:
    with pytest.raises(SettingsError, match="KEYLEDGER_OIDC_ROLES must be entries like"):
        from_environment({**GIVEN, "KEYLEDGER_OIDC_ROLES": wrong})


def test_settings_name_a_provider() -> None:
    settings = from_environment({**GIVEN, "KEYLEDGER_OIDC_CLIENT_SECRET": "s3cret"})
    assert str(settings.oidc_roles) == "admins=administrator"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("issuer", ["http://login.example.com", "https://login.example.com/?x", "login.example.com",
                                    "https://login.example.com/#x", "http://127.0.0.1.example.com"])  # fmt: skip
def test_a_provider_is_reached_by_tls(issuer: str) -> None:
    with pytest.raises(SettingsError, match="KEYLEDGER_OIDC_ISSUER"):
        from_environment({**GIVEN, "KEYLEDGER_OIDC_ISSUER": issuer})


@pytest.mark.parametrize("missing", ["KEYLEDGER_OIDC_CLIENT_ID", "KEYLEDGER_OIDC_ROLES"])
def test_a_provider_takes_a_client_id_and_roles_besides(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing}.* besides"):
        from_environment({name: value for name, value in GIVEN.items() if name != missing})


def test_openid_is_always_asked_for() -> None:
    with pytest.raises(SettingsError, match="must name openid"):
        Settings(oidc_scopes="profile email")
