"""The whole story over HTTP: create, verify, restrict, rotate with an overlap, revoke."""

from uuid import UUID

from tests.api.conftest import SignedIn


def test_a_credential_is_created_verified_restricted_rotated_and_revoked(
    administrator: SignedIn, verifier: SignedIn, organisation: UUID
) -> None:
    base = f"/v1/organisations/{organisation}/credentials"
    created = administrator(
        "POST", base, {"kind": "api_key", "mode": "live", "preset": "read_only", "contact_email": "dev@example.com"}
    )
    assert created.status_code == 201, created.text
    credential, first = created.json, created.json["secret"]
    assert created.headers["ETag"] == f'"{credential["version"]}"'
    path = created.headers["Location"]

    def code(secret: str, **more: str) -> str:
        response = verifier("POST", "/v1/verify", {"secret": secret, **more})
        assert response.status_code == 200, response.text
        answered: str = response.json["code"]
        return answered

    assert code(first) == "VALID"
    restricted = administrator(
        "PUT", f"{path}/allowlist", {"allowlist": ["192.0.2.0/24"]}, {"If-Match": created.headers["ETag"]}
    )
    assert restricted.status_code == 200, restricted.text
    assert code(first) == "IP_NOT_ALLOWED"
    assert code(first, client_ip="192.0.2.7") == "VALID"

    rotated = administrator("POST", f"{path}/rotate", {"overlap_seconds": 3600, "reason": "quarterly"})
    second = rotated.json["secret"]
    assert rotated.json["status"] == "rotating"
    assert {code(s, client_ip="192.0.2.7") for s in (first, second)} == {"VALID"}
    ended = administrator("POST", f"{path}/end-overlap")
    assert ended.json["status"] == "active"
    assert code(first, client_ip="192.0.2.7") == "EXPIRED"
    assert code(second, client_ip="192.0.2.7") == "VALID"

    revoked = administrator("POST", f"{path}/revoke", {"revocation_reason": "compromised"})
    assert revoked.json["status"] == "revoked"
    assert code(second, client_ip="192.0.2.7") == "REVOKED"
    assert administrator("POST", f"{path}/revoke").json["code"] == "credential_revoked"
