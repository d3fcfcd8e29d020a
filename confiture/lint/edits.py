"""Sure fixes: changes of a statement as changes of the file that it stands in."""

from __future__ import annotations

from confiture.models.findings import Edit
from confiture.models.source import Place
from confiture.sql.tree import ParsedStatement


def insertion(statement: ParsedStatement, position: int, text: str) -> tuple[Edit, ...]:
    """Text put into a statement behind the character before `position` (of the rendered text, from 0).

    None where the file has another text for the statement: a template made it, and a change would not be sure.
    """
    rendered = statement.rendered
    file = rendered.source.file
    begin = _position(file.text, Place(rendered=rendered, offset=statement.offset))
    behind = _position(file.text, Place(rendered=rendered, offset=position - 1)) + 1
    if file.text[begin:behind] != rendered.text[statement.offset : position]:
        return ()
    return (Edit(path=file.path, start=behind, end=behind, text=text),)


def _position(text: str, place: Place) -> int:
    """The character of a file (from 0) that a place is at."""
    span = place.span
    begin = 0
    for _ in range(span.line - 1):
        begin = text.find("\n", begin) + 1
    return begin + span.column - 1
