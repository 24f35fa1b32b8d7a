"""The hint after a word that was written wrongly."""

from __future__ import annotations

from collections.abc import Iterable


def nearest_word(wrong: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the word of *known* that is most like *wrong*, None if none is.

    Args:
        wrong: what was written.
        known: what could have been meant.
        likeness: the least of it that counts, 0 to 1.
    """
    import difflib  # noqa: PLC0415 - a door where nothing is wrong is spared it

    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=likeness)
    return close[0] if close else None
