"""Escaping external text for output, so that the text cannot control a terminal, a log, or a page.

All text from names, data, errors, servers, and files passes through `escape_line` before output, or `format_json` for
JSON. The module also provides plurals and suggestions for unknown words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from confiture.secrets import hide_secrets, hide_secrets_in_json

# C0 without the tab, DEL and C1; bidi controls and other invisible marks; line endings; lone surrogates; tags
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_CONTROLS_IN_JSON = re.compile(_CONTROLS.pattern.replace("\x0a-", "\x0b-"))
_HASH = r"#(?=#(?:vso|teamcity)?\[)"
_STYLE = r"\x1b\[[0-9;]*m"
# text in a log that GitHub, Azure and TeamCity interpret as commands
_CI_COMMAND = re.compile(
    rf"^((?:[^\S\n]|{_STYLE})*):(?=:(?:set-env|set-output|save-state|add-path|add-mask|(?:add|remove)-matcher|error|warning"
    r"|notice|debug|group|endgroup|echo|stop-commands)\b)"
    rf"|{_HASH}",
    re.MULTILINE | re.IGNORECASE,
)
_LONGEST_EXCERPT = 1_000
_EXCERPT_WIDTH = 160
_MAX_SUGGESTIONS = 20
_MAX_CANDIDATES = 5_000
_MAX_WORD_LENGTH = 200
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r"}


def escape_line(text: str) -> str:
    """Return the text on one line, without secrets. Control characters become escapes such as `\\x1b`."""
    return _escape_controls(hide_secrets(text))


def escape_lines(text: str) -> list[str]:
    """Return the text as escaped lines, without secrets."""
    return [_escape_controls(line) for line in hide_secrets(text).replace("\r\n", "\n").split("\n")]


def escape_block(text: str) -> str:
    """Return the escaped text with its line breaks, without secrets."""
    return "\n".join(escape_lines(text))


def excerpt_part(line: str | None, column: int) -> str | None:
    """Return a source line for documents; for a very long line, the part around a column (from 1), with ellipses.

    Many diagnostics may show the same line. Secrets are hidden before the line is shortened.
    """
    if line is None or len(line) <= _LONGEST_EXCERPT:
        return line
    start = max(column - 1 - _LONGEST_EXCERPT // 2, 0)
    part = line[start : start + _LONGEST_EXCERPT]
    hidden = hide_secrets(part)
    if hidden == part:
        first = max(min(column - 1, len(line)) - _EXCERPT_WIDTH // 2, 0)
        start, hidden = first, line[first : first + _EXCERPT_WIDTH]
        part = hidden
    return f"{'…' if start else ''}{hidden}{'…' if start + len(part) < len(line) else ''}"


def format_json(value: Any) -> str:
    """Return a value as JSON without secrets; control characters are escaped."""
    text = json.dumps(hide_secrets_in_json(value), indent=2, ensure_ascii=False)
    # the line breaks are part of the JSON layout; strings contain none
    return _escape_hash_in_json(_CONTROLS_IN_JSON.sub(_escape_json, text))


def ascii_json(value: Any) -> str:
    """Return a value as JSON on one line of ASCII, without secrets."""
    return _escape_hash_in_json(json.dumps(hide_secrets_in_json(value)))


def error_text(error: BaseException) -> str:
    """Return an error as `Type: message`, or `Type` if user code fails to produce the message."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:
        return name
    return f"{name}: {message}" if message else name


def escape_ci_commands(text: str) -> str:
    """Escape the first character of each CI command in the text."""
    return _CI_COMMAND.sub(_escape_ci_command, text) if "::" in text or "##" in text else text


def escape_ci_commands_in_html(page: str) -> str:
    """Escape the first character of each CI command in an HTML page."""
    return _CI_COMMAND.sub(lambda match: "&#35;" if match[0] == "#" else f"{match[1]}&#58;", page)


def cut(text: str, length: int, mark: str = "…") -> str:
    """Return the beginning of the text. Secrets are hidden first, because only whole values are recognized."""
    text = hide_secrets(text)
    return text if len(text) <= length else text[: length - len(mark)] + mark


def shorten_sql(text: str, length: int = 60) -> str:
    """Return the beginning of a statement or a name on one line, without secrets."""
    return cut(" ".join(text.split()), length)


def _escape_controls(text: str) -> str:
    return text if text.isprintable() else _CONTROLS.sub(_escape_character, text)


def _escape_ci_command(match: re.Match[str]) -> str:
    return "\\x23" if match[0] == "#" else f"{match[1]}\\x3a"


def _escape_hash_in_json(written: str) -> str:
    return re.sub(_HASH, "\\\\u0023", written)


def _escape_character(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python decodes invalid UTF-8 bytes to surrogates
        code -= 0xDC00
    if code <= 0xFF:
        return _SHORT_ESCAPES.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    # characters above U+FFFF become a surrogate pair
    return json.dumps(match[0])[1:-1]


def closest_match(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to a word, ignoring case; None if none is similar or a search would be slow."""
    from difflib import get_close_matches

    folded = {name.lower(): name for name in candidates}
    if len(word) > _MAX_WORD_LENGTH or len(folded) > _MAX_CANDIDATES:
        return None
    matches = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return `did you mean ...?`, or None if no candidate is similar."""
    near = closest_match(word, candidates)
    return f"did you mean {near!r}?" if near else None


class SuggestionLimit:
    """A limit on suggestions, because comparing many unknown words with many candidates would be slow."""

    def __init__(self) -> None:
        self._remaining = _MAX_SUGGESTIONS

    def use_one(self) -> bool:
        """Use one suggestion. Return whether the limit allows it."""
        self._remaining -= 1
        return self._remaining >= 0

    def did_you_mean(self, word: str, candidates: Iterable[str]) -> str | None:
        """Return `did you mean ...?`, or None if no candidate is similar or the limit is reached."""
        return did_you_mean(word, candidates) if self.use_one() else None


def double_quote(text: str) -> str:
    """Return the text as a quoted SQL identifier, even if quotes are not needed."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def single_quote(text: str) -> str:
    """Return the text as an SQL literal."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """Return `1 row` or `20,000 rows`; `plural` is for irregular plurals."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_bytes(number: int) -> str:
    """Return a size such as `512 B` or `1.2 MB`, in powers of 1024."""
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def list_some(texts: Sequence[str], most: int = 5) -> str:
    """Return the first texts, and how many more there are: `a, b, and 3 more`."""
    more = f", and {len(texts) - most:,} more" if len(texts) > most else ""
    return f"{', '.join(texts[:most])}{more}"
