"""docs/provable-log.md shows a leaf, a proof and a policy that verify."""

import re
from pathlib import Path

from ledger.tlog import leaves, policy, proofs

DOCUMENT = (Path(__file__).parents[3] / "docs/provable-log.md").read_text()
_ERROR = r"^class ([A-Z]\w*)\((?:ValueError|Exception)\):"


def shown(what: str) -> str:
    """The block after a comment that says what it is."""
    found = re.search(rf"<!-- {what}\b.*?```\w+\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None, what
    return found[1]


def test_the_documented_proof_proves_the_documented_leaf_to_the_documented_policy() -> None:
    entry = shown("leaf").strip().encode()
    trusted = policy.parse(shown("policy").encode())
    checkpoint = proofs.verify(proofs.parse(shown("proof").encode()), entry, trusted)
    assert leaves.parse(entry).organisation in checkpoint.origin


def test_every_error_is_documented() -> None:
    sources = (file.read_text() for file in Path(leaves.__file__).parent.glob("*.py"))
    errors = {name for source in sources for name in re.findall(_ERROR, source, re.MULTILINE)}
    section = DOCUMENT.partition("## What each error means")[2].partition("\n## ")[0]
    assert errors == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
