"""Secret values that output must hide: passwords, and variable values in string literals."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, NamedTuple

from confiture.redaction import redact_message

HIDDEN = "***"
_MIN_LENGTH = 4
"""The minimum length of values that are replaced everywhere, because shorter values are too common."""
_MIN_LENGTH_INSIDE_WORDS = 8
"""The minimum length of values that are also replaced inside words."""
_SHORTEST_PART = 3
"""The minimum length of a part of a secret that is hidden next to an ellipsis or in a server's quotation."""
_LONGEST_PART = 100
_FEW = 64
"""The maximum number of forms for which each text is simply searched for each form."""
_WINDOW = 4_096
_SAMPLED = 64
"""The number of leading positions in a form at which the sample may begin. Text without the sample is skipped."""
_COMMON = frozenset(
    {
        "admin", "administrator", "changeme", "confiture", "database", "default", "demo", "development", "example",
        "guest", "local", "localhost", "login", "main", "master", "none", "null", "owner", "pass", "passwd",
        "password", "postgres", "postgresql", "production", "public", "root", "sample", "schema", "secret",
        "staging", "system", "table", "template", "template1", "test", "testing", "true", "false", "user",
        "username", "value", "values", "welcome",
    }
)  # fmt: skip
"""Common words that may be passwords but also occur in output. Like short values, they are not searched for."""

