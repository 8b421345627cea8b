"""An installation keeps an administrator."""

from ledger.values import Role
from tests.api.conftest import SignedIn, SignIn


def test_the_last_administrator_of_all_is_neither_removed_nor_demoted(administrator: SignedIn, sign_in: SignIn) -> None:
    path = f"/v1/operators/{administrator.operator_id}"
    etag = administrator("GET", path).headers["ETag"]
    demotion = {"roles": ["auditor"], "production": True}

    assert administrator("DELETE", path).json["code"] == "last_administrator"
    refused = administrator("PUT", f"{path}/roles", demotion, {"If-Match": etag})
    assert (refused.status_code, refused.json["code"]) == (409, "last_administrator")

    sign_in(Role.ADMINISTRATOR)
    assert administrator("PUT", f"{path}/roles", demotion, {"If-Match": etag}).status_code == 200
