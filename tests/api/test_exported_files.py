"""Files of exports and access reviews over HTTP: who may have them, what they are called, and their manifests."""

from hashlib import sha256
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import Role
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.api.test_exports import seal
from tests.projections.keeping_up import catch_up


@pytest.fixture
def exports(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/exports"


@pytest.fixture
def reviews(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/access-reviews"


@pytest.mark.parametrize(
    ("form", "media_type", "suffix"),
    [
        ("csv", "text/csv; charset=utf-8; header=present", "csv"),
        ("parquet", "application/vnd.apache.parquet", "parquet"),
        ("ocsf", "application/x-ndjson", "ocsf.ndjson"),
    ],
)
def test_an_export_is_fetched_in_a_format_and_its_manifest_tells_of_the_file(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    exports: str,
    form: str,
    media_type: str,
    suffix: str,
) -> None:
    given.a_credential(services, organisation)
    asked = administrator("POST", exports, {"reason": "audit of 2026"})
    location = asked.headers["Location"]
    early = administrator("GET", f"{location}/content?format={form}")
    assert (early.status_code, early.json["code"]) == (503, "not_sealed_yet")
    seal(services)
    assert administrator("GET", f"{location}/manifest?format={form}").status_code == 404

    content = administrator("GET", f"{location}/content?format={form}")
    assert content.status_code == 200
    assert content.headers["Content-Type"] == media_type
    assert content.headers["Content-Disposition"] == f'attachment; filename="keyledger-{asked.json["id"]}.{suffix}"'
    manifest = administrator("GET", f"{location}/manifest?format={form}").json
    assert manifest["sha256"] == sha256(content.data).hexdigest()
    assert (manifest["bytes"], manifest["format"]) == (len(content.data), form)
    assert manifest["counts"]["credential.created"] == 1
    assert manifest["asked"]["reason"] == "audit of 2026"
    assert manifest["asked"]["requested_by"] == f"operator:{administrator.operator_id}"


def test_a_leaf_to_go_on_at_is_of_the_bundle_alone(services: Services, administrator: SignedIn, exports: str) -> None:
    location = administrator("POST", exports, {"reason": "audit"}).headers["Location"]
    seal(services)
    refused = administrator("GET", f"{location}/content?format=csv&from=1")
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "from")


def test_a_review_is_asked_for_with_a_reason_and_fetched(
    services: Services, sign_in: SignIn, organisation: UUID, reviews: str
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation, production=False)
    given.a_credential(services, organisation)
    catch_up(services)
    assert auditor("POST", reviews, {}).status_code == 422
    asked = auditor("POST", reviews, {"reason": "third quarter"})
    assert (asked.status_code, asked.json["as_of"]) == (201, asked.json["requested_at"])
    catch_up(services)
    location = asked.headers["Location"]
    for form, media_type in (
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("html", "text/html; charset=utf-8"),
        ("parquet", "application/vnd.apache.parquet"),
    ):
        content = auditor("GET", f"{location}/content?format={form}")
        assert (content.status_code, content.headers["Content-Type"]) == (200, media_type)
        manifest = auditor("GET", f"{location}/manifest?format={form}").json
        assert (manifest["sha256"], manifest["rows"]) == (sha256(content.data).hexdigest(), 1)
        assert manifest["counts"] == {"active": 1}
    recorded = services.log.history(UUID(asked.json["id"])).recorded[0].event
    assert (recorded.TOPIC, recorded.context.reason) == ("access_review.requested", "third quarter")


def test_the_page_may_run_and_load_nothing_but_its_own_style(
    services: Services, administrator: SignedIn, reviews: str
) -> None:
    location = administrator("POST", reviews, {"reason": "audit"}).headers["Location"]
    catch_up(services)
    page = administrator("GET", f"{location}/content?format=html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'sha256-" in policy
    assert "unsafe" not in policy


def test_a_review_of_the_future_is_refused(administrator: SignedIn, reviews: str) -> None:
    refused = administrator("POST", reviews, {"reason": "audit", "as_of": "2999-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "as_of")


def test_what_is_of_another_organisation_is_not_found(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    other = given.an_organisation(services, "Umbrella")
    review = given.an_access_review(services, other)
    for path in ("", "/content?format=csv", "/manifest?format=csv"):
        answer = administrator("GET", f"/v1/organisations/{organisation}/access-reviews/{review}{path}")
        assert answer.status_code == 404


def test_reviews_are_listed_newest_first_page_by_page(
    services: Services, administrator: SignedIn, organisation: UUID, reviews: str
) -> None:
    made = [str(given.an_access_review(services, organisation)) for _ in range(3)]
    given.an_access_review(services, given.an_organisation(services, "Other"))
    given.an_export(services, organisation)
    catch_up(services)

    first = administrator("GET", f"{reviews}?limit=2").json
    second = administrator("GET", f"{reviews}?limit=2&cursor={first['pagination']['cursor']}").json

    assert [one["id"] for one in (*first["data"], *second["data"])] == made[::-1]
    assert first["data"][0] == administrator("GET", f"{reviews}/{made[-1]}").json
