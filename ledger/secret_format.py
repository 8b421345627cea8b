"""What a generated secret looks like: `kl_<kind>_<mode>_` + 30 base62 characters (178 bits) + 6 base62 characters of
the CRC-32 of those thirty, the scheme of GitHub's tokens.

One regular expression (`SECRET_PATTERN`) finds them in code and logs, and a mistyped one is refused before any look-up.
"""

import re
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)  # two digits of base62 at a time
RANDOM_CHARS = 30
CHECKSUM_CHARS = 6

SECRET_PATTERN = r"kl_(?:api_key|oauth_client|key_pair|channel_login|operator)_(?:live|test)_[0-9A-Za-z]{36}"  # noqa: S105 - the shape of one
_SECRET = re.compile(SECRET_PATTERN)
SECRET_PREFIX = "kl_"  # noqa: S105 - where one begins
OPERATOR_PREFIX = f"{SECRET_PREFIX}operator_"


def checksum(random: str) -> str:
    """CRC-32 of the characters, in base62, left-padded with zeros to six characters."""
    value, last = divmod(zlib.crc32(random.encode()), len(PAIRS))
    first, middle = divmod(value, len(PAIRS))
    return PAIRS[first] + PAIRS[middle] + PAIRS[last]


def claims_our_format(presented: str) -> bool:
    """Whether the text sets out to be one of our secrets, well formed or not."""
    return presented.startswith(SECRET_PREFIX)


def well_formed(presented: str) -> bool:
    """Whether the text has our format and its checksum is right; a wrong one was never issued."""
    if not _SECRET.fullmatch(presented):
        return False
    random = presented[-RANDOM_CHARS - CHECKSUM_CHARS : -CHECKSUM_CHARS]
    return checksum(random) == presented[-CHECKSUM_CHARS:]


def holds_secret(text: str) -> bool:
    """Whether a text holds a secret of ours somewhere."""
    return SECRET_PREFIX in text and any(map(well_formed, _SECRET.findall(text)))


def without_secrets(text: str) -> str:
    """The text with a remark in the place of each secret of ours."""
    return _SECRET.sub("[a secret]", text)
