"""Policies: the specification's example, who satisfies it, and what is refused in a file."""

from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import policy as policies
from ledger.tlog.checkpoints import Checkpoint, InvalidCheckpoint, encode
from ledger.tlog.notes import Algorithm, InvalidNote, SignerKey, sign
from ledger.tlog.policy import InvalidPolicy, Policy, parse

ORIGIN = "ledger.example/7"
LOG = SignerKey(ORIGIN, Algorithm.ED25519, b"\x01" * 32)
NEXT = SignerKey(ORIGIN, Algorithm.ED25519, b"\x02" * 32)
OTHER = SignerKey("ledger.example/8", Algorithm.ED25519, b"\x03" * 32)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
WITNESSES = {
    name: SignerKey(f"{name.lower()}.example", Algorithm.COSIGNATURE, bytes([10 + number]) * 32)
    for number, name in enumerate(NAMES)
}
TEXT = encode(Checkpoint(ORIGIN, 3, bytes(32)))


def vkey(signer: SignerKey) -> str:
    return signer.verifier.encode()


DEFINED = f"log {vkey(LOG)}\n" + "".join(f"witness {name} {vkey(key)}\n" for name, key in WITNESSES.items())
# The groups of the example of C2SP tlog-policy.
EXAMPLE = (
    DEFINED + "group X-witnesses 2 X1 X2 X3\n"
    "group Y-witnesses any Y1 Y2 Y3\n"
    "group X-and-Y all X-witnesses Y-witnesses\n"
    "quorum X-and-Y\n"
)


def policy(text: str) -> Policy:
    return parse(text.encode())


def cosigned(*names: str, signer: SignerKey = LOG) -> bytes:
    return sign(TEXT, [signer, *(WITNESSES[name] for name in names)], time=5)


def test_the_quorum_of_the_example_is_two_of_one_group_and_one_of_the_other() -> None:
    example = policy(EXAMPLE)
    for count in range(len(NAMES) + 1):
        for names in combinations(NAMES, count):
            enough = sum(name in names for name in NAMES[:3]) >= 2 and any(name in names for name in NAMES[3:])
            assert example.satisfied(cosigned(*names)) is enough


def test_one_witness_can_be_the_quorum() -> None:
    assert policy(DEFINED + "quorum X2\n").satisfied(cosigned("X2"))
    assert not policy(DEFINED + "quorum X2\n").satisfied(cosigned("X1"))


def test_without_a_quorum_a_log_is_believed_alone() -> None:
    assert policy(f"log {vkey(LOG)}\nquorum none\n").satisfied(cosigned())


def test_witnesses_alone_do_not_make_a_checkpoint() -> None:
    text = TEXT.replace(ORIGIN, OTHER.name)
    note = sign(text, [WITNESSES["X1"]], time=5)
    with pytest.raises(InvalidNote, match="no log"):
        policy(DEFINED + "quorum X1\n").open_checkpoint(note)
    assert not policy(DEFINED + "quorum X1\n").satisfied(note)


def test_a_log_speaks_for_its_own_origin_alone() -> None:
    both = policy(f"log {vkey(LOG)}\nlog {vkey(OTHER)}\nquorum none\n")
    assert both.satisfied(sign(TEXT, [LOG]))
    assert not both.satisfied(sign(TEXT, [OTHER]))


def test_while_a_key_is_changed_both_are_accepted_and_afterwards_the_older_is_not() -> None:
    during = policy(f"log {vkey(LOG)}\nlog {vkey(NEXT)}\nquorum none\n")
    after = policy(f"log {vkey(NEXT)}\nquorum none\n")
    old, new, both = sign(TEXT, [LOG]), sign(TEXT, [NEXT]), sign(TEXT, [LOG, NEXT])
    assert [during.satisfied(note) for note in (old, new, both)] == [True, True, True]
    assert [after.satisfied(note) for note in (old, new, both)] == [False, True, True]


def test_what_a_log_signed_that_is_no_checkpoint_is_refused() -> None:
    note = sign("something else\n", [LOG])
    with pytest.raises(InvalidCheckpoint):
        policy(EXAMPLE).open_checkpoint(note)
    assert not policy(EXAMPLE).satisfied(note)


def test_spaces_comments_urls_and_octets_beyond_ascii_are_as_the_specification_says() -> None:
    text = (
        f"# caf\N{LATIN SMALL LETTER E WITH ACUTE}\n\n \t \n"
        f"\tlog  {vkey(LOG)}\thttps://ledger.example/ \n"
        f" witness W {vkey(WITNESSES['X1'])} https://w.example\n  # more\nquorum W"
    )
    read = parse(text.encode() + b"\n# \xff\n")
    assert read.satisfied(cosigned("X1"))
    assert read.urls == {"W": "https://w.example"}


