"""What there is to say of a log that was looked at: verdicts, findings, and how much was seen."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from ledger.tlog.bundle import Manifest
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.entered import Entered

FINDINGS_MAX = 1_000  # kept to be told; those beyond are counted


class Verdict(IntEnum):
    """What there is to say of a bundle, from the best to the worst in this order: the worst that was found decides.

    The values are exit codes of `keyledger audit verify` and `audit check`; they are never renumbered.
    """

    OK = 0  # all of it is proved
    ERASED = 10  # all of it is proved, and personal data that was asked for has been destroyed since: no alarm
    UNWITNESSED = 11  # all of it is proved, but the witnesses of the policy did not see it
    BACKDATED = 18  # all of it is proved, but an event says that it happened long before the one recorded before it
    MALFORMED = 12  # the file is not as it was written, or is no bundle
    MISSING = 13  # something that was asked for, or a leaf, is left out
    TRUNCATED = 14  # the end is missing: of the file, or of a log that is known to have been longer
    UNTRUSTED = 15  # no log of the policy signed it, or what is known from before could not be compared
    TAMPERED = 16  # something is not as it was signed, or what was signed is no event
    FORK = 17  # the log has signed another history: somebody else was, or will be, shown something else


_SEVERITY = {verdict: severity for severity, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts; `OK` of none."""
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.OK)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and at which leaf, where it is at one."""

    verdict: Verdict
    text: str
    index: int | None = None


@dataclass(slots=True)
class Report:
    """What was found, the first `FINDINGS_MAX` of it, and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    found: Counter[Verdict] = field(default_factory=Counter)
    leaves: int = 0
    payloads: int = 0
    told: int = 0
    """How many events have personal fields in clear: the operator's word, which no proof covers."""
    latest: str = ""
    """The latest time that a leaf tells, as leaves write it: of what was recorded after them a bundle says nothing."""
    manifest: Manifest | None = None
    checkpoint: Checkpoint | None = None
    root: Checkpoint | None = None
    """The root log's checkpoint, where the entries under the log's label were found to be in it."""
    entered: Entered | None = field(default=None, compare=False)
    """What was opened of the root log: its entries under the log's label."""
    later: int | None = None
    """How many more of these the root log has, for later bundles; None where it was not given whole to be looked at."""
    label_pinned: bool = False
    """Whether the policy says which label the log has in the root log, and it is this one."""
    asks_for_witnesses: bool = False
    """Whether the policy asks for any."""
    cosigned: dict[str, int | None] = field(default_factory=dict)
    """Which witnesses cosigned, and when they say that they did, in seconds since 1970."""
    continued: Checkpoint | None = None
    """The later checkpoint by which erasures were proved. Nothing but a bundle that is kept holds the log to it."""
    continued_witnessed: bool = False
    """Whether the policy asks for witnesses, and they saw that one."""
    compared: set[str] = field(default_factory=set)
    """The sources of what is known from before of which something was compared."""

    @property
    def verdict(self) -> Verdict:
        """The worst that was found."""
        return worst(self.found)

    def add(self, verdict: Verdict, text: str, index: int | None = None) -> None:
        """Note one thing."""
        self.found[verdict] += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(verdict, text, index))


@dataclass(frozen=True, slots=True)
class Known:
    """What whoever verifies knows from before: a checkpoint that was verified then or is now, and whence."""

    checkpoint: Checkpoint
    label: str | None
    source: str
