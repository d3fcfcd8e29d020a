"""Replace the option values of foreign objects by template variables, because they can be passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator

from confiture.models.records import record
from confiture.sql.parser import pb, scan_tokens

_VARIABLE_UNSAFE = re.compile(r"[^a-z0-9]+")
_TEMPLATE_MARKS = re.compile(r"\{\{|\{%|\{#")
_TEXT_CONSTANTS = frozenset({"SCONST", "USCONST"})


@record(frozen=True, kw_only=True, slots=True)
class TemplateText:
    """SQL with template variables instead of values, and the names of the variables."""

    sql: str
    variables: tuple[str, ...]


def hide_option_values(sql: str, owner: str) -> TemplateText:
    """Return the SQL with a variable for each value in an OPTIONS clause; `owner` begins the variables' names.

    Text without options is returned unchanged; otherwise template marks in it are escaped. Raise
    postgast.PgQueryError if the text cannot be scanned.
    """
    content = sql.encode()
    pieces: list[str] = []
    variables: list[str] = []
    end = 0
    for name, start, stop in _find_option_values(content, sql):
        variable = _VARIABLE_UNSAFE.sub("_", f"{owner}_{name}".lower()).strip("_")
        while variable in variables:
            variable += "_"
        variables.append(variable)
        pieces += [escape_template_marks(content[end:start].decode()), f"'{{{{ {variable} }}}}'"]
        end = stop
    if not variables:
        return TemplateText(sql=sql, variables=())
    pieces.append(escape_template_marks(content[end:].decode()))
    return TemplateText(sql="".join(pieces), variables=tuple(variables))


def _find_option_values(content: bytes, sql: str) -> Iterator[tuple[str, int, int]]:
    """Yield the option name and the byte positions of each value in an OPTIONS clause."""
    tokens = [(pb.Token.Name(one.token), one.start, one.end) for one in scan_tokens(sql)]
    kinds = [kind for kind, _, _ in tokens]
    for position, kind in enumerate(kinds):
        if kind == "OPTIONS" and kinds[position + 1 : position + 2] == ["ASCII_40"]:
            index = position + 2
            while index + 1 < len(tokens) and kinds[index + 1] in _TEXT_CONSTANTS:
                name = content[tokens[index][1] : tokens[index][2]].decode().strip('"')
                yield name, tokens[index + 1][1], tokens[index + 1][2]
                index += 3  # the name, the value, and a comma


def escape_template_marks(text: str) -> str:
    """Return text that renders to the given text."""
    return _TEMPLATE_MARKS.sub(lambda mark: f"{{{{ '{mark[0]}' }}}}", text)
