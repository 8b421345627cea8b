"""Proofs that an entry is in a log, as files of their own: C2SP tlog-proof (`.tlog-proof`, https://c2sp.org/tlog-proof)."""

from dataclasses import dataclass

from ledger.tlog.canonical import encode_base64, parse_base64, parse_decimal, parse_hash
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import InvalidProof, leaf_hash, verify_inclusion
from ledger.tlog.notes import NOTE_BYTES_MAX
from ledger.tlog.policy import Policy, Unwitnessed

HEADER = "c2sp.org/tlog-proof@v1"
HASHES_MAX = 63  # the depth of a tree whose size is below 2**63
EXTRA_BYTES_MAX = 1_000_000
_BYTES_MAX = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 4 // 3 + 10_000  # 63 hashes, the header and the index take 3 kB


@dataclass(frozen=True, slots=True)
class Proof:
    """Where an entry is in the tree of a checkpoint, and the hashes that show it.

    `checkpoint` is the signed note, as the log gave it. `extra` is anything an application adds; nobody signed it.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def encode(proof: Proof) -> bytes:
    """The file."""
    lines = (
        HEADER,
        *([f"extra {encode_base64(proof.extra)}"] if proof.extra else []),
        f"index {proof.index}",
        *map(encode_base64, proof.hashes),
        "",
    )
    return "".join(f"{line}\n" for line in lines).encode() + proof.checkpoint


def parse(file: bytes) -> Proof:
    """The proof of a file, not yet verified; raises InvalidProof where it is malformed."""
    if len(file) > _BYTES_MAX:
        raise InvalidProof(f"a proof has at most {_BYTES_MAX} bytes")
    head, _, checkpoint = file.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
        if header != HEADER:
            raise ValueError(f"the first line is not {HEADER}")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = parse_base64(lines.pop(0).removeprefix("extra "))
            if not 0 < len(extra) <= EXTRA_BYTES_MAX:
                raise ValueError(f"a proof has from 1 to {EXTRA_BYTES_MAX} bytes of extra data, or no line for them")
        if not lines or not lines[0].startswith("index "):
            raise ValueError("there is no index")
        index = parse_decimal(lines[0].removeprefix("index "))
        if len(lines) - 1 > HASHES_MAX:
            raise ValueError(f"there are more than {HASHES_MAX} hashes")
        return Proof(index, tuple(map(parse_hash, lines[1:])), checkpoint, extra)
    except ValueError as error:
        raise InvalidProof(f"this is not a proof: {error}") from None


def verify(proof: Proof, entry: bytes, policy: Policy) -> Checkpoint:
    """The checkpoint that has this entry, of a log that the policy trusts and witnesses that it asks for.

    Raises InvalidNote or InvalidCheckpoint where no log of the policy signed the checkpoint, InvalidProof where the
    entry is not in its tree at this index, and Unwitnessed where all is right but for the witnesses.
    """
    checkpoint, note = policy.open_checkpoint(proof.checkpoint)
    verify_inclusion(proof.index, checkpoint.size, leaf_hash(entry), proof.hashes, checkpoint.root)
    if not policy.witnessed(note):
        raise Unwitnessed("the witnesses that the policy asks for did not cosign this checkpoint")
    return checkpoint
