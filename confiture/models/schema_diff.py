"""The result of comparing two schemas, for output."""

from __future__ import annotations

from confiture.models.records import record
from confiture.models.schema_changes import SchemaComparison


@record(frozen=True, kw_only=True, slots=True)
class SchemaDiff:
    """The differences between two schemas. `before` and `after` are their names for users.

    The changes in `comparison` turn `before` into `after`.
    """

    environment: str
    before: str
    after: str
    comparison: SchemaComparison
