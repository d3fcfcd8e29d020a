"""A schema as data, read from DDL files or from a database, with the same facts as PostgreSQL's system catalogs.

Types are written as PostgreSQL's `format_type` writes them (`bigint`, `character varying(100)`, `integer[]`).
User-defined types include their schema unless it is `public`. Expressions are SQL text. `location` is where the object
is defined; None if the object was read from a database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from collections.abc import Sequence as Ordered
from dataclasses import field
from enum import StrEnum
from typing import Any, NamedTuple

from confiture.models.former_names import former_attributes
from confiture.models.records import record
from confiture.models.source import SourceLocation

PUBLIC = "public"
TEMPORARY = "pg_temp"
"""The schema name for temporary relations in statements."""


class QualifiedName(NamedTuple):
    """An object's name and schema, both unquoted, as in the system catalogs."""

    schema: str
    name: str

    def __str__(self) -> str:
        return self.name if self.schema == PUBLIC else f"{self.schema}.{self.name}"


class TableKind(StrEnum):
    """The kind of a table."""

    TABLE = "table"
    PARTITIONED = "partitioned table"
    FOREIGN = "foreign table"


class Persistence(StrEnum):
    """Whether a relation's rows survive a crash and the end of the session."""

    PERMANENT = "permanent"
    UNLOGGED = "unlogged"
    TEMPORARY = "temporary"


