"""What a catalog under construction knows of its objects besides the objects: owners, dependents, names in use."""

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
    """What may depend on an object; whether it still does is for the reader to see."""

    dependents: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)
    """Tables and views that may depend on a relation or type."""
    trigger_tables: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)
    """Relations that may have a trigger that calls a function of that name."""

    def add(self, dependent: QualifiedName, targets: Iterable[QualifiedName]) -> None:
        """Notes that a relation depends on others."""
        for target in targets:
            self.dependents.setdefault(target, set()).add(dependent)

    def pop(self, target: QualifiedName) -> set[QualifiedName]:
        """What may depend on an object that goes, or gets another name."""
        return self.dependents.pop(target, set())

    def extend(self, target: QualifiedName, dependents: Iterable[QualifiedName]) -> None:
        """Notes that relations depend on an object."""
        self.dependents.setdefault(target, set()).update(dependents)

    def add_trigger(self, function: QualifiedName, table: QualifiedName) -> None:
        """Notes that a table has a trigger that calls a function."""
        self.trigger_tables.setdefault(function, set()).add(table)


@dataclass(slots=True)
class SequenceRegistry:
    """The sequences, `all` by name, and the columns that they belong to."""

    all: dict[QualifiedName, Sequence] = field(default_factory=dict)
    _of_table: dict[QualifiedName, set[QualifiedName]] = field(default_factory=dict)

    def add(self, sequence: Sequence) -> None:
        """Adds a sequence."""
        self.all[sequence.name] = sequence
        if sequence.owner:
            self._of_table.setdefault(sequence.owner[0], set()).add(sequence.name)

    def remove(self, name: QualifiedName) -> None:
        """Takes a sequence away."""
        sequence = self.all.pop(name, None)
        if sequence and sequence.owner:
            self._of_table.get(sequence.owner[0], set()).discard(name)

    def find_owned(self, table: QualifiedName, column: str | None = None) -> list[Sequence]:
        """The sequences that belong to a table, or to one of its columns."""
        found = (self.all[name] for name in sorted(self._of_table.get(table, ())))
        return [one for one in found if one.owner and column in (None, one.owner[1])]

    def remove_table(self, table: QualifiedName) -> None:
        """Notes that no sequence belongs to a table any more."""
        self._of_table.pop(table, None)


@dataclass(slots=True)
class FunctionRegistry:
    """The functions, `all` by signature, their overloads and their types."""

    all: dict[Signature, Function] = field(default_factory=dict)
    overloads: dict[QualifiedName, set[Signature]] = field(default_factory=dict)
    """The functions of each name."""
    types: set[str] = field(default_factory=set)
    """The types that functions take or return, and some that they no longer do."""

    def put(self, function: Function) -> None:
        """Adds a function, or replaces the one of its signature."""
        self.all[function.signature] = function
        self.overloads.setdefault(function.signature.name, set()).add(function.signature)

    def add_types(self, function: Function) -> None:
        """Notes the types that a function takes and returns."""
        types = (*function.signature.arguments, function.returns or "")
        self.types.update(one.removesuffix("[]").removeprefix("SETOF ") for one in types)

    def remove(self, signature: Signature) -> None:
        """Takes a function away."""
        del self.all[signature]
        overloads = self.overloads[signature.name]
        overloads.discard(signature)
        if not overloads:
            del self.overloads[signature.name]


class IndexRegistry:
    """On which relation an index is, `owners` by its name, and of which index it is part."""

    def __init__(self) -> None:
        self.owners: dict[QualifiedName, QualifiedName] = {}
        self.parents: dict[QualifiedName, QualifiedName] = {}
        """The index of the partitioned table that an index of a partition is part of."""

    def add(self, table: TableBuilder, index: Index) -> None:
        """Gives a table an index."""
        table.indexes[index.name] = index
        self.owners[QualifiedName(table.name.schema, index.name)] = table.name

    def remove(self, table: TableBuilder, name: str) -> None:
        """Takes an index away."""
        del table.indexes[name]
        self.release(QualifiedName(table.name.schema, name))

    def release(self, name: QualifiedName) -> None:
        """Frees the name of an index."""
        self.owners.pop(name, None)
        self.parents.pop(name, None)


class ConstraintRegistry:
    """The names that constraints have in each schema, and of which foreign key one of a partition is part."""

    def __init__(self, relations: RelationNames, indexes: IndexRegistry, dependencies: Dependencies) -> None:
        self._relations = relations
        self._indexes = indexes
        self._dependencies = dependencies
        self._names: defaultdict[tuple[str, str], int] = defaultdict(int)
        """How many constraints of a schema have a name."""
        self.key_parents: dict[tuple[QualifiedName, str], str] = {}
        """The foreign key of the partitioned table that one of a partition is part of, by table and name."""

    def add(self, table: TableBuilder, constraint: Constraint) -> None:
        """Gives a table a constraint."""
        table.constraints[constraint.name] = constraint
        self.reserve(table.name.schema, constraint.name)
        if constraint.target and constraint.target != table.name:
            self._dependencies.add(table.name, (constraint.target,))

    def remove(self, table: TableBuilder, name: str) -> None:
        """Takes a constraint away, with its index."""
        del table.constraints[name]
        self.key_parents.pop((table.name, name), None)
        self.release(table.name.schema, name)
        for index in [one.name for one in table.indexes.values() if one.constraint == name]:
            self._indexes.remove(table, index)

    def reserve(self, schema: str, name: str) -> None:
        """Notes that one more constraint of a schema has a name."""
        self._names[schema, name] += 1

    def release(self, schema: str, name: str) -> None:
        """Notes that one constraint less has it."""
        self._names[schema, name] -= 1
        if self._names[schema, name] <= 0:
            del self._names[schema, name]

    def free_name(self, schema: str, first: str, second: str | None, label: str) -> str:
        """A free name for a constraint."""
        # most names are free: no function is called for them
        name = make_object_name(first, second, label)
        if (schema, name) not in self._names:
            return name
        return choose_relation_name(first, second, label, lambda one: (schema, one) in self._names)

    def free_index_name(self, schema: str, first: str, second: str | None, label: str, *, constraint: bool) -> str:
        """A free name for an index or sequence, and for the constraint that an index serves."""

        def is_taken(name: str) -> bool:
            return self._relations.is_taken(QualifiedName(schema, name)) or (
                constraint and (schema, name) in self._names
            )

        return choose_relation_name(first, second, label, is_taken)
