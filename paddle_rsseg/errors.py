"""The one exception for anything a user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RssegError(Exception):
    """Bad input, told in one line: where it is, what was seen, what was wanted, and the way out.

    The command line prints it as ``error: …`` and exits with code 2; no traceback is shown. Anything
    that is *our* mistake keeps its ordinary exception and its traceback.
    """

    def __init__(self, where: object, seen: str, wanted: str = "", fix: str = ""):
        parts = [f"{where}: {seen}"]
        if wanted:
            parts.append(f"expected {wanted}")
        if fix:
            parts.append(fix)
        super().__init__(" ".join("; ".join(parts).split()))
        self._given = str(where), seen, wanted, fix

    def __reduce__(self) -> tuple[type[RssegError], tuple[str, ...]]:
        # worker processes send it to the main one; without this, unpickling calls __init__ with the one message
        return type(self), self._given


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest choice, else the list of all of them."""
    choices = sorted(set(choices))
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    return f"known: {', '.join(choices)}" if choices else "nothing is known here"
