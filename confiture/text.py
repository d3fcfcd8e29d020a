"""Text from outside, in the form in which output shows it: nothing in it controls a terminal, a log or a page.

All text from names, data, errors, servers and files passes `escape_line` on its way out, or `format_json` into JSON.
Besides: numbers in words, and what was meant by a word that is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from confiture.secrets import hide_secrets, hide_secrets_in_json

# C0 without the tab, DEL and C1; bidi controls and other invisible marks; line ends; halves of surrogate pairs; tags
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_CONTROLS_IN_JSON = re.compile(_CONTROLS.pattern.replace("\x0a-", "\x0b-"))
_HASH = r"#(?=#(?:vso|teamcity)?\[)"
_STYLE = r"\x1b\[[0-9;]*m"
# what the runners of GitHub, Azure and TeamCity read in a log as an order to them
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
    """The text on one line, without secrets: what controls the output is written as an escape, such as `\\x1b`."""
    return _escape_controls(hide_secrets(text))


def escape_lines(text: str) -> list[str]:
    """The same of text whose lines stay lines."""
    return [_escape_controls(line) for line in hide_secrets(text).replace("\r\n", "\n").split("\n")]


def escape_block(text: str) -> str:
    """The same as one text."""
    return "\n".join(escape_lines(text))


def excerpt_part(line: str | None, column: int) -> str | None:
    """The line of a file, for documents: of a very long one what surrounds a column (from 1), with ellipses.

    Many mistakes may show the same line. A secret is hidden before anything cuts it in two.
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
    """A value as JSON, without secrets: what controls the output is escaped."""
    written = json.dumps(hide_secrets_in_json(value), indent=2, ensure_ascii=False)
    # JSON's own line ends stay; strings have none
    return _escape_hash_in_json(_CONTROLS_IN_JSON.sub(_escape_json, written))


def ascii_json(value: Any) -> str:
    """The same on one line of ASCII."""
    return _escape_hash_in_json(json.dumps(hide_secrets_in_json(value)))


def error_text(error: BaseException) -> str:
    """An error as `Type: message`; the message may be of the user's own code, and fail itself."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:
        return name
    return f"{name}: {message}" if message else name


def escape_ci_commands(text: str) -> str:
    """The text with the first character of each command to a CI system escaped."""
    return _CI_COMMAND.sub(_escape_ci_command, text) if "::" in text or "##" in text else text


def escape_ci_commands_in_html(page: str) -> str:
    """The same of a page."""
    return _CI_COMMAND.sub(lambda match: "&#35;" if match[0] == "#" else f"{match[1]}&#58;", page)


def cut(text: str, length: int, mark: str = "…") -> str:
    """The beginning of a text, without secrets: they are hidden first, for only a whole value is found."""
    text = hide_secrets(text)
    return text if len(text) <= length else text[: length - len(mark)] + mark


def shorten_sql(text: str, length: int = 60) -> str:
    """The same of a statement or a name, on one line."""
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
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    if code <= 0xFF:
        return _SHORT_ESCAPES.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    # above the first plane: as a pair of surrogates
    return json.dumps(match[0])[1:-1]


def closest_match(word: str, candidates: Iterable[str]) -> str | None:
    """The known word that is most like a word, whatever its case; None if none is, or it would take long to find."""
    from difflib import get_close_matches

    folded = {name.lower(): name for name in candidates}
    if len(word) > _MAX_WORD_LENGTH or len(folded) > _MAX_CANDIDATES:
        return None
    matches = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """`did you mean ...?`, or None if nothing is near."""
    near = closest_match(word, candidates)
    return f"did you mean {near!r}?" if near else None


class SuggestionLimit:
    """Suggests for the first unknown words only: to compare many words with many others would take long."""

    def __init__(self) -> None:
        self._remaining = _MAX_SUGGESTIONS

    def use_one(self) -> bool:
        """Whether there may be one more suggestion."""
        self._remaining -= 1
        return self._remaining >= 0

    def did_you_mean(self, word: str, candidates: Iterable[str]) -> str | None:
        """`did you mean ...?`, or None if nothing is near or enough was suggested."""
        return did_you_mean(word, candidates) if self.use_one() else None


def double_quote(text: str) -> str:
    """A text in double quotes, as SQL has names: quoted even if that is not needed."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def single_quote(text: str) -> str:
    """A text as an SQL literal."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `20,000 rows`; `plural` is for nouns that take more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
