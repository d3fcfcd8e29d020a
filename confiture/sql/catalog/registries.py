"""Bookkeeping for a catalog under construction: owners, dependents, and names in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from confiture.models.catalog import Constraint, Function, Index, QualifiedName, Sequence, Signature
from confiture.sql.catalog.object_names import choose_relation_name, make_object_name
from confiture.sql.catalog.relation_names import RelationNames
from confiture.sql.catalog.table_builder import TableBuilder


@dataclass(slots=True)
class Dependencies:
    """The possible dependents of each object. Callers must check whether a dependent still depends on the object."""

    dependents: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)
    """Tables and views that can depend on a relation or type."""
    trigger_tables: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)
    """Relations that may have a trigger that calls a function with that name."""

    def add(self, dependent: QualifiedName, targets: Iterable[QualifiedName]) -> None:
        """Record that a relation depends on other objects."""
        for target in targets:
            self.dependents.setdefault(target, set()).add(dependent)

    def pop(self, target: QualifiedName) -> set[QualifiedName]:
        """Remove and return the possible dependents of an object that is dropped or renamed."""
        return self.dependents.pop(target, set())

    def extend(self, target: QualifiedName, dependents: Iterable[QualifiedName]) -> None:
        """Record that relations depend on an object."""
        self.dependents.setdefault(target, set()).update(dependents)

    def add_trigger(self, function: QualifiedName, table: QualifiedName) -> None:
        """Record that a table has a trigger that calls a function."""
        self.trigger_tables.setdefault(function, set()).add(table)


@dataclass(slots=True)
class SequenceRegistry:
    """The sequences (`all`, by name) and the columns that own them."""

    all: dict[QualifiedName, Sequence] = field(default_factory=dict)
    _of_table: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)

    def add(self, sequence: Sequence) -> None:
        """Add a sequence."""
        self.all[sequence.name] = sequence
        if sequence.owner:
            self._of_table.setdefault(sequence.owner[0], set()).add(sequence.name)

    def remove(self, name: QualifiedName) -> None:
        """Remove a sequence."""
        sequence = self.all.pop(name, None)
        if sequence and sequence.owner:
            self._of_table.get(sequence.owner[0], set()).discard(name)

    def find_owned(self, table: QualifiedName, column: str | None = None) -> list[Sequence]:
        """Return the sequences owned by a table, or by one of its columns."""
        sequences = (self.all[name] for name in sorted(self._of_table.get(table, ())))
        return [one for one in sequences if one.owner and column in (None, one.owner[1])]

    def remove_table(self, table: QualifiedName) -> None:
        """Record that a table no longer owns any sequences."""
        self._of_table.pop(table, None)


@dataclass(slots=True)
class FunctionRegistry:
    """The functions (`all`, by signature), their overloads, and their types."""

    all: dict[Signature, Function] = field(default_factory=dict)
    overloads: dict[QualifiedName, set[Signature]] = field(default_factory=dict)
    """The functions with each name."""
    types: set[str] = field(default_factory=set)
    """The types that functions accept or return, possibly including types of removed functions."""

    def put(self, function: Function) -> None:
        """Add a function, or replace the function with the same signature."""
        self.all[function.signature] = function
        self.overloads.setdefault(function.signature.name, set()).add(function.signature)

    def add_types(self, function: Function) -> None:
        """Record the types that a function accepts and returns."""
        types = (*function.signature.arguments, function.returns or "")
        self.types.update(one.removesuffix("[]").removeprefix("SETOF ") for one in types)

    def remove(self, signature: Signature) -> None:
        """Remove a function."""
        del self.all[signature]
        overloads = self.overloads[signature.name]
        overloads.discard(signature)
        if not overloads:
            del self.overloads[signature.name]


class IndexRegistry:
    """The relation of each index (`owners`, by name), and the partitioned index that the index is attached to."""

    def __init__(self) -> None:
        self.owners: dict[QualifiedName, QualifiedName] = {}
        self.parents: dict[QualifiedName, QualifiedName] = {}
        """The partitioned table's index that a partition's index is attached to."""

    def add(self, table: TableBuilder, index: Index) -> None:
        """Add an index to a table."""
        table.indexes[index.name] = index
        self.owners[QualifiedName(table.name.schema, index.name)] = table.name

    def remove(self, table: TableBuilder, name: str) -> None:
        """Remove an index."""
        del table.indexes[name]
        self.release(QualifiedName(table.name.schema, name))

    def release(self, name: QualifiedName) -> None:
        """Release the name of an index."""
        self.owners.pop(name, None)
        self.parents.pop(name, None)


class ConstraintRegistry:
    """The constraint names in each schema, and the partitioned tables' foreign keys that partitions' foreign keys
    belong to.
    """

    def __init__(self, relations: RelationNames, indexes: IndexRegistry, dependencies: Dependencies) -> None:
        self._relations = relations
        self._indexes = indexes
        self._dependencies = dependencies
        self._names: defaultdict[tuple[str, str], int] = defaultdict(int)
        """The number of constraints with a name, by schema and name."""
        self.key_parents: dict[tuple[QualifiedName, str], str] = {}
        """The partitioned table's foreign key that a partition's foreign key belongs to, by table and name."""

    def add(self, table: TableBuilder, constraint: Constraint) -> None:
        """Add a constraint to a table."""
        table.constraints[constraint.name] = constraint
        self.reserve(table.name.schema, constraint.name)
        if constraint.target and constraint.target != table.name:
            self._dependencies.add(table.name, (constraint.target,))

    def remove(self, table: TableBuilder, name: str) -> None:
        """Remove a constraint and its index."""
        del table.constraints[name]
        self.key_parents.pop((table.name, name), None)
        self.release(table.name.schema, name)
        for index in [one.name for one in table.indexes.values() if one.constraint == name]:
            self._indexes.remove(table, index)

    def reserve(self, schema: str, name: str) -> None:
        """Record that one more constraint in a schema has this name."""
        self._names[schema, name] += 1

    def release(self, schema: str, name: str) -> None:
        """Record that one fewer constraint has this name."""
        self._names[schema, name] -= 1
        if self._names[schema, name] <= 0:
            del self._names[schema, name]

    def free_name(self, schema: str, first: str, second: str | None, label: str) -> str:
        """Return a free name for a constraint."""
        # most names are free: skip the function calls for them
        name = make_object_name(first, second, label)
        if (schema, name) not in self._names:
            return name
        return choose_relation_name(first, second, label, lambda one: (schema, one) in self._names)

    def free_index_name(self, schema: str, first: str, second: str | None, label: str, *, constraint: bool) -> str:
        """Return a free name for an index or sequence. With `constraint`, the name is also free for a constraint."""

        def is_taken(name: str) -> bool:
            return self._relations.is_taken(QualifiedName(schema, name)) or (
                constraint and (schema, name) in self._names
            )

        return choose_relation_name(first, second, label, is_taken)
