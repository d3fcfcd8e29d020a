"""Issues found while building a catalog: duplicate objects, missing objects, and statements with unknown effects."""

from __future__ import annotations

from confiture.models.catalog import QualifiedName
from confiture.models.records import record
from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import ParsedStatement


@record(frozen=True, kw_only=True, slots=True)
class CatalogIssue:
    """A statement that conflicts with the catalog.

    `code` is `duplicate-object`, `missing-object`, `not-partitioned` or `opaque`.

    `object` is the name of the duplicate or missing object. `first` is the place where the original object was created.
    """

    code: str
    location: SourceLocation
    message: str
    object: str
    first: SourceLocation | None = None


class IssueLog:
    """The issues so far, and the facts that determine whether something is an issue."""

    def __init__(self) -> None:
        self.issues: list[CatalogIssue] = []
        self.partial: set[QualifiedName] = set()
        """Tables that can have columns missing from the catalog."""
        self.has_unknown_extension = False
        """Whether an extension was created whose objects are unknown."""
        self.has_unknown_objects = False
        """Whether a statement has run that may have created or dropped anything."""
        self.statement: ParsedStatement
        """The statement that is being applied."""
        self.fixed_location: SourceLocation | None = None
        """The location for all issues while statements from a string in another statement are applied."""
        self._reported: set[tuple[str, str]] = set()

    def location(self, offset: int) -> SourceLocation:
        """Return the position of a parse tree location, or the start of the statement."""
        if self.fixed_location:
            return self.fixed_location
        statement = self.statement
        return statement.location_at(offset) if offset >= 0 else statement.location

    def report(
        self, code: str, message: str, name: object, offset: int = -1, first: SourceLocation | None = None
    ) -> None:
        """Add an issue at a parse tree location, or at the start of the statement."""
        location = self.location(offset)
        self.issues.append(CatalogIssue(code=code, location=location, message=message, object=str(name), first=first))

    def report_missing(self, what: str, name: object, offset: int = -1, *, once: bool = False) -> None:
        """Report a missing object, unless an unknown statement may have created it."""
        if self.has_unknown_objects or self.fixed_location or (once and (what, str(name)) in self._reported):
            return
        self._reported.add((what, str(name)))
        self.report("missing-object", f"{what} {name} does not exist", name, offset)

    def report_missing_column(self, relation: QualifiedName, column: str, offset: int = -1) -> None:
        """Report a column that a relation does not have, unless some of its columns are unknown."""
        if relation not in self.partial:
            self.report_missing("column", f"{relation}.{column}", offset)

    def report_duplicate(self, what: str, name: object, first: SourceLocation | bool | None, offset: int = -1) -> None:
        """Report an object that already exists."""
        if self.fixed_location:
            return
        first_location = first if isinstance(first, SourceLocation) else None
        self.report("duplicate-object", f"{what} {name} already exists", name, offset, first_location)

    def mark_unknown(self, message: str, name: object) -> None:
        """Report a statement with unknown effects. From then on, missing objects are not reported."""
        self.report("opaque", message, name)
        self.has_unknown_objects = True