class ConstraintKind(StrEnum):
    """The kinds of table constraints; NOT NULL is a property of columns."""

    PRIMARY_KEY = "primary key"
    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    EXCLUSION = "exclusion"


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class TableColumn:
    """A column. The type is empty if it is unknown, as for some columns of CREATE TABLE AS.

    `identity` is `always`, `by default` or None; `generated` is `stored`, `virtual` or None.

    `default` is the text of the default or of the generation expression. As in PostgreSQL, a serial column is an
    integer column with a default. `not_null` is true only if the column is proven to contain no nulls: a NOT NULL
    constraint that is NOT VALID sets `not_null_constraint` (the constraint's name in PostgreSQL 18) and leaves
    `not_null` false.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    identity: str | None = None
    generated: str | None = None
    not_null_constraint: str | None = field(default=None, compare=False)
    collation: str | None = None
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Constraint:
    """A table constraint. `columns` are the key columns; for a CHECK, the columns that the expression reads.

    For a foreign key, `target` and `target_columns` are the referenced table and columns; `on_update` and `on_delete`
    are the actions. A constraint that is NOT ENFORCED is not `validated` either.
    """

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...] = ()
    expression: str | None = None
    target: QualifiedName | None = None
    target_columns: tuple[str, ...] = ()
    on_update: str = "no action"
    on_delete: str = "no action"
    validated: bool = True
    deferrable: bool = False
    no_inherit: bool = field(default=False, compare=False)
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Index:
    """An index. `columns` are the keys in order; None stands for an expression, and its text is in `expressions`.

    `key_options` are the non-default options for each key, as in CREATE INDEX: collation, operator class, `DESC`,
    `NULLS FIRST` or `NULLS LAST`; empty if all are the default. `constraint` is the name of the constraint that the
    index implements, or None. `expression_columns` are all columns that the keys and the predicate read.
    """

    name: str
    method: str = "btree"
    columns: tuple[str | None, ...]
    expressions: tuple[str, ...] = ()
    include_columns: tuple[str, ...] = ()
    key_options: tuple[str, ...] = ()
    unique: bool = False
    nulls_not_distinct: bool = False
    predicate: str | None = None
    expression_columns: tuple[str, ...] = field(default=(), compare=False)
    valid: bool = True
    constraint: str | None = None
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Policy:
    """A row security policy. `command` is `all`, `select`, `insert`, `update` or `delete`; no `roles` means PUBLIC."""

    name: str
    command: str = "all"
    permissive: bool = True
    roles: tuple[str, ...] = ()
    using: str | None = None
    with_check: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Trigger:
    """A user-defined trigger."""

    name: str
    function: QualifiedName
    timing: str
    """`before`, `after` or `instead of`."""
    events: tuple[str, ...]
    """One or more of `insert`, `update`, `delete`, `truncate`, in this order."""
    for_each_row: bool = False
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Table:
    """A table. `parents` are the tables it inherits from, or the partitioned table it belongs to.

    `partition_key` is the text after PARTITION BY; `partition_bound` is the text of FOR VALUES or DEFAULT.
    `replica_identity` is `default`, `full`, `nothing`, or `index` followed by an index name.
    """

    name: QualifiedName
    kind: TableKind = TableKind.TABLE
    columns: tuple[TableColumn, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    persistence: Persistence = Persistence.PERMANENT
    parents: tuple[QualifiedName, ...] = ()
    partition_key: str | None = None
    partition_bound: str | None = None
    row_security: bool = False
    force_row_security: bool = False
    policies: tuple[Policy, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    replica_identity: str = field(default="default", compare=False)
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)

    @property
    def is_partition(self) -> bool:
        """Whether the table is a partition."""
        return self.partition_bound is not None

    @property
    def primary_key(self) -> Constraint | None:
        """The primary key, if there is one."""
        return next((one for one in self.constraints if one.kind is ConstraintKind.PRIMARY_KEY), None)

    @property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """The foreign keys, in definition order."""
        return tuple(one for one in self.constraints if one.kind is ConstraintKind.FOREIGN_KEY)

    def unique_keys(self, *, deferrable: bool = False) -> tuple[frozenset[str], ...]:
        """Return the sets of columns that are unique among the table's rows throughout a transaction.

        With `deferrable`, include the sets that are unique only at the end of a transaction.
        """
        unproven = frozenset() if deferrable else {one.name for one in self.constraints if one.deferrable}
        keys = [
            frozenset(str(column) for column in index.columns)
            for index in self.indexes
            if index.unique
            and index.valid
            and index.predicate is None
            and None not in index.columns
            and index.constraint not in unproven
        ]
        return tuple(dict.fromkeys(keys))

    def column(self, name: str) -> TableColumn | None:
        """Find a column by name."""
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        """Find a constraint by name."""
        return next((one for one in self.constraints if one.name == name), None)


class ViewQuery:
    """A SELECT with its text, and with its parse tree if available. The tree must not be changed.

    The text can be a function that is called on first use, because the text of most queries is never needed.
    """

    __slots__ = ("_text", "tree")

    def __init__(self, text: str | Callable[[], str], tree: Any = None) -> None:
        self._text = text
        self.tree = tree

    @property
    def text(self) -> str:
        """The query as SQL."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ViewQuery):
            return NotImplemented
        # comparing trees is much faster than formatting them, but equal queries can have different trees
        return (self.tree is not None and self.tree == other.tree) or self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def __reduce__(self) -> tuple[type[ViewQuery], tuple[str]]:
        return ViewQuery, (self.text,)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class View:
    """A view or a materialized view. `columns` are the column names in order; empty if any name is unknown.

    `query` is the SELECT at the time the view was created; `relations` are the relations that the query reads. Only
    materialized views have indexes.
    """

    name: QualifiedName
    query: ViewQuery
    columns: tuple[str, ...] = ()
    relations: tuple[QualifiedName, ...] = ()
    materialized: bool = False
    security_invoker: bool = False
    indexes: tuple[Index, ...] = ()
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class EnumType:
    """An enum type with its labels in order."""

    name: QualifiedName
    labels: tuple[str, ...]
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class DomainType:
    """A domain over a type. `checks` are its constraints: the name, the expression, and whether it is validated."""

    name: QualifiedName
    type: str
    not_null: bool = False
    default: str | None = None
    checks: tuple[tuple[str, str, bool], ...] = ()
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class CompositeType:
    """A composite type. `attributes` are pairs of name and type."""

    name: QualifiedName
    attributes: tuple[tuple[str, str], ...]
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class RangeType:
    """A range type over the values of another type."""

    name: QualifiedName
    subtype: str
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


UserType = EnumType | DomainType | CompositeType | RangeType


class Signature(NamedTuple):
    """A function's name with the types of its input arguments, which identify the function among overloads."""

    name: QualifiedName
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Function:
    """A function or procedure. `settings` are the values of its SET clauses by name; `body` is its source text.

    `volatility` is `volatile`, `stable` or `immutable`. `returns` is None for a procedure. `public_execute` is whether
    PUBLIC has the EXECUTE privilege, which is granted on every new function until revoked.
    """

    signature: Signature
    returns: str | None
    language: str
    volatility: str = "volatile"
    security_definer: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    public_execute: bool = field(default=True, compare=False)
    comment: str | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Sequence:
    """A sequence. `owner` is the table and column that own the sequence, as for a serial or identity column."""

    name: QualifiedName
    owner: tuple[QualifiedName, str] | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True, order=True)
