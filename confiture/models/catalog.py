"""A schema as data: what PostgreSQL's own catalogs hold of it, from DDL files or from a live database.

Types are written as PostgreSQL's `format_type` writes them (`bigint`, `character varying(100)`, `integer[]`, names of
users' types with their schema unless it is `public`). Expressions are SQL text. `place` is where the object was
defined, None where it was read from a database.
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
"""The schema of temporary relations, as statements name it."""


class QualifiedName(NamedTuple):
    """The name of an object with its schema, both as the catalogs hold them (unquoted)."""

    schema: str
    name: str

    def __str__(self) -> str:
        return self.name if self.schema == PUBLIC else f"{self.schema}.{self.name}"


class TableKind(StrEnum):
    """What kind of relation with rows of its own, or partitions, a table is."""

    TABLE = "table"
    PARTITIONED = "partitioned table"
    FOREIGN = "foreign table"


class Persistence(StrEnum):
    """Whether a relation's rows outlive a crash, and its session."""

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
    """A column. Its type is empty where it is not known, as of some columns of CREATE TABLE AS.

    `identity` is `always` or `by default`, `generated` is `stored` or `virtual`; None where it is neither.

    `default` is the text of the default, or of the generating expression. A serial column is its integer type with a
    default, as in PostgreSQL. `not_null` is true only where the column is proven to have no nulls: a NOT NULL that is
    NOT VALID has a `not_null_constraint` (the name that PostgreSQL 18 knows it by) and `not_null` false.
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
    """A constraint of a table. `columns` are its key columns, for a CHECK those that its expression reads.

    `target` and `target_columns` are what a foreign key refers to, `on_update` and `on_delete` what it does then. What
    is NOT ENFORCED is not `validated` either.
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
    """An index. `columns` are its keys in order, None for a key that is an expression, whose text `expressions` has.

    `key_options` say of each key what is not the default, as in CREATE INDEX: collation, operator class, `DESC`,
    `NULLS FIRST` or `NULLS LAST`; empty where all is. `constraint` is the name of the constraint that it serves, None
    where it is an index of its own. `expression_columns` are all columns that its keys and its predicate read.
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
    """A trigger that users defined."""

    name: str
    function: QualifiedName
    timing: str
    """`before`, `after` or `instead of`."""
    events: tuple[str, ...]
    """Of `insert`, `update`, `delete`, `truncate`, in this order."""
    for_each_row: bool = False
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Table:
    """A table. `parents` are those it inherits from, or the one it is a partition of.

    `partition_key` is the text of PARTITION BY without these words, `partition_bound` that of FOR VALUES or DEFAULT.
    `replica_identity` is `default`, `full`, `nothing` or `index` and its name.
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
        """Whether it holds some of the rows of a partitioned table."""
        return self.partition_bound is not None

    @property
    def primary_key(self) -> Constraint | None:
        """Its primary key."""
        return next((one for one in self.constraints if one.kind is ConstraintKind.PRIMARY_KEY), None)

    @property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """Its foreign keys, in the order in which they were defined."""
        return tuple(one for one in self.constraints if one.kind is ConstraintKind.FOREIGN_KEY)

    def unique_keys(self, *, deferrable: bool = False) -> tuple[frozenset[str], ...]:
        """Sets of columns whose values no two of its rows share, in all moments of a transaction.

        With those that are `deferrable`: at its end.
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
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        """The constraint of that name."""
        return next((one for one in self.constraints if one.name == name), None)


class ViewQuery:
    """A SELECT: its text, and its parse tree where that is at hand, which nobody may change.

    A text can be given by what writes it once somebody asks: of most queries nobody does.
    """

    __slots__ = ("_text", "tree")

    def __init__(self, text: str | Callable[[], str], tree: Any = None) -> None:
        self._text = text
        self.tree = tree

    @property
    def text(self) -> str:
        """It as SQL."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, ViewQuery) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def __reduce__(self) -> tuple[type[ViewQuery], tuple[str]]:
        return ViewQuery, (self.text,)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class View:
    """A view or a materialized view. `columns` are their names in order; none where not all of them are known.

    `query` is its SELECT as it was when the view was made, `relations` what that reads. Only materialized views have
    indexes.
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
    """An enum type, its labels in their order."""

    name: QualifiedName
    labels: tuple[str, ...]
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class DomainType:
    """A domain over a type. `checks` are its constraints: name and expression, and whether it is proven."""

    name: QualifiedName
    type: str
    not_null: bool = False
    default: str | None = None
    checks: tuple[tuple[str, str, bool], ...] = ()
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class CompositeType:
    """A composite type: its attributes by name and type."""

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
    """What tells functions of one name apart: the types of its input arguments."""

    name: QualifiedName
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"


@record(frozen=True, kw_only=True, slots=True)
@former_attributes(place="location")
class Function:
    """A function or procedure. `settings` are those of its SET clauses, by name; `body` is its source text.

    `volatility` is `volatile`, `stable` or `immutable`. `returns` is None for procedures. `public_execute` is whether
    everyone may call it, as it is for every new function until somebody revokes that.
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
    """A sequence. `owner` is the table and column it belongs to, as that of a serial or identity column does."""

    name: QualifiedName
    owner: tuple[QualifiedName, str] | None = None
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@record(frozen=True, kw_only=True, slots=True, order=True)
@former_attributes(place="location")
class Grant:
    """A privilege on an object that was given to a role; `public` is everyone.

    Only what was granted: not what owners have anyway, nor what PUBLIC has of every new function, type and database.
    `privilege` is in small letters; one on columns names each: `select (email)`.
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
    """All objects of a schema.

    The mappings belong to whoever builds the catalog, who may go on changing them: a catalog under construction
    shows what is there at the moment.
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
    """The table or materialized view that an index is on, by the index's name."""
    search_path: Ordered[str] = (PUBLIC,)
    dependents: Mapping[QualifiedName, Collection[QualifiedName]] | None = field(
        default=None, compare=False, repr=False
    )
    """For each relation those that may depend on it (foreign keys, views, partitions); None where that is not known."""

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """The table, view or sequence that a name means, found through the search path where it has no schema."""
        for candidate in (schema,) if schema else (TEMPORARY, *self.search_path):
            key = QualifiedName(candidate, name)
            found = self.tables.get(key) or self.views.get(key) or self.sequences.get(key)
            if found:
                return found
        return None

    def table(self, schema: str | None, name: str) -> Table | None:
        """The table that a name means."""
        found = self.relation(schema, name)
        return found if isinstance(found, Table) else None

    def find_index(self, schema: str | None, name: str) -> tuple[Table | View, Index] | None:
        """The index that a name means, with the relation it is on."""
        for candidate in (schema,) if schema else (TEMPORARY, *self.search_path):
            owner = self.index_owners.get(QualifiedName(candidate, name))
            relation = owner and (self.tables.get(owner) or self.views.get(owner))
            if relation:
                return relation, next(index for index in relation.indexes if index.name == name)
        return None

    def partitions(self, table: QualifiedName) -> tuple[Table, ...]:
        """The tables that have it as a parent: its partitions, or what inherits from it."""
        return tuple(one for one in self._dependent_tables(table) if table in one.parents)

    def has_inheritance_children(self, table: Table) -> bool:
        """Whether tables inherit from it, whose rows are among its own: its keys do not hold for them."""
        return table.kind is TableKind.TABLE and bool(self.partitions(table.name))

    def tables_referencing(self, table: QualifiedName) -> tuple[Table, ...]:
        """The other tables with a foreign key that refers to it."""
        return tuple(
            one
            for one in self._dependent_tables(table)
            if one.name != table and any(key.target == table for key in one.foreign_keys)
        )

    def views_reading(self, relation: QualifiedName) -> tuple[View, ...]:
        """The views that read it."""
        views = self.views
        if self.dependents is None:
            return tuple(one for one in views.values() if relation in one.relations)
        near = sorted(self.dependents.get(relation, ()))
        return tuple(views[name] for name in near if name in views and relation in views[name].relations)

    def _dependent_tables(self, name: QualifiedName) -> Iterable[Table]:
        if self.dependents is None:
            return self.tables.values()
        return [self.tables[one] for one in sorted(self.dependents.get(name, ())) if one in self.tables]
