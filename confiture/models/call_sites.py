"""Positions of calls in the user's Python code."""

from __future__ import annotations

import sys
from functools import lru_cache
from types import CodeType, FrameType

from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class CallSite:
    """A call: the absolute path of its file, and the lines (from 1) and columns (from 0, in UTF-8 bytes) at which the
    call begins and ends.
    """

    file: str
    line: int
    column: int = 0
    end_line: int
    end_column: int = 0


class _CodeByIdentity:
    """A code object compared by identity, because comparing or hashing code objects by value reads all their code."""

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CodeByIdentity) and other.code is self.code

    def __hash__(self) -> int:
        return id(self.code)


@lru_cache(maxsize=8)
def _instruction_positions(code_key: _CodeByIdentity) -> list[tuple[int | None, int | None, int | None, int | None]]:
    """Return the source position of each instruction. The result is cached, because a long `up` makes many calls."""
    return list(code_key.code.co_positions())


def caller_site(*files: str) -> CallSite:
    """Return the innermost active call that is not in any of the files.

    Raise LookupError if there is none.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in (__file__, *files):
        frame = frame.f_back
    if frame is None:
        raise LookupError("no active call is outside these files")
    line, end_line, column, end_column = _instruction_positions(_CodeByIdentity(frame.f_code))[frame.f_lasti // 2]
    return CallSite(
        file=frame.f_code.co_filename,
        line=line or frame.f_lineno,
        column=column or 0,
        end_line=end_line or line or frame.f_lineno,
        end_column=end_column or 0,
    )
