"""The documentation page: whole, without a script, without another host, and told to caches."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from flask.testing import FlaskClient


class Page(HTMLParser):
    """What a page holds that matters here."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, attributes in self.tags if (value := attributes.get(attribute))]


@pytest.fixture
def page(client: FlaskClient) -> Page:
    response = client.get("/docs")
    assert response.status_code == 200
    assert response.mimetype == "text/html"
    return Page(response.text)


def test_the_page_asks_no_other_host_and_everything_it_asks_for_is_served(client: FlaskClient, page: Page) -> None:
    addresses = {*page.values("href"), *page.values("src")}
    asked = {address for address in addresses if not address.startswith("#")}

    assert "//" not in "".join(asked)
    assert not [a for a in asked if ":" in a]
    for address in asked:
        assert client.get(address).status_code == 200, address
    style = client.get("/docs/style.css")
    assert style.mimetype == "text/css"
    assert not re.search(r"url\(|@import|//", style.text)


def test_the_page_has_no_script_and_says_so(client: FlaskClient, page: Page) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]

    assert policy == (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert not [tag for tag, _ in page.tags if tag in ("script", "style", "iframe", "object")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]


def test_every_operation_schema_and_problem_is_on_the_page_and_every_link_leads_somewhere(
    client: FlaskClient, page: Page
) -> None:
    document = client.get("/openapi.json").get_json()
    ids = page.values("id")

    assert len(ids) == len(set(ids))
    assert {a.removeprefix("#") for a in page.values("href") if a.startswith("#")} <= set(ids)
    for item in document["paths"].values():
        assert {o["operationId"] for m, o in item.items() if m != "parameters"} <= set(ids)
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= set(ids)
    assert "problem-past_time" in ids


def test_the_page_can_be_read_by_ear_and_walked_by_keyboard(page: Page) -> None:
    names = [tag for tag, _ in page.tags]
    headings = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]

    assert dict(page.tags)["html"]["lang"] == "en"
    assert names.count("h1") == names.count("main") == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert names.index("a") < names.index("nav")  # the link that skips it
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert names.count("caption") == names.count("table")
    assert all(a.get("aria-label") for _, a in page.tags if a.get("tabindex") == "0")


@pytest.mark.parametrize("path", ["/docs", "/docs/style.css", "/openapi.json", "/problems/past_time"])
def test_what_does_not_change_is_kept_by_caches_and_checked_cheaply(client: FlaskClient, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert "max-age" in first.headers["Cache-Control"]
    assert (again.status_code, again.data) == (304, b"")
