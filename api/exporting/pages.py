"""An access review as a page to print and sign: one file, without a script, without a link to anywhere."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ledger.access_review import AccessReview
from projections.access_review import ReviewLine

MEDIA_TYPE = "text/html; charset=utf-8"
CHUNK_STRINGS = 1_000  # of the template, some ten kilobytes

# In the page itself, for it is kept as a file; its digest is what the Content-Security-Policy lets the browser use.
_STYLE = (Path(__file__).parents[1] / "static" / "access_review.css").read_text(encoding="utf-8")
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def write_page(
    review: AccessReview, organisation: str, lines: Iterable[ReviewLine], made_at: datetime
) -> Iterator[bytes]:
    """The page, in pieces. Whoever signs it knows the `organisation` by its name."""
    environment = Environment(loader=PackageLoader("api"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["day"] = lambda at: f"{at:%Y-%m-%d}"
    stream = environment.get_template("access_review.html").stream(
        review=review,
        organisation=organisation,
        lines=lines,
        made_at=made_at,
        style=Markup(_STYLE),  # noqa: S704 - our own file
    )
    stream.enable_buffering(CHUNK_STRINGS)
    return (piece.encode() for piece in stream)