# PASSWORD '...' in any SQL, because other sessions' queries contain secrets that this process does not know.
# Patterns are compiled on first use (the `re` module caches them), because most commands print no secret.
_QUOTED_PATTERN = r"(?is)(\bpassword\s+)(?:(?:E|U&)?'(?:[^'\\]|\\.|'')*'?|\$(\w*)\$.*?(?:\$\2\$|\Z))"
_URL_PATTERN = r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)[^\s@/?#'\"]+(?=@|…|\.\.\.)"
SECRET_CONNECTION_KEYS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
"""The keys with secret values in a connection string or a URL's query (libpq, "Parameter Key Words")."""
_WORDS_OF_KEYS = ("passw", "oauth_client_secret", "scram_")
# password=... in a URL's query, a connection string, or an assignment
_KEY = (
    r"(?is)(?P<key>(?P<query>[?&])?(?<![\w.\"])(?:(?:ssl)?passw(?:or)?d|oauth_client_secret|scram_(?:client|server)_key)\s*[=:]\s*)"
    r"(?P<value>''[^\s'][^']*''|(?P<literal>[EU]?&?'(?:[^'\\]|\\.|'')*'?)|(?:[^\s&;,'\")\\]|\\.)+)"
)
_CONNECTION_KEY = r"(?i)\b(host|hostaddr|dbname|user|service|port)(\s*)="
# the values of a constraint's columns in an error message: Key (a, b)=(1, 2) already exists
_KEY_VALUES = r"(?<=\)=)\([^\n]*"
_KEY_VALUE = r"((?<=\()|(?<=, ))[^,()]+(?=[,)])"
_CALL = r"(?i)[a-z_][\w.]*\("
# the token at which the server reports a syntax error; it may be part of a value
_NEAR = r'(\bnear ")("?[^"]*)'
_QUOTED = r'(?<=")[^"\s]{4,200}(?=")'
_WORD = r"[^\s'\"(),;]{3,}"
_CUT = r"(…|\.\.\.)"

# names of variables that always have secret values
_SENSITIVE_NAME = (
    r"(?i)passw(or)?d|passphrase|(^|_)(pass|pwd?)(_|$)"
    r"|(^|_)(secret|token|credentials?|(api|private|access|secret)_?key)$"
)
_OWN_KEY = r"[a-z]+(?:_[a-z]+)*"


class KnownSecrets(NamedTuple):
    """The secrets that a process knows, in a form that can be passed to another process."""

    certain: frozenset[str]
    secret: frozenset[str]
    public: frozenset[str]
    common: frozenset[str]


_certain_secrets: set[str] = set()
_possible_secrets: set[str] = set()
_public_values: set[str] = set()
_common: set[str] = set()
_search: _Search | None = None
"""The search for the registered values; None after the values have changed."""


def add_secret(value: str, *, is_certain: bool = False) -> None:
    """Hide a value in all future output. A value that is also public is hidden only if `is_certain`.

    A short value or a common word is hidden only when written as a password, or as a column value in an error
    message.
    """
    if value:
        is_common = len(value) < _MIN_LENGTH or value.lower() in _COMMON
        _add(value, _common if is_common else _certain_secrets if is_certain else _possible_secrets)


def add_public_value(value: str) -> None:
    """Register a value that is not secret because it is the name of a database object."""
    _add(value, _public_values)


def known_secrets() -> KnownSecrets:
    """Return the secrets that this process knows, for `add_known_secrets` in another process."""
    return KnownSecrets(
        frozenset(_certain_secrets), frozenset(_possible_secrets), frozenset(_public_values), frozenset(_common)
    )


def add_known_secrets(known: KnownSecrets) -> None:
    """Add the secrets that another process knows."""
    for values, own in (
        (known.certain, _certain_secrets),
        (known.secret, _possible_secrets),
        (known.public, _public_values),
        (known.common, _common),
    ):
        for value in values:
            _add(value, own)


def is_secret_name(name: str) -> bool:
    """Whether the name of a variable indicates that its value is secret."""
    return re.search(_SENSITIVE_NAME, name) is not None


def clear_secrets() -> None:
    """Remove all values. Called at the start of a command."""
    global _search
    for values in (_certain_secrets, _possible_secrets, _public_values, _common):
        values.clear()
    _search = None


def hide_secrets(text: str) -> str:
    """Replace each secret in the text with `***`, in any form used by SQL and URLs, and hidden row values."""
    text = redact_message(text)
    lowered = text.lower()
    if any(word in lowered for word in _WORDS_OF_KEYS):
        text = _hide_keys(re.sub(_QUOTED_PATTERN, rf"\1'{HIDDEN}'", text))
    if "://" in text:
        text = re.sub(_URL_PATTERN, rf"\1{HIDDEN}", text)
    if _common and ")=(" in text:
        text = re.sub(_KEY_VALUES, lambda match: re.sub(_KEY_VALUE, _hide_common, match[0]), text)
    search = _current_search()
    return search.hide(text) if search.forms else text


def hide_values(text: str, values: Iterable[str]) -> str:
    """Replace the values in the text with `***`. Short values are replaced only in quotes."""
    for value in sorted(filter(None, values), key=len, reverse=True):
        for form in (value, repr(value)[1:-1]):
            if len(form) >= _MIN_LENGTH:
                text = text.replace(form, HIDDEN)
            else:
                text = re.sub(f"(?<=['\"]){re.escape(form)}(?=['\"])", HIDDEN, text)
    return text


def hide_secrets_in_json(value: Any) -> Any:
    """Hide secrets in all strings in a JSON value. Keys that look like Confiture's own keys are unchanged."""
    match value:
        case str():
            return hide_secrets(value)
        case Mapping():
            return {_hide_in_key(key): hide_secrets_in_json(item) for key, item in value.items()}
        case list() | tuple():
            return [hide_secrets_in_json(item) for item in value]
    return value


def _hide_in_key(key: object) -> object:
    return hide_secrets(key) if isinstance(key, str) and not re.fullmatch(_OWN_KEY, key) else key


def _add(value: str, values: set[str]) -> None:
    global _search
    if value not in values:
        values.add(value)
        _search = None


def _current_search() -> _Search:
    global _search
    if _search is None:
        _search = _Search(_certain_secrets, _possible_secrets - _public_values)
    return _search


def _hide_common(match: re.Match[str]) -> str:
    return HIDDEN if match[0] in _common and match[0] not in _public_values else match[0]


def _hide_keys(text: str) -> str:
    """Hide the values of `password=` in URLs, connection strings, and literals; elsewhere, hide only known values."""
    is_connection = _is_connection_string(text)

    def hide_match(match: re.Match[str]) -> str:
        is_call = match["key"].endswith((" ", "\n")) and re.match(_CALL, match["value"])
        is_bare_value = is_connection and not is_call
        is_value = ":" not in match["key"] and (match["query"] or match["literal"] or is_bare_value)
        return match["key"] + HIDDEN if is_value or match["value"].strip("'\"") in _common else match[0]

    return re.sub(_KEY, hide_match, text)


def _is_connection_string(text: str) -> bool:
    """Whether the text contains connection-string keys. A single key with a space before `=` may be an SQL column."""
    keys = re.findall(_CONNECTION_KEY, text)
    return any(not space for _, space in keys) or len({key.lower() for key, _ in keys}) > 1


class _Search:
    """A search for values in text. Its time is linear in the length of the text."""

    def __init__(self, certain: Iterable[str], others: Iterable[str]) -> None:
        certain = tuple(certain)
        self.forms = sorted({form for secret in (*certain, *others) for form in _encoded_forms(secret)})
        self._by_sample = _by_sample(self.forms) if len(self.forms) > _FEW else {}
        self._backward = sorted(form[: -_LONGEST_PART - 1 : -1] for form in self.forms)
        self._heads = frozenset(form[:_SHORTEST_PART] for form in self.forms)
        self._tails = frozenset(form[:_SHORTEST_PART] for form in self._backward)
        self._folded = "\n".join(self.forms).lower()
        self._tokens = frozenset(
            token
            for secret in certain
            for token in re.findall(r"\w[\w$]*", secret.lower())
            if len(token) >= _MIN_LENGTH
        )

    def hide(self, text: str) -> str:
        """Replace each value with `***`, and parts of values that were cut off or that the server quotes."""
        text = self._hide_forms(text)
        if '"' in text:
            if "near" in text:
                text = re.sub(_NEAR, lambda match: match[1] + re.sub(_WORD, self._hide_part, match[2]), text)
            if self._tokens:
                text = re.sub(_QUOTED, self._hide_token, text)
        return self._hide_cut_forms(text) if "…" in text or "..." in text else text

    def _hide_forms(self, text: str) -> str:
        spans = {span for form, begin, end in self._candidates(text) for span in _spans(text, form, begin, end)}
        if not spans:
            return text
        parts, last = [], 0
        # the longest match at each position
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            if begin >= last:
                parts += [text[last:begin], HIDDEN]
                last = end
        return "".join([*parts, text[last:]])

    def _candidates(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield forms that may occur in the text, with the range of positions at which each may begin."""
        if not self._by_sample:
            yield from ((form, 0, len(text)) for form in self.forms if form in text)
            return
        samples = self._by_sample.keys()
        for begin in range(0, len(text), _WINDOW):
            end = begin + _WINDOW
            substrings = {text[place : place + _MIN_LENGTH] for place in range(begin, min(end + _SAMPLED, len(text)))}
            for sample in samples & substrings:
                yield from ((form, begin, end) for form in self._by_sample[sample])

    def _hide_part(self, match: re.Match[str]) -> str:
        return HIDDEN if match[0].lower() in self._folded else match[0]

    def _hide_token(self, match: re.Match[str]) -> str:
        return HIDDEN if match[0].lower() in self._tokens and match[0] not in _public_values else match[0]

    def _hide_cut_forms(self, text: str) -> str:
        """Hide the beginning of a value before an ellipsis, and the end of a value after it."""
        parts = re.split(_CUT, text)
        for place in range(0, len(parts), 2):
            part = parts[place]
            if place + 1 < len(parts):
                length = self._cut_length(self.forms, self._heads, part[-_LONGEST_PART:])
                part = part[: len(part) - length] + HIDDEN if length else part
            if place:
                length = self._cut_length(self._backward, self._tails, part[:_LONGEST_PART][::-1])
                part = HIDDEN + part[length:] if length else part
            parts[place] = part
        return "".join(parts)

    def _cut_length(self, forms: Sequence[str], heads: Set[str], text: str) -> int:
        """Return the length of the longest suffix of the text that is a prefix of one of the (sorted) forms, or 0."""
        for begin in range(len(text) - _SHORTEST_PART + 1):
            if text[begin : begin + _SHORTEST_PART] in heads:
                place = bisect_left(forms, text[begin:])
                if place < len(forms) and forms[place].startswith(text[begin:]):
                    return len(text) - begin
        return 0


def _by_sample(forms: Iterable[str]) -> dict[str, list[str]]:
    """Return forms by their rarest sample, a short substring near their beginning."""
    counts = Counter(sample for form in forms for sample in _samples(form))
    forms_by_sample: dict[str, list[str]] = {}
    for form in forms:
        forms_by_sample.setdefault(min(_samples(form), key=lambda sample: counts[sample]), []).append(form)
    return forms_by_sample


def _samples(form: str) -> set[str]:
    return {form[place : place + _MIN_LENGTH] for place in range(min(len(form) - _MIN_LENGTH + 1, _SAMPLED))}


def _spans(text: str, form: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the occurrences of a form that begin between two positions; a short form must not be part of a word."""
    first, last = (len(form) < _MIN_LENGTH_INSIDE_WORDS and form[edge].isalnum() for edge in (0, -1))
    place = text.find(form, begin, end + len(form))
    while 0 <= place < end:
        match_end = place + len(form)
        if not (first and _is_word(text, place - 1)) and not (last and _is_word(text, match_end)):
            yield place, match_end
            place = text.find(form, match_end, end + len(form))
        else:
            place = text.find(form, place + 1, end + len(form))


def _is_word(text: str, place: int) -> bool:
    return 0 <= place < len(text) and (text[place].isalnum() or text[place] == "_")


@lru_cache(maxsize=10_000)
def _encoded_forms(secret: str) -> frozenset[str]:
    """Return the forms of a value in SQL, URLs and programs."""
    forms = {
        secret,
        secret.replace("'", "''"),
        secret.replace("'", "''''"),
        secret.replace('"', '""'),
        secret.replace("\\", "\\\\"),
        secret.replace("\\", "\\\\").replace("'", "''"),
        secret.replace("\\", "\\\\").replace("'", "\\'"),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        *_url_forms(secret),
    }
    forms |= {" ".join(form.split()) for form in forms}
    # the server and Confiture quote single lines of a value
    forms |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _MIN_LENGTH_INSIDE_WORDS}
    return frozenset(form for form in forms if len(form) >= _MIN_LENGTH)


def _url_forms(secret: str) -> Iterator[str]:
    from urllib.parse import quote, quote_plus

    try:
        encoded = secret.encode("utf-8", "surrogateescape")  # Python decodes invalid UTF-8 bytes to surrogates
    except UnicodeEncodeError:
        encoded = secret.encode("utf-8", "surrogatepass")
    for form in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
        yield form
        yield re.sub("%..", lambda match: match[0].lower(), form)
    yield encoded.decode("utf-8", "replace")