def test_names_are_octets() -> None:
    kelvin = f"witness \N{KELVIN SIGN} {vkey(WITNESSES['X1'])}\n"
    assert policy(f"{kelvin}quorum \N{KELVIN SIGN}\n").quorum == "\N{KELVIN SIGN}"
    with pytest.raises(InvalidPolicy, match="line 2"):
        policy(f"{kelvin}quorum K\n")
    octets = f"witness \udcff {vkey(WITNESSES['X1'])}\nquorum \udcff\n".encode(errors="surrogateescape")
    assert parse(octets).witnessed(policy(EXAMPLE).open_checkpoint(cosigned("X1"))[1])


X1 = f"witness X1 {vkey(WITNESSES['X1'])}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("unknown X\nquorum none\n", 1),
        ("log\nquorum none\n", 1),
        ("log vkey\nquorum none\n", 1),
        (f"log {vkey(WITNESSES['X1'])}\nquorum none\n", 1),
        (f"witness X1 {vkey(LOG)}\nquorum none\n", 1),
        (f"log {vkey(LOG)}\nlog {vkey(LOG)}\nquorum none\n", 2),
        (f"log {vkey(LOG)} url more\nquorum none\n", 1),
        (f"{X1}{X1}quorum none\n", 2),
        (f"{X1}{X1.replace('X1 ', 'X2 ')}quorum none\n", 2),
        (f"{X1}group X1 any X1\nquorum X1\n", 2),
        (X1.replace("X1 ", "none ") + "quorum none\n", 1),
        ("quorum X1\n" + X1, 1),
        (f"{X1}quorum X1\nquorum none\n", 3),
        ("group G any G\nquorum G\n", 1),
        (f"group G any X1\n{X1}quorum G\n", 1),
        ("group G any none\nquorum G\n", 1),
        (f"{X1}group G any\nquorum G\n", 2),
        (f"{X1}group G 0 X1\nquorum G\n", 2),
        (f"{X1}group G 2 X1\nquorum G\n", 2),
        (f"{X1}group G 01 X1\nquorum G\n", 2),
        (f"{X1}group G some X1\nquorum G\n", 2),
        (f"{X1}group G any X1 X1\nquorum G\n", 2),
        (f"{X1}group G any X1\ngroup H any X1\nquorum G\n", 3),
        ("quorum none\r\n", 1),
        ("quorum none\x00\n", 1),
        ("# \x07\nquorum none\n", 1),
        ("# \x7f\nquorum none\n", 1),
        ("quorum\u00a0none\n", 1),
        ("#keyledger\nquorum none\n", 1),
        (f"#keyledger label log.example {'0A' * 16}\nquorum none\n", 1),
        (f"#keyledger label log.example {'00' * 15}\nquorum none\n", 1),
        (f"#keyledger lable log.example {'00' * 16}\nquorum none\n", 1),
        (f"#keyledger: label log.example {'00' * 16}\nquorum none\n", 1),
        (f"#keyledgers label log.example {'00' * 16}\nquorum none\n", 1),
        (2 * f"#keyledger label log.example {'00' * 16}\n" + "quorum none\n", 2),
    ],
)
def test_a_file_that_is_no_policy_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(InvalidPolicy, match=f"^line {line}: "):
        policy(text)


def test_a_policy_says_its_quorum_and_has_a_bound() -> None:
    with pytest.raises(InvalidPolicy, match="quorum"):
        policy(DEFINED)
    with pytest.raises(InvalidPolicy, match="bytes"):
        policy("#" * 1_000_001)


def test_groups_may_be_nested_as_deeply_as_the_file_is_long() -> None:
    groups = "".join(f"group G{depth} all {f'G{depth - 1}' if depth else 'X1'}\n" for depth in range(5000))
    assert policy(f"{DEFINED}{groups}quorum G4999\n").satisfied(cosigned("X1"))


words = st.sampled_from([*EXAMPLE.split(), "none", "all", "3", "\n", "#", "\t"]) | st.text(max_size=5)


@given(st.binary(max_size=200) | st.lists(words, max_size=30).map(lambda each: " ".join(each).encode()))
def test_whatever_is_no_policy_is_refused_as_one(file: bytes) -> None:
    with suppress(InvalidPolicy):
        parse(file)


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "quorum none\n",
        f"log {vkey(LOG)}\nlog {vkey(NEXT)}\nquorum none\n",
        f"quorum none\n#keyledger label log.example {'0a' * 16}\n#keyledger label other.example {'0b' * 16}\n",
        f"witness W\u00e9 {vkey(WITNESSES['X1'])} https://witness.example/a\nquorum W\u00e9\n",
    ],
)
def test_a_policy_that_is_written_reads_as_the_same_policy(text: str) -> None:
    assert policies.parse(policies.encode(policy(text))) == policy(text)


def test_what_only_looks_like_our_lines_is_a_comment() -> None:
    assert policy("# keyledger label x y\n##keyledger label x y\nquorum none\n").labels == {}


def test_octets_beyond_ascii_are_written_as_they_were_read() -> None:
    file = b"witness \xff " + vkey(WITNESSES["X1"]).encode() + b"\nquorum \xff\n"
    assert policies.encode(parse(file)) == file
