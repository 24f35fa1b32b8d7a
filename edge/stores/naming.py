"""How a person's name is stored, and when two spellings are one name."""

from __future__ import annotations

import unicodedata

from edge.errors import EnrolmentError

LONGEST_NAME = 100
# Control characters, unassigned, private and surrogate code points, line and paragraph breaks,
# and invisible marks; of the last, Persian and Indic names need the two joiners.
_UNFIT_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def spelling(name: str) -> str:
    """Return *name* as it is stored and shown: composed (NFC), without outer blanks.

    Raises:
        EnrolmentError: if it is empty, too long, or holds what cannot be seen.
    """
    spelt = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(spelt) <= LONGEST_NAME:
        raise EnrolmentError(
            f"a name has 1 to {LONGEST_NAME} characters; {name[:20]!r} has {len(spelt)}"
        )
    for each in spelt:
        if unicodedata.category(each) in _UNFIT_CATEGORIES and each not in _JOINERS:
            raise EnrolmentError(
                f"the name {name!r} holds {each!r}, which cannot be seen; leave it out"
            )
    return spelt


def folded(name: str) -> str:
    """Return *name* as it is compared: neither case nor the way of writing accents counts."""
    # Undecodable bytes of a command line arrive as lone surrogates, which SQLite cannot take.
    sound = name.encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", sound).strip().casefold())
