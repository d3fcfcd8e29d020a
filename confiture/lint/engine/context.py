"""What rules judge: a schema, or one statement of a migration in its place; and what a database says of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from heapq import merge
from itertools import islice
from typing import Any, overload

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Relation, Table
from confiture.models.former_names import former_attributes
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.records import record
from confiture.models.settings import NEWEST_LINTED, Settings
from confiture.models.source import RenderedSql, SourceLocation
from confiture.models.tenancy import TenancyVerdict
from confiture.models.trace import LockMode
from confiture.sql.catalog.builder import CatalogIssue
from confiture.sql.effects import Effects, find_effects
from confiture.sql.parse_tree import Parse, ParsedStatement, parse_rendered
from confiture.sql.tenant_flow import TenancyFacts, analyze


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """What a database says that files do not.

    Its major version, the estimated row counts of its tables, and for `confiture lint --live` its schema, the
    versions of the migrations that it has, and how people call it.
    """

    version: int
    table_rows: Mapping[QualifiedName, int] = field(default_factory=dict)
    catalog: Catalog | None = None
    applied: frozenset[str] = frozenset()
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class LintTarget:
    """What is the same for all that is judged in one run of lint.

    `postgres_version` is the major version of the server that the migrations are meant for. `table_rows` are the
    row counts of its tables as the planner estimates them, empty where no database was asked.
    """

    settings: Settings
    postgres_version: int
    table_rows: Mapping[QualifiedName, int] = field(default_factory=dict)


def lint_target(settings: Settings, facts: DatabaseFacts | None) -> LintTarget:
    """What rules know besides the SQL. The version is that of the settings, or the server's, or the newest known."""
    version = settings.linting.postgres_version or (facts.version if facts else NEWEST_LINTED)
    return LintTarget(settings=settings, postgres_version=version, table_rows=facts.table_rows if facts else {})


@former_attributes(surroundings="target", misfits="catalog_issues")
@dataclass(frozen=True, kw_only=True)
class SchemaContext:
    """A schema. `options` are those of the rule that judges it.

    `catalog_issues` are the statements of the DDL files that did not fit: objects made twice, or named and not there.
    The catalog may have what is named all the same: made by a migration, or further below.
    """

    catalog: Catalog
    target: LintTarget
    options: Mapping[str, Any]
    catalog_issues: Sequence[CatalogIssue] = ()

    @cached_property
    def facts(self) -> TenancyFacts:
        """What the analysis of queries knows of it."""
        return TenancyFacts(self.catalog, self.target.settings.tenancy)


