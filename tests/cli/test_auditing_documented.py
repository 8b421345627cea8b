"""docs/auditing.md, followed step by step on an auditor's laptop."""

import re
import shlex
from pathlib import Path
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.tlog.report import Verdict
from projections.sealed.sealer import Sealer
from tests.cli.conftest import CommandLine
from tests.cli.test_auditing import sealed as sealed

PAGE = (Path(__file__).parents[2] / "docs/auditing.md").read_text()
STEPS = re.findall(r"<!-- run -->\n```sh\n(.*?)\n```", PAGE)


def test_the_steps_lead_to_a_verdict(
    services: Services, keyledger: CommandLine, sealed: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sealer = Sealer(services.log)
    sealer.start()
    try:
        shown = {step: keyledger.ok(*words(step, sealed)).out for step in STEPS[:2]}
    finally:
        sealer.stop()
    (tmp_path / "acme.policy").write_text(shown[STEPS[0]])
    for step in STEPS[2:]:
        assert {"ok", "root.ndjson:"} & set(keyledger.ok(*words(step, sealed)).out.split()), step
    assert len(STEPS) == 7


def words(step: str, organisation: UUID) -> list[str]:
    """What a line of the page says to run."""
    program, *rest = shlex.split(step.replace("ORGANISATION", str(organisation)))
    assert program == "keyledger"
    return rest


def test_every_verdict_is_told() -> None:
    table = PAGE.partition("<!-- verdicts")[2].partition("<!-- /verdicts -->")[0]
    told = re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)
    assert told == [(str(int(verdict)), verdict.name.lower()) for verdict in Verdict]
