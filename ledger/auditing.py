"""The offline verifier as a program: `keyledger audit verify FILE --policy POLICY`, or `python -m ledger.auditing`.

It needs `cryptography` and nothing else that is not Python's own: no database, no network, no settings.
"""

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ledger.tlog.bundle import LINE_BYTES_MAX
from ledger.tlog.examining import Chunk, Stretch
from ledger.tlog.notes import Unsigned
from ledger.tlog.policy import POLICY_BYTES_MAX, Policy
from ledger.tlog.policy import parse as parse_policy
from ledger.tlog.report import Known, Report, Verdict
from ledger.tlog.root_log import verify_root_log
from ledger.tlog.verifying import Spread, known_from, one_by_one, tell_uncompared, verify

USAGE_ERROR = 2  # as argparse and click have it
INTERRUPTED = 130  # as shells tell of what Ctrl-C ended
SPREAD_BYTES_MIN = 2**25  # a smaller file is verified before other processes have started
READ_BYTES = 2**20  # at once, of lines of a kilobyte
CHUNKS_PER_JOB = 2  # one to look at and the next; each is a few megabytes at most
JOBS_MAX = 64  # as many as concurrent.futures takes on every system, and more than one process can read for

_UNSIGNED = "no key of the policy signed it; if the log's key was rotated since, add the --earlier-policy of then"


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ledger.auditing") -> int:
    """Verify a bundle, tell what was found, and return the exit code."""
    asked = _parser(prog).parse_args(arguments)
    try:
        policy = _policy(asked.policy)
        earlier = [key for file in asked.earlier_policy for key in _policy(file).logs]
        known, unsigned = _known(asked.known, replace(policy, logs=(*policy.logs, *earlier)))
        with asked.file.open("rb", buffering=READ_BYTES) as file:
            report = verify(bounded_lines(file), policy, known, _spread(asked.jobs or _jobs(file)))
        if asked.root_log is not None:
            with asked.root_log.open("rb") as file:
                verify_root_log(report, bounded_lines(file), known)
        tell_uncompared(report, known)
        for path in unsigned:
            report.add(Verdict.UNTRUSTED, f"{path} was not compared: {_UNSIGNED}")
    except (OSError, ValueError, BrokenExecutor) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program of its own
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    tell(report, as_json=asked.json)
    return int(report.verdict)


def _jobs(file: BinaryIO) -> int:
    """How many processes are worth beginning for a file."""
    return 1 if os.fstat(file.fileno()).st_size < SPREAD_BYTES_MIN else min(os.cpu_count() or 1, JOBS_MAX)


def _spread(jobs: int) -> Spread:
    """Looking at leaves with so many processes, a few chunks ahead, so that memory does not grow with the file."""
    if jobs == 1:
        return one_by_one

    def over(
        look: Callable[[Chunk], Stretch | None], chunks: Iterable[Chunk]
    ) -> Iterator[tuple[Chunk, Stretch | None]]:
        ahead = deque[tuple[Chunk, Future[Stretch | None]]]()
        with ProcessPoolExecutor(jobs) as pool:
            for chunk in chunks:
                ahead.append((chunk, pool.submit(look, chunk)))
                if len(ahead) > CHUNKS_PER_JOB * jobs:
                    first, looked = ahead.popleft()
                    yield first, looked.result()
            for first, looked in ahead:
                yield first, looked.result()

    return over


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, each with its newline; one that is too long comes in pieces, none of which is a line."""
    while line := file.readline(LINE_BYTES_MAX):
        yield line


def tell(report: Report, *, as_json: bool) -> None:
    """Print the verdict first, then what it rests on, then every finding."""
    print(json.dumps(document(report)) if as_json else "\n".join(map(printable, _lines(report))))  # noqa: T201


def printable(line: str) -> str:
    """The line with whatever moves a terminal's cursor written out: a file must not repaint its own verdict."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def document(report: Report) -> dict[str, object]:
    """A report, for programs."""
    return {
        "verdict": report.verdict.name.lower(),
        "exit_code": int(report.verdict),
        "leaves": report.leaves,
        "latest": report.latest or None,
        "events": report.payloads,
        "told_not_proved": report.told,
        "manifest": None if report.manifest is None else asdict(report.manifest),
        "size": report.checkpoint and report.checkpoint.size,
        "root": report.checkpoint and report.checkpoint.root.hex(),
        "root_size": report.root and report.root.size,
        "heads": 0 if report.entered is None else len(report.entered),
        "heads_later": report.later,
        "label_pinned": report.label_pinned,
        "asks_for_witnesses": report.asks_for_witnesses,
        "cosigned": report.cosigned,
        "later_size": report.continued and report.continued.size,
        "later_root": report.continued and report.continued.root.hex(),
        "later_witnessed": report.continued_witnessed,
        "counts": {verdict.name.lower(): count for verdict, count in sorted(report.found.items())},
        "findings": [
            {"verdict": one.verdict.name.lower(), "leaf": one.index, "text": one.text} for one in report.findings
        ],
    }