class StatementCache:
    """The statements of texts with their trees. Only those of the last text are kept, so ask in order."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._rendered: RenderedSql | None = None
        self._by_offset: Mapping[int, ParsedStatement] = {}

    def statements_by_offset(self, rendered: RenderedSql) -> Mapping[int, ParsedStatement]:
        """The statements of a text by their places in it."""
        if self._rendered is not rendered:
            self._rendered, self._by_offset = (
                rendered,
                {one.offset: one for one in parse_rendered(rendered, self._parse)},
            )
        return self._by_offset


class SegmentStatements:
    """The statements of one segment: those that were judged, and those that are still to come.

    A statement's number is its place among them, from 0.
    """

    def __init__(self, segment: Segment, statements: StatementCache) -> None:
        self._planned = [(step, statement.offset) for step in segment.steps for statement in step.statements]
        kinds = (statement.node_kind for step in segment.steps for statement in step.statements)
        self._numbers: dict[str, list[int]] = {}
        for number, kind in enumerate(kinds):
            self._numbers.setdefault(kind, []).append(number)
        self._judged: list[StatementContext] = []
        self._exclusive: list[int] = []
        self._statements = statements

    def __len__(self) -> int:
        return len(self._planned)

    def step(self, number: int) -> PlannedStep:
        """The step that a statement belongs to."""
        return self._planned[number][0]

    def statement(self, number: int) -> ParsedStatement:
        """A statement with its tree."""
        step, offset = self._planned[number]
        return self._statements.statements_by_offset(step.rendered)[offset]

    def add_checked(self, context: StatementContext) -> None:
        """Notes that a statement was judged."""
        if LockMode.ACCESS_EXCLUSIVE in context.effects.locks.values():
            self._exclusive.append(len(self._judged))
        self._judged.append(context)

    def release(self) -> None:
        """Lets go of what was judged: each of them holds on to the transaction, and to its tree."""
        self._judged.clear()

    def statements_before(self, number: int) -> Sequence[StatementContext]:
        """The statements before one, in order."""
        return _ListPrefix(self._judged, number)

    def exclusive_numbers(self, stop: int) -> Iterator[int]:
        """The numbers of the statements before `stop` that lock something in ACCESS EXCLUSIVE mode, in order."""
        return iter(self._exclusive[: bisect_left(self._exclusive, stop)])

    def numbers_of_kind(self, kinds: Iterable[str], start: int, stop: int) -> Iterator[int]:
        """The numbers of the statements of some kinds from `start` to before `stop`, in order."""
        lists = (self._numbers.get(kind, []) for kind in kinds)
        return merge(*(numbers[bisect_left(numbers, start) : bisect_left(numbers, stop)] for numbers in lists))


class _ListPrefix(Sequence["StatementContext"]):
    """The first items of a list that goes on growing."""

    def __init__(self, items: list[StatementContext], length: int) -> None:
        self._items, self._length = items, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[StatementContext]:
        return islice(self._items, self._length)

    @overload
    def __getitem__(self, index: int) -> StatementContext: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StatementContext]: ...
    def __getitem__(self, index: int | slice) -> StatementContext | Sequence[StatementContext]:
        if isinstance(index, slice):
            return self._items[slice(*index.indices(self._length))]
        return self._items[range(self._length)[index]]


class StatementAnalysis:
    """What is worked out of a statement once, for all rules that judge it."""

    def __init__(self, statement: ParsedStatement, catalog: Catalog, target: LintTarget) -> None:
        self._statement = statement
        self._catalog = catalog
        self._target = target

    @cached_property
    def effects(self) -> Effects:
        """What the statement locks, scans and rewrites."""
        return find_effects(self._statement, self._catalog, self._target.postgres_version)

    @cached_property
    def tenancy(self) -> TenancyVerdict:
        """Whether it can bring rows of one tenant to another."""
        return analyze(self._statement, TenancyFacts(self._catalog, self._target.settings.tenancy))

    def assume_no_effects(self) -> None:
        """Takes the statement for one without effects: working them out failed."""
        self.effects = Effects()


@former_attributes(surroundings="target", place="location", earlier_of="earlier_of_kind", later_of="later_of_kind")
@record(frozen=True, kw_only=True, slots=True)
class StatementContext:
    """A statement of a migration, with the catalog as it is before it runs.

    `created` are the relations that the same migration made: nobody uses them yet. `transaction` holds the statements
    that run in the same transaction; this one has the number `number` there.
    """

    statement: ParsedStatement
    catalog: Catalog
    target: LintTarget
    migration: PlannedMigration
    step: PlannedStep
    created: Set[QualifiedName]
    transaction: SegmentStatements
    number: int
    analysis: StatementAnalysis
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def earlier(self) -> Sequence[StatementContext]:
        """The statements that run before it in the same transaction. `earlier_of_kind` finds those of a kind faster."""
        return self.transaction.statements_before(self.number)

    def earlier_of_kind(self, *kinds: str) -> Iterator[StatementContext]:
        """The statements of these kinds among them, in order."""
        earlier = self.earlier
        return (earlier[number] for number in self.transaction.numbers_of_kind(kinds, 0, self.number))

    def earlier_exclusive(self) -> Iterator[StatementContext]:
        """The statements among them that lock something in ACCESS EXCLUSIVE mode, in order."""
        earlier = self.earlier
        return (earlier[number] for number in self.transaction.exclusive_numbers(self.number))

    def later_of_kind(self, *kinds: str) -> Iterator[ParsedStatement]:
        """The statements of these kinds that run after it in the same transaction, in order."""
        numbers = self.transaction.numbers_of_kind(kinds, self.number + 1, len(self.transaction))
        return (self.transaction.statement(number) for number in numbers)

    @property
    def node(self) -> Any:
        """The tree of the statement, of the kind that the rule asked for."""
        return self.statement.node

    @property
    def location(self) -> SourceLocation:
        """Where the statement begins."""
        return self.statement.location

    @property
    def version(self) -> int:
        """The major version of PostgreSQL that it is meant for."""
        return self.target.postgres_version

    @property
    def effects(self) -> Effects:
        """What the statement locks, scans and rewrites, as far as that is known without running it."""
        return self.analysis.effects

    @property
    def tenancy(self) -> TenancyVerdict:
        """Whether the statement can bring rows of one tenant to another."""
        return self.analysis.tenancy

    def relation(self, range_var: Any) -> Relation | None:
        """What a name in the tree means, as far as the catalog knows it."""
        return self.catalog.relation(range_var.schemaname or None, range_var.relname)

    def table(self, range_var: Any) -> Table | None:
        """The table that a name in the tree means."""
        found = self.relation(range_var)
        return found if isinstance(found, Table) else None

    def name(self, range_var: Any) -> str:
        """How people are shown a name of the tree: with its schema unless that is `public`."""
        found = self.relation(range_var)
        return str(found.name if found else QualifiedName(range_var.schemaname or PUBLIC, range_var.relname))

    def is_new(self, range_var: Any) -> bool:
        """Whether the relation of that name is temporary, or was made by this migration: no one can wait for it."""
        found = self.relation(range_var)
        return found is not None and (found.name in self.created or _is_temporary(found))

    def rows(self, name: QualifiedName) -> int | None:
        """The number of rows of a table in the database that was asked, None where it is not known."""
        return self.target.table_rows.get(name)


def _is_temporary(relation: Relation) -> bool:
    return isinstance(relation, Table) and relation.persistence == "temporary"
