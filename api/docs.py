"""The OpenAPI document, the page that shows it, and what each problem means. All work without a connection to anywhere.

The page is written once, from the document, without a script: every browser and screen reader can use it, and the
Content-Security-Policy has nothing to allow but one style sheet.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, request
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from werkzeug.exceptions import NotFound

from api import outgoing
from api.openapi import Document, operations
from api.problems import MEANINGS, title

CACHED = "public, max-age=300"  # a release changes them; five minutes later everyone sees that
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = Path(__file__).parent / "static" / "docs.css"


def register(app: Flask, document: Document) -> None:
    """Serve `/openapi.json`, `/docs` and `/problems/<code>`."""
    described = outgoing.to_json(document)
    page = cache(lambda: render(document).encode())  # takes a tenth of a second, which most processes never need
    style = _STYLE.read_bytes()

    @app.get("/openapi.json")
    def openapi() -> Response:
        return _cached(described, "application/json")

    @app.get("/docs")
    def docs() -> Response:
        return _cached(page(), "text/html", {"Content-Security-Policy": _CONTENT_SECURITY_POLICY})

    @app.get("/docs/style.css")
    def docs_style() -> Response:
        return _cached(style, "text/css")

    @app.get("/problems/<code>")
    def what_a_problem_means(code: str) -> Response:
        if code not in MEANINGS:
            raise NotFound("there is no such problem")
        return _cached(outgoing.to_json(meaning(code)), "application/json")


def meaning(code: str) -> dict[str, Any]:
    """A problem as `GET /problems/<code>` tells it."""
    return {"type": f"/problems/{code}", "code": code, "title": title(code), "meaning": MEANINGS[code]}


def render(document: Document) -> str:
    """The document as a page."""
    environment = Environment(
        loader=PackageLoader("api"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _with_code, "json": _indented}
    by_tag: dict[str, list[tuple[str, str, Document, list[Document]]]] = {}
    for path, item in document["paths"].items():
        for method, operation in operations(item):
            parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
            by_tag.setdefault(operation["tags"][0], []).append((method, path, operation, parameters))
    return environment.get_template("docs.html").render(
        document=document,
        by_tag=by_tag,
        problems=[meaning(code) for code in MEANINGS],
        resolve=lambda value: _resolved(document, value),
        name_of=lambda reference: reference.rpartition("/")[2],
    )


def _resolved(document: Document, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; anything else as it is."""
    found: Any = value
    while "$ref" in found:
        place: Any = document
        for step in found["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        found = place
    return found  # type: ignore[no-any-return]


def _with_code(text: str) -> Markup:
    """Text whose `backticks` mark code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _indented(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _cached(body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    response = Response(body, 200, headers, mimetype=media_type)
    response.headers["Cache-Control"] = CACHED
    response.set_etag(hashlib.sha256(body).hexdigest()[:32])
    return response.make_conditional(request)  # type: ignore[return-value]  # the same response
