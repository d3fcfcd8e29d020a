"""What the builder works on: the catalog's mappings, which it may change, and what it found on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import (
    PUBLIC,
    TEMPORARY,
    Catalog,
    Column,
    Constraint,
    Function,
    Grant,
    Index,
    Name,
    Persistence,
    Policy,
    Relation,
    Sequence,
    Signature,
    Table,
    TableKind,
    Trigger,
    UserType,
    View,
)
from confiture.models.source import Place
from confiture.models.values import value
from confiture.sql.catalog.names import chosen, joined
from confiture.sql.tree import ParsedStatement

SYSTEM = frozenset({"pg_catalog", "information_schema", "pg_toast", TEMPORARY})


@value(frozen=True, kw_only=True, slots=True)
class Misfit:
    """A statement that does not fit the catalog. `code` is `duplicate-object`, `missing-object`, `not-partitioned` or
    `opaque`.

    `object` is the name of what was made twice or is not there. `first` is where a duplicate was made first.
    """

    code: str
    place: Place
    message: str
    object: str
    first: Place | None = None


class DefaultGrant(NamedTuple):
    """What ALTER DEFAULT PRIVILEGES says of new objects of a kind; `schema` is None for all schemas."""

    schema: str | None
    kind: str
    grantee: str
    privilege: str


@dataclass(slots=True)
class TableDraft:
    """A table while a statement changes it: the fields of Table, with what has a name by that name."""

    name: Name
    kind: TableKind = TableKind.TABLE
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    persistence: Persistence = Persistence.PERMANENT
    parents: list[Name] = field(default_factory=list)
    partition_key: str | None = None
    partition_bound: str | None = None
    row_security: bool = False
    force_row_security: bool = False
    policies: dict[str, Policy] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    replica_identity: str = "default"
    comment: str | None = None
    place: Place | None = None

    @property
    def key_name(self) -> str | None:
        """The name of the primary key."""
        return next((one.name for one in self.constraints.values() if one.kind == "primary key"), None)


def thawed(table: Table) -> TableDraft:
    """A table to change."""
    return TableDraft(
        name=table.name,
        kind=table.kind,
        columns={one.name: one for one in table.columns},
        constraints={one.name: one for one in table.constraints},
        indexes={one.name: one for one in table.indexes},
        persistence=table.persistence,
        parents=list(table.parents),
        partition_key=table.partition_key,
        partition_bound=table.partition_bound,
        row_security=table.row_security,
        force_row_security=table.force_row_security,
        policies={one.name: one for one in table.policies},
        triggers={one.name: one for one in table.triggers},
        replica_identity=table.replica_identity,
        comment=table.comment,
        place=table.place,
    )


def frozen(draft: TableDraft) -> Table:
    """The table that a draft became."""
    return Table(
        name=draft.name,
        kind=draft.kind,
        columns=tuple(draft.columns.values()),
        constraints=tuple(draft.constraints.values()),
        indexes=tuple(draft.indexes.values()),
        persistence=draft.persistence,
        parents=tuple(draft.parents),
        partition_key=draft.partition_key,
        partition_bound=draft.partition_bound,
        row_security=draft.row_security,
        force_row_security=draft.force_row_security,
        policies=tuple(draft.policies.values()),
        triggers=tuple(draft.triggers.values()),
        replica_identity=draft.replica_identity,
        comment=draft.comment,
        place=draft.place,
    )


Apply = Callable[["Work", str, Any], None]


class Work:
    """The catalog under construction. Each statement is applied with `statement` set to it."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self.schemas: dict[str, Place | None] = {PUBLIC: None}
        self.tables: dict[Name, Table] = {}
        self.views: dict[Name, View] = {}
        self.sequences: dict[Name, Sequence] = {}
        self.types: dict[Name, UserType] = {}
        self.functions: dict[Signature, Function] = {}
        self.grants: set[Grant] = set()
        self.extensions: dict[str, Place | None] = {}
        self.index_owners: dict[Name, Name] = {}
        self.search_path: list[str] = [PUBLIC]
        self.dependents: dict[Name, set[Name]] = {}
        """Tables and views that may depend on a relation or type; whether they still do is for the reader to see."""

        self.constraint_names: defaultdict[tuple[str, str], int] = defaultdict(int)
        """How many constraints of a schema have a name."""
        self.overloads: dict[Name, set[Signature]] = {}
        """The functions of each name."""
        self.function_types: set[str] = set()
        """The types that functions take or return, and some that they no longer do."""
        self.trigger_tables: dict[Name, set[Name]] = {}
        """Relations that may have a trigger that calls a function of that name."""
        self.owned: dict[Name, set[Name]] = {}
        """The sequences that belong to columns of a table."""
        self.index_parents: dict[Name, Name] = {}
        """The index of the partitioned table that an index of a partition is part of."""
        self.key_parents: dict[tuple[Name, str], str] = {}
        """The foreign key of the partitioned table that one of a partition is part of, by table and name."""
        self.partial: set[Name] = set()
        """Tables of which not all columns are known."""
        self.other_types: set[Name] = set()
        """Types whose nature the catalog does not hold: base types, shell types and those of extensions."""
        self.view_types: dict[Name, tuple[str, ...]] = {}
        """The types of the columns of views, empty where they are not known."""
        self.extension_types: dict[str, Name] = {}
        """Types of extensions; they are found in any schema, for a role may have a search path of its own."""
        self.default_grants: set[DefaultGrant] = set()
        self.granted: dict[tuple[str, str], set[Grant]] = {}
        """The privileges on each object, by its kind and name."""

        self.misfits: list[Misfit] = []
        self.reported: set[tuple[str, str]] = set()
        self.unknown_extension = False
        """Whether an extension was made of which it is not known what it brings along."""
        self.unread = False
        """Whether something ran that may have made or dropped anything."""
        self.created: set[Name] = set()
        self.statement: ParsedStatement
        self.fixed_place: Place | None = None
        """Where all is said to stand, while statements are applied that are part of another one's string."""
        self.catalog = Catalog(
            schemas=self.schemas,
            tables=self.tables,
            views=self.views,
            sequences=self.sequences,
            types=self.types,
            functions=self.functions,
            grants=self.grants,
            extensions=self.extensions,
            index_owners=self.index_owners,
            search_path=self.search_path,
            dependents=self.dependents,
        )

    def nested(self, kind: str, node: Any) -> None:
        """Applies a statement that is part of the present one."""
        self._apply(self, kind, node)

    # Names

    def relation(self, node: Any) -> Relation | None:
        """The table, view or sequence that a RangeVar means."""
        return self.catalog.relation(node.schemaname or None, node.relname)

    def new_name(self, node: Any) -> Name:
        """The name of a relation that a RangeVar asks for."""
        if node.relpersistence == "t":
            return Name(TEMPORARY, node.relname)
        return Name(node.schemaname or self.creation_schema, node.relname)

    @property
    def creation_schema(self) -> str:
        """Where objects without a schema are made."""
        return next((schema for schema in self.search_path if schema in self.schemas), PUBLIC)

    def holder(self, name: Name) -> Place | bool | None:
        """Where a relation or index of that name was made (None: not known), False where there is none."""
        found = self.tables.get(name) or self.views.get(name) or self.sequences.get(name)
        if found:
            return found.place
        owner = self.index_owners.get(name)
        if owner:
            return next(index.place for index in self.indexed(owner) if index.name == name.name)
        return False

    def require_schema(self, schema: str, location: int = -1) -> None:
        """Notes a schema that is not there."""
        if schema not in self.schemas and schema not in SYSTEM and not schema.startswith("pg_"):
            self.missing("schema", schema, location, once=True)

    def require_partitioned(self, table: Table, location: int = -1) -> None:
        """Notes a table that is to have a partition, and cannot."""
        if table.kind is not TableKind.PARTITIONED and not self.unread:
            self.misfit("not-partitioned", f"table {table.name} is not partitioned", table.name, location)

    def is_taken(self, name: Name) -> bool:
        """Whether a relation or an index has that name."""
        return name in self.tables or name in self.views or name in self.sequences or name in self.index_owners

    def indexed(self, owner: Name) -> tuple[Index, ...]:
        """The indexes of a relation."""
        found = self.tables.get(owner) or self.views.get(owner)
        return found.indexes if found else ()

    def constraint_name(self, schema: str, first: str, second: str | None, label: str) -> str:
        """A free name for a constraint."""
        taken = self.constraint_names
        # a Name is a tuple, and takes longer to make than one
        name = joined(first, second, label)
        return chosen(first, second, label, lambda one: (schema, one) in taken) if (schema, name) in taken else name

    def index_name(self, schema: str, first: str, second: str | None, label: str, *, constraint: bool) -> str:
        """A free name for an index or sequence, and for the constraint that an index serves."""

        def taken(name: str) -> bool:
            key = Name(schema, name)
            return self.is_taken(key) or (constraint and key in self.constraint_names)

        return chosen(first, second, label, taken)

    # Findings

    def misfit(self, code: str, message: str, name: object, location: int = -1, first: Place | None = None) -> None:
        """Notes what does not fit, at a location of the tree or where the statement begins."""
        place = self.at(location)
        self.misfits.append(Misfit(code=code, place=place, message=message, object=str(name), first=first))

    def missing(self, what: str, name: object, location: int = -1, *, once: bool = False) -> None:
        """Notes that something is not there, unless something unread may have made it."""
        if self.unread or self.fixed_place or (once and (what, str(name)) in self.reported):
            return
        self.reported.add((what, str(name)))
        self.misfit("missing-object", f"{what} {name} does not exist", name, location)

    def missing_column(self, relation: Name, column: str, location: int = -1) -> None:
        """Notes that a relation has no such column, unless not all of its columns are known."""
        if relation not in self.partial:
            self.missing("column", f"{relation}.{column}", location)

    def missing_relation(self, node: Any, what: str = "relation") -> None:
        """Notes that the relation of a RangeVar is not there, unless it may be the system's or an extension's."""
        schema, name = node.schemaname, node.relname
        if schema in SYSTEM or (not schema and name.startswith("pg_")) or self.unknown_extension:
            return
        self.missing(what, Name(schema or self.creation_schema, name), node.location)

    def duplicate(self, what: str, name: object, first: Place | bool | None, location: int = -1) -> None:
        """Notes that something is made a second time."""
        if self.fixed_place:
            return
        where = first if isinstance(first, Place) else None
        self.misfit("duplicate-object", f"{what} {name} already exists", name, location, where)

    def opaque(self, message: str, name: object) -> None:
        """Notes that a statement may make or drop what cannot be seen; from then on nothing is sure to be missing."""
        self.misfit("opaque", message, name)
        self.unread = True

    def at(self, location: int) -> Place:
        """The place of a node's location in the statement."""
        if self.fixed_place:
            return self.fixed_place
        statement = self.statement
        offset = statement.positions.characters(location) if location >= 0 else statement.offset
        return Place(rendered=statement.rendered, offset=offset)

    def table(self, node: Any, *, missing_ok: bool = False) -> Table | None:
        """The table that a RangeVar means; it is noted as missing where there is no relation of that name."""
        found = self.relation(node)
        if found is None and not missing_ok:
            self.missing_relation(node)
        return found if isinstance(found, Table) else None

    # Changes

    def made(self, name: Name) -> None:
        """Notes a relation that the statement made."""
        self.created.add(name)

    def grant(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Notes a privilege."""
        one = Grant(kind=kind, object=text, grantee=grantee, privilege=privilege, place=self.at(-1))
        self.grants.add(one)
        self.granted.setdefault((kind, text), set()).add(one)

    def revoke(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Takes a privilege away; one on a whole table takes those on its columns along."""
        for one in list(self.granted.get((kind, text), ())):
            if one.grantee == grantee and (one.privilege == privilege or one.privilege.startswith(f"{privilege} (")):
                self.grants.discard(one)
                self.granted[kind, text].discard(one)

    def move_grants(self, kind: str, old: str, new: str | None) -> None:
        """Privileges follow their object to its new name, or go with it."""
        for one in self.granted.pop((kind, old), ()):
            self.grants.discard(one)
            if new is not None:
                self.grant(kind, new, one.grantee, one.privilege)

    def grant_defaults(self, kind: str, name: Name, text: str | None = None) -> None:
        """Gives a new object what ALTER DEFAULT PRIVILEGES says."""
        for one in self.default_grants:
            if one.kind == kind and one.schema in (None, name.schema):
                self.grant(kind, text or str(name), one.grantee, one.privilege)

    def add_sequence(self, sequence: Sequence) -> None:
        """Adds a sequence."""
        self.sequences[sequence.name] = sequence
        if sequence.owner:
            self.owned.setdefault(sequence.owner[0], set()).add(sequence.name)

    def remove_sequence(self, name: Name) -> None:
        """Takes a sequence away."""
        sequence = self.sequences.pop(name, None)
        if sequence and sequence.owner:
            self.owned.get(sequence.owner[0], set()).discard(name)

    def owned_by(self, table: Name, column: str | None = None) -> list[Sequence]:
        """The sequences that belong to a table, or to one of its columns."""
        found = (self.sequences[name] for name in sorted(self.owned.get(table, ())))
        return [one for one in found if one.owner and column in (None, one.owner[1])]

    def put(self, draft: TableDraft) -> None:
        """Puts a changed or new table into the catalog."""
        self.tables[draft.name] = frozen(draft)

    def add_constraint(self, draft: TableDraft, constraint: Constraint) -> None:
        """Gives a table a constraint."""
        draft.constraints[constraint.name] = constraint
        self.constraint_names[Name(draft.name.schema, constraint.name)] += 1
        if constraint.target and constraint.target != draft.name:
            self.depend(draft.name, (constraint.target,))

    def remove_constraint(self, draft: TableDraft, name: str) -> None:
        """Takes a constraint away, with its index."""
        del draft.constraints[name]
        self.key_parents.pop((draft.name, name), None)
        self.forget_constraint(Name(draft.name.schema, name))
        for index in [one.name for one in draft.indexes.values() if one.constraint == name]:
            self.remove_index(draft, index)

    def forget_constraint(self, name: Name) -> None:
        """Frees the name of a constraint."""
        self.constraint_names[name] -= 1
        if self.constraint_names[name] <= 0:
            del self.constraint_names[name]

    def add_index(self, draft: TableDraft, index: Index) -> None:
        """Gives a table an index."""
        draft.indexes[index.name] = index
        self.index_owners[Name(draft.name.schema, index.name)] = draft.name

    def remove_index(self, draft: TableDraft, name: str) -> None:
        """Takes an index away."""
        del draft.indexes[name]
        self.forget_index(Name(draft.name.schema, name))

    def forget_index(self, name: Name) -> None:
        """Frees the name of an index."""
        self.index_owners.pop(name, None)
        self.index_parents.pop(name, None)

    def depend(self, dependent: Name, targets: Iterable[Name]) -> None:
        """Notes that a relation depends on others."""
        for target in targets:
            self.dependents.setdefault(target, set()).add(dependent)
