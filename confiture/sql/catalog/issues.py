"""What does not fit the catalog under construction: made twice, named and not there, or not to be seen."""

from __future__ import annotations

from confiture.models.catalog import TEMPORARY, QualifiedName
from confiture.models.records import record
from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import ParsedStatement

SYSTEM = frozenset({"pg_catalog", "information_schema", "pg_toast", TEMPORARY})


@record(frozen=True, kw_only=True, slots=True)
class CatalogIssue:
    """A statement that does not fit the catalog. `code` is `duplicate-object`, `missing-object`, `not-partitioned` or
    `opaque`.

    `object` is the name of what was made twice or is not there. `first` is where a duplicate was made first.
    """

    code: str
    location: SourceLocation
    message: str
    object: str
    first: SourceLocation | None = None


class IssueLog:
    """The issues so far, and what decides whether something is one."""

    def __init__(self) -> None:
        self.issues: list[CatalogIssue] = []
        self.partial: set[QualifiedName] = set()
        """Tables of which not all columns are known."""
        self.has_unknown_extension = False
        """Whether an extension was made of which it is not known what it brings along."""
        self.has_unknown_objects = False
        """Whether something ran that may have made or dropped anything."""
        self.statement: ParsedStatement
        """The statement that is applied now."""
        self.fixed_location: SourceLocation | None = None
        """The location of all issues while statements are applied that are part of another one's string."""
        self._reported: set[tuple[str, str]] = set()

    def location(self, offset: int) -> SourceLocation:
        """The place of a location of the tree, or of the statement's beginning."""
        if self.fixed_location:
            return self.fixed_location
        statement = self.statement
        return statement.location_at(offset) if offset >= 0 else statement.location

    def report(
        self, code: str, message: str, name: object, offset: int = -1, first: SourceLocation | None = None
    ) -> None:
        """Adds an issue, at a location of the tree or at the statement's beginning."""
        place = self.location(offset)
        self.issues.append(CatalogIssue(code=code, location=place, message=message, object=str(name), first=first))

    def report_missing(self, what: str, name: object, offset: int = -1, *, once: bool = False) -> None:
        """Reports what is not there, unless something unknown may have made it."""
        if self.has_unknown_objects or self.fixed_location or (once and (what, str(name)) in self._reported):
            return
        self._reported.add((what, str(name)))
        self.report("missing-object", f"{what} {name} does not exist", name, offset)

    def report_missing_column(self, relation: QualifiedName, column: str, offset: int = -1) -> None:
        """Reports a column that a relation does not have, unless not all of its columns are known."""
        if relation not in self.partial:
            self.report_missing("column", f"{relation}.{column}", offset)

    def report_duplicate(self, what: str, name: object, first: SourceLocation | bool | None, offset: int = -1) -> None:
        """Reports what is made a second time."""
        if self.fixed_location:
            return
        where = first if isinstance(first, SourceLocation) else None
        self.report("duplicate-object", f"{what} {name} already exists", name, offset, where)

    def mark_unknown(self, message: str, name: object) -> None:
        """Reports a statement that may make or drop what cannot be seen; from then on nothing is sure to be missing."""
        self.report("opaque", message, name)
        self.has_unknown_objects = True
