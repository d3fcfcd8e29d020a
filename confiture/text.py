"""What was meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_SUGGESTIONS = 20
_MOST_KNOWN = 5_000
_LONGEST = 200


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like a word, whatever its case; None if none is, or it would take long to find."""
    from difflib import get_close_matches

    folded = {name.lower(): name for name in known}
    if len(word) > _LONGEST or len(folded) > _MOST_KNOWN:
        return None
    matches = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?`, or None if nothing is near."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else None


class Suggestions:
    """Suggests for the first unknown words only: to compare many words with many others would take long."""

    def __init__(self) -> None:
        self._left = _MOST_SUGGESTIONS

    def take(self) -> bool:
        """Whether there may be one more suggestion."""
        self._left -= 1
        return self._left >= 0

    def did_you_mean(self, word: str, known: Iterable[str]) -> str | None:
        """`did you mean ...?`, or None if nothing is near or enough was suggested."""
        return did_you_mean(word, known) if self.take() else None
