"""The words that things are found by. A view stores them as a tsvector with a GIN index; it takes no extension.

Each search is two queries: among the next rows of the list in its order, and, if those do not fill the page, through
the index of words. The planner cannot choose between the two ways, as it guesses how many rows have a word that begins
so.
"""

import re
import unicodedata
from collections.abc import Sequence

from ledger.errors import InvalidValue

WORD_CHARS_MAX = 64  # a lexeme of PostgreSQL holds 2 kB; a longer word is cut into several, here and in a query
WORDS_MAX = 500  # bounds the row: a description of 2,000 characters has fewer, but for one of single letters
QUERY_CHARS_MAX = 200
QUERY_WORDS_MAX = 16  # each is a look-up in the index
# A word that one row in twenty has fills a page of fifty from these; one that is rarer is found through the index in at
# most as many rows. They cost about a millisecond.
SEARCH_WALK_ROWS = 1_000

_WORD = re.compile(rf"[^\W_]{{1,{WORD_CHARS_MAX}}}")


def words(text: str) -> list[str]:
    """The words that a text is found by: runs of letters and digits, without case and accents, in their order.

    What is stored and what is asked for are both split here and not by a PostgreSQL text search configuration, whose
    parser keeps an email address or a number with an exponent as one word. Letters and digits need no quoting in a
    tsvector or tsquery.
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _WORD.findall(text.casefold())


def distinct_words(text: str) -> list[str]:
    """The words of a text, each once, as many as are kept."""
    return list(dict.fromkeys(words(text)))[:WORDS_MAX]


def asked_words(q: str) -> list[str]:
    """The words of a search. Every one must be there; the last may be the beginning of one, as people search while they
    type.
    """
    if len(q) > QUERY_CHARS_MAX:
        raise InvalidValue("q", f"is longer than {QUERY_CHARS_MAX} characters")
    asked = words(q)
    if not asked:
        raise InvalidValue("q", "holds no letter and no digit to search for")
    if len(asked) > QUERY_WORDS_MAX:
        raise InvalidValue("q", f"holds more than {QUERY_WORDS_MAX} words")
    return asked


def as_query(asked: Sequence[str], prefix: str = "") -> str:
    """The words of a search as a tsquery, for words that are stored behind a prefix."""
    return " & ".join([prefix + word for word in asked]) + ":*"