def _lines(report: Report) -> Iterator[str]:
    yield report.verdict.name.lower()
    if report.manifest is not None:
        manifest = report.manifest
        asked = manifest.filter
        yield f"log        {manifest.origin}"
        pinned = "as the policy has it" if report.label_pinned else "which the policy does not pin"
        yield f"label      {manifest.label}" + ("" if report.root is None else f", {pinned}")
        yield f"asked for  {manifest.requested_at} by {manifest.requested_by}: {manifest.reason}"
        yield f"period     {asked.begin or 'the beginning'} to {asked.end or 'the end'}"
        if report.latest and not "" < asked.end <= report.latest:
            yield f"up to      {report.latest}: what was recorded after that only a later export has"
        yield f"of         {', '.join(asked.aggregates) or 'everything'}"
        yield f"kinds      {', '.join(asked.topics) or 'all'}"
    yield f"looked at  {report.leaves} leaves, {report.payloads} events"
    if report.checkpoint is not None:
        yield f"signed     {report.checkpoint.size} leaves, root {report.checkpoint.root.hex()}"
    if report.root is not None and report.entered is not None:
        yield f"root log   {report.root.size} entries, {len(report.entered)} of this log: {_whether_all(report)}"
    if not report.asks_for_witnesses:
        yield "witnesses  the policy asks for none"
    for name, time in report.cosigned.items():
        yield f"cosigned   by {name}" + ("" if time is None else f" at {_shown(time)}")
    if report.continued is not None:
        later = report.continued
        yield f"later      {later.size} leaves, root {later.root.hex()}: {_whether_witnessed(report)}"
    if report.told:
        yield f"told       {report.told} events have personal data in clear: the operator's word, which nothing proves"
    for finding in report.findings:
        yield f"{finding.verdict.name.lower():<11}{finding.text}"
    if (more := report.found.total() - len(report.findings)) > 0:
        yield f"and {more} more"


def _shown(time: int) -> str:
    """When a witness says that it cosigned, which is whatever it likes."""
    try:
        return f"{datetime.fromtimestamp(time, UTC):%FT%TZ}"
    except (ValueError, OverflowError, OSError):
        return f"{time} seconds since 1970, which no calendar has"


def _whether_witnessed(report: Report) -> str:
    """Whether anybody but the reader will hold the log to its later checkpoint."""
    if not report.asks_for_witnesses:
        return "the policy asks for no witness"
    return "witnessed" if report.continued_witnessed else "no witness vouches for it"


def _whether_all(report: Report) -> str:
    """Whether more entries of the root log are this log's."""
    if report.later is None:
        return "whether it has others only the whole root log tells (--root-log)"
    return f"all, and {report.later} later" if report.later else "all"


def _policy(path: Path) -> Policy:
    with path.open("rb") as file:
        return parse_policy(file.read(POLICY_BYTES_MAX + 1))


def _known(paths: Sequence[Path], policy: Policy) -> tuple[list[Known], list[Path]]:
    """What these files hold, and which of them nobody signed whom the policy names."""
    known, unsigned = list[Known](), list[Path]()
    for path in paths:
        with path.open("rb") as file:
            try:
                known += known_from(bounded_lines(file), policy, str(path))
            except Unsigned:
                unsigned.append(path)
    return known, unsigned


def _parser(prog: str) -> argparse.ArgumentParser:
    codes = ", ".join(f"{int(verdict)} {verdict.name.lower()}" for verdict in Verdict)
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Verify an exported bundle: that it is what the log holds, whole and unchanged. Without network.",
        epilog=f"Exit codes: {codes}; {USAGE_ERROR} where a file cannot be read.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the bundle")
    parser.add_argument(
        "--policy", type=Path, required=True, metavar="POLICY", help="whom to believe (C2SP tlog-policy)"
    )
    parser.add_argument(
        "--known",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint or bundle that you have from before; may be given several times",
    )
    parser.add_argument(
        "--earlier-policy",
        type=Path,
        action="append",
        default=[],
        metavar="POLICY",
        help="a policy of before a key was rotated, for what you have from then; may be given several times",
    )
    parser.add_argument(
        "--root-log",
        type=Path,
        metavar="FILE",
        help="all entries of the root log (keyledger audit root-log): whether one of this log's was kept back",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, JOBS_MAX + 1),
        metavar="N",
        help="processes to verify with; as many as there are processors, if left out and the file is large",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