@former_attributes(place="location")
class Grant:
    """A privilege on an object, granted to a role; `public` stands for PUBLIC.

    Implicit privileges are not included: those of owners, and PUBLIC's privileges on every new function, type, and
    database. `privilege` is in lower case; a column privilege names the columns: `select (email)`.
    """

    kind: str
    """`table`, `sequence`, `function`, `schema`, `type` or `database`."""
    object: str
    grantee: str
    privilege: str
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


Relation = Table | View | Sequence


@former_attributes(indexed="find_index", referring="tables_referencing", views_on="views_reading")
@record(frozen=True, kw_only=True, slots=True)
class Catalog:
    """All objects in a schema.

    The catalog's builder owns the mappings and may continue to change them, so a catalog under construction shows its
    current state.
    """

    schemas: Mapping[str, SourceLocation | None] = field(default_factory=dict)
    tables: Mapping[QualifiedName, Table] = field(default_factory=dict)
    views: Mapping[QualifiedName, View] = field(default_factory=dict)
    sequences: Mapping[QualifiedName, Sequence] = field(default_factory=dict)
    types: Mapping[QualifiedName, UserType] = field(default_factory=dict)
    functions: Mapping[Signature, Function] = field(default_factory=dict)
    grants: Set[Grant] = field(default_factory=set)
    extensions: Mapping[str, SourceLocation | None] = field(default_factory=dict)
    index_owners: Mapping[QualifiedName, QualifiedName] = field(default_factory=dict)
    """The table or materialized view of each index, by index name."""
    search_path: Ordered[str] = (PUBLIC,)
    dependents: Mapping[QualifiedName, Collection[QualifiedName]] | None = field(
        default=None, compare=False, repr=False
    )
    """For each relation, the relations that may depend on it (foreign keys, views, partitions); None if unknown."""

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """Find a table, view or sequence by name; without a schema, use the search path."""
        for candidate in (schema,) if schema else (TEMPORARY, *self.search_path):
            key = QualifiedName(candidate, name)
            relation = self.tables.get(key) or self.views.get(key) or self.sequences.get(key)
            if relation:
                return relation
        return None

    def table(self, schema: str | None, name: str) -> Table | None:
        """Find a table by name; without a schema, use the search path."""
        relation = self.relation(schema, name)
        return relation if isinstance(relation, Table) else None

    def find_index(self, schema: str | None, name: str) -> tuple[Table | View, Index] | None:
        """Find an index and its relation by name."""
        for candidate in (schema,) if schema else (TEMPORARY, *self.search_path):
            owner = self.index_owners.get(QualifiedName(candidate, name))
            relation = owner and (self.tables.get(owner) or self.views.get(owner))
            if relation:
                return relation, next(index for index in relation.indexes if index.name == name)
        return None

    def partitions(self, table: QualifiedName) -> tuple[Table, ...]:
        """Return the partitions or inheritance children of a table."""
        return tuple(one for one in self._dependent_tables(table) if table in one.parents)

    def has_inheritance_children(self, table: Table) -> bool:
        """Whether other tables inherit from the table. The table's keys do not apply to rows in those tables."""
        return table.kind is TableKind.TABLE and bool(self.partitions(table.name))

    def tables_referencing(self, table: QualifiedName) -> tuple[Table, ...]:
        """Return the other tables that have a foreign key to the table."""
        return tuple(
            one
            for one in self._dependent_tables(table)
            if one.name != table and any(key.target == table for key in one.foreign_keys)
        )

    def views_reading(self, relation: QualifiedName) -> tuple[View, ...]:
        """Return the views that read the relation."""
        views = self.views
        if self.dependents is None:
            return tuple(one for one in views.values() if relation in one.relations)
        near = sorted(self.dependents.get(relation, ()))
        return tuple(views[name] for name in near if name in views and relation in views[name].relations)

    def _dependent_tables(self, name: QualifiedName) -> Iterable[Table]:
        if self.dependents is None:
            return self.tables.values()
        return [self.tables[one] for one in sorted(self.dependents.get(name, ())) if one in self.tables]
