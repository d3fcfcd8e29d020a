"""Replace the option values of foreign objects by template variables, because they can be passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator

from confiture.models.records import record
from confiture.sql.parser import pb, scan_tokens

_VARIABLE_UNSAFE = re.compile(r"[^a-z0-9]+")
_UNNAMED = "object"
_TEMPLATE_MARKS = re.compile(r"\{\{|\{%|\{#")
_TEXT_CONSTANTS = frozenset({"SCONST", "USCONST"})


@record(frozen=True, kw_only=True, slots=True)
class TemplateText:
    """SQL with template variables instead of values, and the names of the variables."""

    sql: str
    variables: tuple[str, ...]


class VariableNames:
    """Chooses names for template variables that are unique in all texts of a schema."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def choose(self, owner: str, option: str) -> str:
        """Return a new name from an object's name, which has its schema, and the name of an option."""
        parts = (_VARIABLE_UNSAFE.sub("_", part.lower()).strip("_") for part in (owner, option))
        base = "_".join(part or _UNNAMED for part in parts)
        if base[0].isdigit():
            base = f"{_UNNAMED}_{base}"
        name, number = base, 2
        while name in self._used:
            name, number = f"{base}_{number}", number + 1
        self._used.add(name)
        return name


def hide_option_values(sql: str, owner: str, names: VariableNames) -> TemplateText:
    """Return the SQL with a variable for each value in an OPTIONS clause; `owner` begins the variables' names.

    The template quotes the values of the variables, so that none of them can end the literal.
    Text without options is returned unchanged; otherwise template marks in it are escaped. Raise
    postgast.PgQueryError if the text cannot be scanned.
    """
    content = sql.encode()
    pieces: list[str] = []
    variables: list[str] = []
    end = 0
    for name, start, stop in _find_option_values(content, sql):
        variable = names.choose(owner, name)
        variables.append(variable)
        pieces += [escape_template_marks(content[end:start].decode()), f"{{{{ {variable} | literal }}}}"]
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
