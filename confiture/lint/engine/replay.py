"""Builds the catalog from DDL files, replays migrations over another one, and lets the rules judge both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar, cast

from confiture.errors import Diagnostic
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.context import SchemaSubject, Statements, StatementSubject, Surroundings, Transaction
from confiture.lint.engine.ignores import Ignore, has_ignores, ignores_in
from confiture.lint.engine.qualify_names import qualified_remedy
from confiture.lint.engine.rule import Hit, SchemaRule, StatementRule
from confiture.models.catalog import Catalog, Name
from confiture.models.plan import PlannedMigration
from confiture.models.source import Place, Rendered
from confiture.models.trace import LockMode
from confiture.models.values import value
from confiture.sql.catalog.builder import CatalogBuilder, CatalogIssue
from confiture.sql.effects import Effects, is_followed
from confiture.sql.grammar import parse_sql
from confiture.sql.tree import Parse, ParsedStatement, parsed

FAILED, NOT_FOLLOWED = "the rule itself failed", "not-followed"


@value(frozen=True, kw_only=True, slots=True)
class Judged:
    """A hit of a rule, and what it was found in: a statement of a migration, or a schema."""

    active: ActiveRule
    hit: Hit
    statement: str | None = None
    ends: tuple[Place, Place] | None = None
    migration: str | None = None

    @property
    def lines(self) -> tuple[int, int] | None:
        """The first and the last line of the statement, None where it is about none."""
        return (self.ends[0].span.line, self.ends[1].span.line) if self.ends else None


class _Reader:
    """Builds a catalog statement by statement, and outlives statements that cannot be followed."""

    def __init__(self) -> None:
        self._builder = CatalogBuilder()
        self.ignores: list[Ignore] = []
        self.failures: list[Diagnostic] = []
        """Statements that lint failed on: not what they are, but what it makes of them, is wrong."""
        self.statements = 0

    @property
    def catalog(self) -> Catalog:
        """What is there at the moment."""
        return self._builder.catalog

    def _apply(self, statement: ParsedStatement) -> frozenset[Name]:
        """Applies a statement, and returns the relations that it made."""
        try:
            return self._builder.apply(statement)
        except Exception as error:
            self._failed(statement, error)
            return frozenset()

    def _failed(self, statement: ParsedStatement, error: Exception) -> None:
        message = f"lint cannot follow this statement: {type(error).__name__}: {error}"
        hint = "report it together with the SQL; the rules do not know what it changes"
        self.failures.append(statement.rendered.diagnostic(statement.offset, NOT_FOLLOWED, message, hint=hint))


class SchemaReader(_Reader):
    """Builds a catalog from DDL files, one after the other. The texts must parse."""

    def __init__(self, parse: Parse = parse_sql) -> None:
        super().__init__()
        self._parse = parse

    @property
    def misfits(self) -> Sequence[CatalogIssue]:
        """What did not fit: made twice, or named and not there."""
        return self._builder.misfits

    def read(self, rendered: Rendered) -> None:
        """Applies a file. Raises what `parsed` raises."""
        statements = parsed(rendered, self._parse)
        self._builder.begin_file()
        for statement in statements:
            self._apply(statement)
        self.statements += len(statements)
        self.ignores += ignores_in(rendered, statements)


class _Commented:
    """The statements of those texts that may have ignore comments; others are let go."""

    def __init__(self) -> None:
        self._rendered: Rendered | None = None
        self._texts: dict[int, tuple[Rendered, list[ParsedStatement]]] = {}
        self._current: list[ParsedStatement] | None = None

    def add(self, statement: ParsedStatement) -> None:
        if statement.rendered is not self._rendered:
            # a text is searched once, not for each of its statements
            self._rendered, self._current = statement.rendered, None
            if has_ignores(statement.rendered):
                key = id(statement.rendered)
                self._current = self._texts.setdefault(key, (statement.rendered, []))[1]
        if self._current is not None:
            self._current.append(statement)

    def ignores(self) -> Iterator[Ignore]:
        for rendered, statements in self._texts.values():
            yield from ignores_in(rendered, statements)


class Replay(_Reader):
    """Replays migrations over a catalog of their own, and lets the statement rules judge them."""

    def __init__(self, actives: Iterable[ActiveRule], surroundings: Surroundings, parse: Parse = parse_sql) -> None:
        super().__init__()
        self._surroundings = surroundings
        self._by_kind = _by_kind(actives)
        self._texts = Statements(parse)
        self.locks: dict[str, Mapping[Name, LockMode]] = {}
        """What the judged statements lock by their texts, those left out of which nobody knows from here."""

    def begin_with(self, catalog: Catalog) -> None:
        """Begins with the schema of a database, which the migrations that it has made."""
        self._builder = CatalogBuilder(catalog)

    def pass_over(self, migration: PlannedMigration) -> None:
        """Applies a migration without judging it."""
        for segment in migration.segments:
            self._builder.begin_file()
            transaction = Transaction(segment, self._texts)
            for number in range(len(transaction)):
                self._apply(transaction.statement(number))

    def judge(self, migration: PlannedMigration, created: set[Name] | None = None) -> Iterator[Judged]:
        """Applies a migration, and gives what rules find in each of its statements.

        `created` are relations that nobody uses yet; those that the migration makes are added.
        """
        created = set() if created is None else created
        noted = _Commented()
        for segment in migration.segments:
            self._builder.begin_file()
            transaction = Transaction(segment, self._texts)
            for number in range(len(transaction)):
                subject = self._subject(migration, transaction, number, created)
                self._work_out(subject)
                yield from self._judged(subject)
                transaction.add(subject)
                renamed = _renamed(subject)
                created |= self._apply(subject.statement)
                _follow(renamed, created)
                noted.add(subject.statement)
                self.statements += 1
            transaction.end()
        self.ignores += noted.ignores()

    def _subject(
        self, migration: PlannedMigration, transaction: Transaction, number: int, created: Set[Name]
    ) -> StatementSubject:
        return StatementSubject(
            statement=transaction.statement(number),
            catalog=self.catalog,
            surroundings=self._surroundings,
            migration=migration,
            step=transaction.step(number),
            created=created,
            transaction=transaction,
            number=number,
        )

    def _work_out(self, subject: StatementSubject) -> None:
        """Works out what later statements ask of this one: the catalog will have changed by then."""
        try:
            locks = subject.effects.locks
            if is_followed(subject.statement.kind):
                self.locks[subject.statement.text] = locks
        except Exception as error:
            self._failed(subject.statement, error)
            subject.__dict__["effects"] = Effects()

    def _judged(self, subject: StatementSubject) -> Iterator[Judged]:
        for active in self._by_kind.get(subject.statement.kind, ()):
            rule = cast(StatementRule, active.rule)
            for hit in _hits(active, rule.check, _with_options(subject, active.options), subject.place):
                if hit.remedy is not None:
                    hit = replace(hit, remedy=qualified_remedy(hit.remedy, subject.catalog))
                # not the tree: that would outlive its use
                yield Judged(
                    active=active,
                    hit=hit,
                    statement=subject.statement.text,
                    ends=_ends(subject.statement),
                    migration=subject.migration.version,
                )


def _renamed(subject: StatementSubject) -> tuple[Name, Name] | None:
    """The relation that a statement gives another name or schema, and that; None where it does not."""
    kind, node = subject.statement.kind, subject.node
    is_moved = kind == "alter_object_schema_stmt"
    if not is_moved and (kind != "rename_stmt" or node.subname or not node.HasField("relation")):
        return None
    found = subject.relation(node.relation)
    if found is None:
        return None
    old = found.name
    return old, Name(node.newschema, old.name) if is_moved else Name(old.schema, node.newname)


def _follow(renamed: tuple[Name, Name] | None, created: set[Name]) -> None:
    """What is new stays new by its other name, and what is old does not become new by the name of something new."""
    if renamed:
        old, new = renamed
        created.discard(new)
        if old in created:
            created.remove(old)
            created.add(new)


def _ends(statement: ParsedStatement) -> tuple[Place, Place]:
    last = max(statement.end - 1, statement.offset)
    return statement.place, Place(rendered=statement.rendered, offset=last)


_Subject = TypeVar("_Subject")


def _hits(
    active: ActiveRule, check: Callable[[_Subject], Iterable[Hit]], subject: _Subject, place: Place | None
) -> Iterator[Hit]:
    """The hits on tables that the rule is to judge. A rule that fails is a hit too: one must not end lint."""
    try:
        for hit in check(subject):
            if active.judges(hit.relation):
                yield hit
    except Exception as error:
        yield Hit(
            place=place,
            severity="error",
            subject="failed",
            message=f"{FAILED}: {type(error).__name__}: {error}",
            effect="Whether this is safe is not known.",
            hint="report it together with the SQL; `severity: off` in the settings switches the rule off",
        )


def _with_options(subject: StatementSubject, options: Mapping[str, Any]) -> StatementSubject:
    """The subject for a rule with options; what was worked out for it stays worked out."""
    if not options:
        return subject
    own = copy.copy(subject)
    object.__setattr__(own, "options", options)
    return own


def _by_kind(actives: Iterable[ActiveRule]) -> Mapping[str, Sequence[ActiveRule]]:
    by_kind: dict[str, list[ActiveRule]] = {}
    for active in actives:
        if isinstance(active.rule, StatementRule):
            for kind in active.rule.kinds:
                by_kind.setdefault(kind, []).append(active)
    return by_kind


def judge_schema(
    actives: Iterable[ActiveRule], catalog: Catalog, misfits: Sequence[CatalogIssue], surroundings: Surroundings
) -> Iterator[Judged]:
    """What the schema rules find in a catalog."""
    for active in actives:
        if isinstance(active.rule, SchemaRule):
            subject = SchemaSubject(
                catalog=catalog, surroundings=surroundings, options=active.options, misfits=tuple(misfits)
            )
            for hit in _hits(active, active.rule.check, subject, None):
                yield Judged(active=active, hit=hit)


def together(files: Catalog, migrations: Catalog) -> Catalog:
    """The schema of the files, and what only the migrations make. Where both know an object, the files do.

    Temporary tables are gone when their migration ends.
    """
    lasting = {name: table for name, table in migrations.tables.items() if table.persistence != "temporary"}
    return replace(
        files,
        schemas={**migrations.schemas, **files.schemas},
        tables={**lasting, **files.tables},
        views={**migrations.views, **files.views},
        sequences={**migrations.sequences, **files.sequences},
        types={**migrations.types, **files.types},
        functions={**migrations.functions, **files.functions},
        grants={*migrations.grants, *files.grants},
        extensions={**migrations.extensions, **files.extensions},
        index_owners={**migrations.index_owners, **files.index_owners},
        dependents=_united(files.dependents or {}, migrations.dependents or {}),
    )


def _united(one: Mapping[Name, Collection[Name]], other: Mapping[Name, Collection[Name]]) -> Mapping[Name, set[Name]]:
    return {name: {*one.get(name, ()), *other.get(name, ())} for name in one.keys() | other.keys()}
