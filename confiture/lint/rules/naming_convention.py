"""Names that break the project's convention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, Option, SchemaRule, Violation
from confiture.lint.facts.table_sizes import non_partition_tables
from confiture.lint.remedies.plurals import to_plural, to_singular
from confiture.models.catalog import Table
from confiture.models.source import SourceLocation

_WRITE_FOLDER = re.compile(r"(?:^|[^a-z])write(?:[^a-z]|$)")
_READ_FOLDER = re.compile(r"(?:^|[^a-z])(?:read|query)(?:[^a-z]|$)")
_SNAKE_CASE = re.compile(r"[a-z_][a-z0-9_]*\Z")


class _Prefixes(NamedTuple):
    """The prefixes from the settings; None for a prefix that is not set."""

    write: str | None
    read: str | None
    static: str | None


class _NamedObject(NamedTuple):
    """A name; in messages, `description` precedes the name."""

    description: str
    name: str
    location: SourceLocation | None


def _check(context: SchemaContext) -> Iterable[Violation]:
    options = context.options
    prefixes = _Prefixes(options["write_side_prefix"], options["read_side_prefix"], options["static_prefix"])
    for table in non_partition_tables(context.catalog):
        issues = [
            *_check_prefix(table, prefixes),
            *(_check_number(table, prefixes, options["number"]) if options["number"] else ()),
            *(_check_style(table) if options["style"] else ()),
            *(_check_length(table, options["max_length"]) if options["max_length"] else ()),
        ]
        for issue in issues:
            yield Violation(
                location=issue.place or table.location,
                relation=str(table.name),
                subject=issue.subject,
                message=issue.message,
                hint=issue.hint,
            )


class _NamingIssue(NamedTuple):
    """A problem with a name. `subject` is the convention, and also the name unless it is the table name."""

    place: SourceLocation | None
    subject: str
    message: str
    hint: str


def _check_prefix(table: Table, prefixes: _Prefixes) -> Iterator[_NamingIssue]:
    side, allowed = _allowed_prefixes(table, prefixes)
    if allowed and not table.name.name.startswith(allowed):
        names = " or ".join(allowed)
        where = f", like the tables of the {side} side" if side else ""
        message = f"{table.name} does not begin with {names}{where}"
        yield _NamingIssue(table.location, "prefix", message, f"rename it to {allowed[0]}...")


def _allowed_prefixes(table: Table, prefixes: _Prefixes) -> tuple[str | None, tuple[str, ...]]:
    """Return the side that the table's folder indicates, if any, and the prefixes that the table may have."""
    reading = tuple(prefix for prefix in (prefixes.read, prefixes.static) if prefix)
    folders = table.location.rendered.source.file.path.lower().rpartition("/")[0] if table.location else ""
    is_write, is_read = bool(_WRITE_FOLDER.search(folders)), bool(_READ_FOLDER.search(folders))
    if is_write and not is_read and prefixes.write:
        return "write", (prefixes.write,)
    if is_read and not is_write and prefixes.read:
        return "read", reading
    # if only one prefix is set, names on the other side are not restricted
    return None, (prefixes.write, *reading) if prefixes.write and prefixes.read else ()


def _check_number(table: Table, prefixes: _Prefixes, number: str) -> Iterator[_NamingIssue]:
    bare = table.name.name
    prefix = next((one for one in sorted(filter(None, prefixes), key=len, reverse=True) if bare.startswith(one)), "")
    start, _, word = bare.removeprefix(prefix).rpartition("_")
    other = to_plural(word) if number == "plural" else to_singular(word)
    if other:
        better = prefix + (f"{start}_{other}" if start else other)
        yield _NamingIssue(table.location, "number", f"{table.name} is not in the {number}", f"rename it to {better}")


def _check_style(table: Table) -> Iterator[_NamingIssue]:
    for what, name, place in _named_objects(table):
        if not _SNAKE_CASE.match(name):
            message = f"{what}{name} is not in snake_case"
            yield _NamingIssue(place, f"style {name}", message, "use lowercase letters, digits and underscores")


def _check_length(table: Table, max_length: int) -> Iterator[_NamingIssue]:
    for what, name, place in _named_objects(table):
        length = len(name.encode())
        if length > max_length:
            message = f"{what}{name} is {length} bytes long; the limit is {max_length}"
            yield _NamingIssue(place, f"length {name}", message, "shorten the name")


def _named_objects(table: Table) -> Iterator[_NamedObject]:
    yield _NamedObject("table ", table.name.name, table.location)
    yield from (_NamedObject(f"column {table.name}.", column.name, column.location) for column in table.columns)
    yield from (_NamedObject("index ", index.name, index.location) for index in table.indexes)
    indexed = {index.name for index in table.indexes}
    yield from (
        _NamedObject("constraint ", one.name, one.location) for one in table.constraints if one.name not in indexed
    )


RULE = SchemaRule(
    name="naming_convention",
    group=Group.SCHEMA,
    severity="warning",
    summary="A name breaks the project's naming convention",
    impact="The name does not show the table's purpose, and patterns such as r_* do not match it.",
    fix_hint="rename it before other code depends on it",
    options={
        "write_side_prefix": Option(description="The prefix for tables on the write side."),
        "read_side_prefix": Option(description="The prefix for read models."),
        "static_prefix": Option(description="The prefix for read models that do not belong to a tenant."),
        "style": Option(description="The naming style.", choices=("snake_case",)),
        "number": Option(description="Whether table names are plural or singular.", choices=("plural", "singular")),
        "max_length": Option(
            description="The maximum length of table, column, index, and constraint names, in bytes.", kind=int
        ),
    },
    off_by_default=True,
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
