"""Names follow the project's convention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, Option, SchemaRule
from confiture.lint.facts.table_sizes import whole_tables
from confiture.lint.remedies.plurals import plural_of, singular_of
from confiture.models.catalog import Table
from confiture.models.source import Place

_WRITE_FOLDER = re.compile(r"(?:^|[^a-z])write(?:[^a-z]|$)")
_READ_FOLDER = re.compile(r"(?:^|[^a-z])(?:read|query)(?:[^a-z]|$)")
_SNAKE_CASE = re.compile(r"[a-z_][a-z0-9_]*\Z")


class _Prefixes(NamedTuple):
    """The prefixes that the settings give; those that they do not give are None."""

    write: str | None
    read: str | None
    static: str | None


class _Named(NamedTuple):
    """A name; `what` is what people are told before it."""

    what: str
    name: str
    place: Place | None


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    options = subject.options
    prefixes = _Prefixes(options["write_side_prefix"], options["read_side_prefix"], options["static_prefix"])
    for table in whole_tables(subject.catalog):
        complaints = [
            *_of_prefix(table, prefixes),
            *(_of_number(table, prefixes, options["number"]) if options["number"] else ()),
            *(_of_style(table) if options["style"] else ()),
            *(_of_length(table, options["max_length"]) if options["max_length"] else ()),
        ]
        for complaint in complaints:
            yield Hit(
                place=complaint.place or table.place,
                relation=str(table.name),
                subject=complaint.subject,
                message=complaint.message,
                hint=complaint.hint,
            )


class _Complaint(NamedTuple):
    """What is wrong with a name; `subject` is the convention, and the name if it is not the table's."""

    place: Place | None
    subject: str
    message: str
    hint: str


def _of_prefix(table: Table, prefixes: _Prefixes) -> Iterator[_Complaint]:
    side, allowed = _allowed(table, prefixes)
    if allowed and not table.name.name.startswith(allowed):
        names = " or ".join(allowed)
        where = f", as tables of the {side} side do" if side else ""
        message = f"{table.name} does not begin with {names}{where}"
        yield _Complaint(table.place, "prefix", message, f"name it {allowed[0]}...")


def _allowed(table: Table, prefixes: _Prefixes) -> tuple[str | None, tuple[str, ...]]:
    """The side that the table's folder is of, where that can be told, and the prefixes that it may have."""
    reading = tuple(prefix for prefix in (prefixes.read, prefixes.static) if prefix)
    folders = table.place.rendered.source.file.path.lower().rpartition("/")[0] if table.place else ""
    is_write, is_read = bool(_WRITE_FOLDER.search(folders)), bool(_READ_FOLDER.search(folders))
    if is_write and not is_read and prefixes.write:
        return "write", (prefixes.write,)
    if is_read and not is_write and prefixes.read:
        return "read", reading
    # with one prefix alone, the other side's names are free
    return None, (prefixes.write, *reading) if prefixes.write and prefixes.read else ()


def _of_number(table: Table, prefixes: _Prefixes, number: str) -> Iterator[_Complaint]:
    bare = table.name.name
    prefix = next((one for one in sorted(filter(None, prefixes), key=len, reverse=True) if bare.startswith(one)), "")
    start, _, word = bare.removeprefix(prefix).rpartition("_")
    other = plural_of(word) if number == "plural" else singular_of(word)
    if other:
        better = prefix + (f"{start}_{other}" if start else other)
        yield _Complaint(table.place, "number", f"{table.name} is not in the {number}", f"name it {better}")


def _of_style(table: Table) -> Iterator[_Complaint]:
    for what, name, place in _named(table):
        if not _SNAKE_CASE.match(name):
            message = f"{what}{name} is not in snake_case"
            yield _Complaint(place, f"style {name}", message, "use lower-case letters, digits and underscores")


def _of_length(table: Table, most: int) -> Iterator[_Complaint]:
    for what, name, place in _named(table):
        length = len(name.encode())
        if length > most:
            message = f"{what}{name} is {length} bytes long, more than {most}"
            yield _Complaint(place, f"length {name}", message, "shorten the name")


def _named(table: Table) -> Iterator[_Named]:
    yield _Named("table ", table.name.name, table.place)
    yield from (_Named(f"column {table.name}.", column.name, column.place) for column in table.columns)
    yield from (_Named("index ", index.name, index.place) for index in table.indexes)
    indexed = {index.name for index in table.indexes}
    yield from (_Named("constraint ", one.name, one.place) for one in table.constraints if one.name not in indexed)


RULE = SchemaRule(
    name="naming_convention",
    group=Group.SCHEMA,
    severity="warning",
    summary="Names follow the project's convention",
    effect="What a table is for cannot be told from its name, and patterns such as r_* miss it.",
    hint="rename it before others use it",
    options={
        "write_side_prefix": Option(description="The prefix of tables that are written to."),
        "read_side_prefix": Option(description="The prefix of read models."),
        "static_prefix": Option(description="The prefix of read models that belong to no tenant."),
        "style": Option(description="How names are written.", choices=("snake_case",)),
        "number": Option(
            description="Whether tables are named in the plural or the singular.", choices=("plural", "singular")
        ),
        "max_length": Option(description="The longest name of a table, column, index or constraint.", kind=int),
    },
    optional=True,
    check=_check,
    bad=Example(
        sql=("CREATE TABLE orders (id bigint PRIMARY KEY)",),
        options={"write_side_prefix": "w_", "read_side_prefix": "r_", "static_prefix": "r_static_"},
    ),
    good=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)",),
        options={"write_side_prefix": "w_", "read_side_prefix": "r_", "static_prefix": "r_static_"},
    ),
)
