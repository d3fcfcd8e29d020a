"""A schema as pg_dump describes it: entries in an order in which they can be loaded."""

from __future__ import annotations

from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class DumpEntry:
    """One entry of a dump.

    `kind` is pg_dump's description, such as `TABLE`, `FK CONSTRAINT`, `COMMENT` or `ACL`. `tag` is the name, for a
    comment or privileges with the kind of the object: `TABLE w_orders`. `sql` ends with a line end. `dependencies` are
    the numbers of the entries that must be loaded before.
    """

    number: int
    kind: str
    tag: str
    schema: str
    sql: str
    tablespace: str = ""
    access_method: str = ""
    dependencies: frozenset[int] = frozenset()


@record(frozen=True, kw_only=True, slots=True)
class SchemaDump:
    """The schema of a database as pg_dump's archive contains it, without data. `program` is the program's version."""

    entries: tuple[DumpEntry, ...]
    program: str
