"""The whole root log beside a bundle: whether an entry under the log's label was kept back, and other root logs.

Entries are labels and salted digests, so whoever has all of them learns how busy somebody is, and nothing of whom.
"""

from collections.abc import Iterable, Sequence

from ledger.tlog.heads import InvalidHead, parse
from ledger.tlog.merkle import Frontier, leaf_hash
from ledger.tlog.report import FINDINGS_MAX, Known, Report, Verdict


def verify_root_log(report: Report, entries: Iterable[bytes], known: Sequence[Known] = ()) -> None:
    """Look at all entries of the root log, a line each, for a bundle that was verified, and add to its report.

    Signed checkpoints of the root log among `known` are compared, whatever their sizes. Where the bundle's own does not
    hold what the bundle opens, this was told, and there is nothing to compare.
    """
    root, manifest, entered = report.root, report.manifest, report.entered
    if root is None or manifest is None or entered is None:
        return
    others = [one for one in known if one.checkpoint.origin == root.origin]
    frontier, kept_back, later, differ = Frontier(), list[int](), 0, list[Known]()
    is_signed = False
    for index, line in enumerate(entries):
        entry = line.removesuffix(b"\n")
        frontier.append(leaf_hash(entry))
        if _is_under(manifest.label, entry):
            later += index > entered.last
            if index < entered.last and not entered.opened(index) and len(kept_back) < FINDINGS_MAX:
                kept_back.append(index)
        if frontier.size == root.size:
            is_signed = frontier.root() == root.root
        differ += [
            one for one in others if one.checkpoint.size == frontier.size and one.checkpoint.root != frontier.root()
        ]
    if frontier.size < root.size:
        text = f"{root.size} entries of the root log were signed, and the file of them ends after {frontier.size}"
        report.add(Verdict.TRUNCATED, text)
        return
    if not is_signed:
        report.add(Verdict.TAMPERED, "the file of the root log's entries is not of the root log that was signed")
        return
    report.later = later
    report.compared.update(one.source for one in others)
    for index in kept_back:
        text = f"entry {index} of the root log is under this log's label, and was kept back from this bundle"
        report.add(Verdict.FORK, text)
    for one in differ:
        report.add(Verdict.FORK, f"{one.source} is of another root log: its {one.checkpoint.size} entries differ")
    for one in others:
        if one.checkpoint.size > frontier.size:
            text = f"{one.source} is a signed checkpoint over {one.checkpoint.size} entries of the root log, and the "
            report.add(Verdict.TRUNCATED, f"{text}file of them ends after {frontier.size}")


def _is_under(label: str, entry: bytes) -> bool:
    """Whether an entry is a head under this label. What is no head at all is under none."""
    try:
        return parse(entry).label == label
    except InvalidHead:
        return False
