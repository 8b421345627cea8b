"""The dashboard: a few charts, each drawn here as SVG with the same numbers in a table beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint

from api.auth import READS_HISTORY, allow
from api.console.rendering import label, render
from api.incoming import now, services
from projections.insights import CHANGES, DAYS, changes_by_day, secret_ages, verifications_by_code

pages = Blueprint("dashboard", __name__, url_prefix="/organisations/<uuid:organisation_id>/dashboard")

# A chart's own coordinates: the page scales it to its width. Below the bars there is room for words.
WIDTH, HEIGHT, BASELINE = 600, 180, 150
_COORDINATES = {"width": WIDTH, "height": HEIGHT, "baseline": BASELINE}
BAR_SHARE = 0.7  # of the room for a bar; what is left keeps bars apart

TITLES: Mapping[str, str] = {"created": "Created", "rotated": "Keys regenerated", "revoked": "Revocations recorded"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in its chart's coordinates, and what it stands for."""

    label: str
    value: int
    x: float
    y: float
    width: float
    height: float
    named: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars from zero to the largest, which the scale names; each chart has a scale of its own and says so."""

    title: str
    bars: Sequence[Bar]
    most: int
    total: int


def chart(title: str, values: Mapping[str, int], named_every: int = 1) -> Chart:
    """A chart of these values, whose every so manieth bar, counted from the last, has its label beneath it."""
    most = max(values.values(), default=0)
    room = WIDTH / max(len(values), 1)
    bars = []
    for index, (name, value) in enumerate(values.items()):
        height = BASELINE * value / most if most else 0
        x = index * room + room * (1 - BAR_SHARE) / 2
        named = (len(values) - 1 - index) % named_every == 0
        bars.append(
            Bar(
                name,
                value,
                round(x, 1),
                round(BASELINE - height, 1),
                round(room * BAR_SHARE, 1),
                round(height, 1),
                named,
            )
        )
    return Chart(title, bars, most, sum(values.values()))


@pages.get("")
def charts(organisation_id: UUID) -> str:
    """What was created, rotated and revoked in the last month, how old secrets are, and how verification answered."""
    allow(READS_HISTORY, organisation_id)
    store, at = services().store, now()
    days = changes_by_day(store, organisation_id, at)
    answers = verifications_by_code(store, organisation_id, at)
    rotation_days = services().settings.rotation_days
    return render(
        "console/dashboard/charts.html",
        changes=[
            chart(TITLES[name], {f"{day.date:%d %b}": day.counts[name] for day in days}, named_every=7)
            for name in CHANGES
        ],
        answers=chart("Verifications by answer", {label(code.lower()): count for code, count in answers.items()}),
        ages=chart("Age of secrets", _ages(organisation_id, rotation_days)),
        rotation_days=rotation_days,
        days=DAYS,
        **_COORDINATES,
    )


def _ages(organisation_id: UUID, rotation_days: int) -> dict[str, int]:
    """Thirds of the time after which rotation is due, so that the last bar is what is overdue."""
    bounds = sorted({max(1, rotation_days * third // 3) for third in (1, 2, 3)})
    counts = secret_ages(services().store, organisation_id, now(), bounds)
    ranges = [f"{start} to {end} days" for start, end in zip([0, *bounds], bounds, strict=False)]
    return dict(zip([*ranges, f"over {bounds[-1]} days"], counts, strict=True))
