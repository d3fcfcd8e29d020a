"""A mutable table for statements that change it."""

from __future__ import annotations

from dataclasses import dataclass, field

from confiture.models.catalog import (
    Constraint,
    ConstraintKind,
    Index,
    Persistence,
    Policy,
    QualifiedName,
    Table,
    TableColumn,
    TableKind,
    Trigger,
)
from confiture.models.source import SourceLocation


@dataclass(slots=True)
class TableBuilder:
    """The fields of a table, with its named objects stored by name."""

    name: QualifiedName
    kind: TableKind = TableKind.TABLE
    columns: dict[str, TableColumn] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    persistence: Persistence = Persistence.PERMANENT
    parents: list[QualifiedName] = field(default_factory=list)
    partition_key: str | None = None
    partition_bound: str | None = None
    row_security: bool = False
    force_row_security: bool = False
    policies: dict[str, Policy] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    replica_identity: str = "default"
    comment: str | None = None
    location: SourceLocation | None = None

    @property
    def key_name(self) -> str | None:
        """The name of the primary key."""
        return next((one.name for one in self.constraints.values() if one.kind is ConstraintKind.PRIMARY_KEY), None)

    @classmethod
    def from_table(cls, table: Table) -> TableBuilder:
        """Return a mutable copy of a table."""
        return cls(
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
            location=table.location,
        )

    def to_table(self) -> Table:
        """Return the resulting table."""
        return Table(
            name=self.name,
            kind=self.kind,
            columns=tuple(self.columns.values()),
            constraints=tuple(self.constraints.values()),
            indexes=tuple(self.indexes.values()),
            persistence=self.persistence,
            parents=tuple(self.parents),
            partition_key=self.partition_key,
            partition_bound=self.partition_bound,
            row_security=self.row_security,
            force_row_security=self.force_row_security,
            policies=tuple(self.policies.values()),
            triggers=tuple(self.triggers.values()),
            replica_identity=self.replica_identity,
            comment=self.comment,
            location=self.location,
        )
