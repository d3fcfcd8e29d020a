"""What a rule is: its metadata, its function, and the examples that prove it.

Each rule is one file in `confiture.lint.rules` with a `RULE`. The registry, `--explain`, its page in docs/rules and
its tests come from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from confiture.models.findings import Edit
from confiture.models.former_names import former_fields
from confiture.models.records import record
from confiture.models.settings import Severity
from confiture.models.source import SourceLocation
from confiture.models.trace import LockMode

if TYPE_CHECKING:
    from confiture.lint.engine.context import SchemaContext, StatementContext


class Group(StrEnum):
    """What a rule is about; the headings of its documentation.

    Example::

        SchemaRule(name="no_tmp_tables", group=Group.SCHEMA, ...)
    """

    LOCKS = "Locks and rewrites"
    CONSTRAINTS = "Constraints"
    INDEXES = "Indexes"
    TYPES = "Types"
    DATA = "Data loss and compatibility"
    TRANSACTIONS = "Transactions"
    SCHEMA = "Schema"
    SECURITY = "Security"
    TENANCY = "Tenancy"
    COMMENTS = "Ignore comments"


@record(frozen=True, kw_only=True, slots=True)
class Option:
    """A key that a rule takes in the settings. `kind` is the type of its value, `choices` the texts that it may be.

    Example::

        SchemaRule(options={"suffix": Option(description="What the names end in.", default="_tmp")}, ...)
    """

    description: str
    kind: type[str | int | bool | list[str]] = str
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class ExpectedEffects:
    """What the bad example does on a server and the good one does not.

    `locks` are modes on tables that existed before, `scans` tables read from end to end, `rewrites` tables rewritten,
    `error` the SQLSTATE that ends it.

    Example::

        StatementRule(claims=Claims(locks={"w_orders": LockMode.SHARE}), ...)
    """

    locks: Mapping[str, LockMode] = field(default_factory=dict)
    scans: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    error: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Example:
    """SQL that shows a rule. `before` is what exists already; each text of `sql` is a migration of its own.

    `options` are those of the rule, for rules that need some. `versions` bounds the PostgreSQL versions on which it
    runs and shows what it claims: the first, and the last (None: all later ones).

    Example::

        Example(sql=("CREATE TABLE w_orders_tmp (id bigint PRIMARY KEY)",))
    """

    sql: tuple[str, ...]
    before: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[int, int | None] = (14, None)


@former_fields(place="location")
@record(frozen=True, kw_only=True, slots=True)
class Violation:
    """A place where a rule is broken. `message` says what is wrong here, `remedy` is SQL to paste instead.

    `relation` is the name of the table, or other object, that it is about: patterns of the settings are matched with
    it. `effect`, `hint` and `severity` replace the rule's own where the case is special; a severity that the settings
    give to the rule wins.

    `subject` tells apart violations of a SchemaRule on one relation: the name of the column, index or policy, and what
    is wrong if that can be several things. It is part of fingerprints, so it must not change with wordings.
    `statement` is the SQL that a SchemaRule judged, such as that of a view.

    Example::

        Violation(
            location=column.location,
            relation=str(table.name),
            subject=column.name,
            message=f"{table.name}.{column.name} is called temporary",
        )
    """

    location: SourceLocation | None
    message: str
    relation: str | None = None
    subject: str | None = None
    statement: str | None = None
    remedy: str | None = None
    effect: str | None = None
    hint: str | None = None
    severity: Severity | None = None
    edits: tuple[Edit, ...] = ()
    also_at: SourceLocation | None = None
    """Another location that the violation is about: `--changed-since` shows it if either of them changed."""


_FORMER = {
    "claims": "expected_effects",
    "effect": "impact",
    "hint": "fix_hint",
    "optional": "off_by_default",
}


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class Rule:
    """What all rules have.

    `summary` says in a line what it finds, `impact` in a sentence what happens in production, `fix_hint` what to do
    instead. A rule that is `off_by_default` is silent until the settings name it. `aliases` are former names, the
    oldest first: settings, ignore comments, options and baselines that use one mean this rule.

    Example::

        def rule_named(name: str, rules: Mapping[str, Rule]) -> Rule:
            return rules[name]
    """

    name: str
    group: Group
    severity: Severity
    summary: str
    impact: str
    fix_hint: str
    bad: Example
    good: Example
    expected_effects: ExpectedEffects = field(default_factory=ExpectedEffects)
    options: Mapping[str, Option] = field(default_factory=dict)
    off_by_default: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def stable_name(self) -> str:
        """The oldest of its names, which fingerprints use: it stays when the rule is renamed."""
        return self.aliases[0] if self.aliases else self.name


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class SchemaRule(Rule):
    """Judges a catalog, whether it was read from files or from a database.

    Example::

        def check(subject):
            for table in subject.catalog.tables.values():
                if table.name.name.endswith("_tmp"):
                    name = str(table.name)
                    yield Violation(location=table.location, relation=name, message=f"{name} is temporary")

        RULE = SchemaRule(name="no_tmp_tables", check=check, ...)
    """

    check: Callable[[SchemaContext], Iterable[Violation]]


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class StatementRule(Rule):
    """Judges each statement of a migration of the kinds in `kinds` (names of the parse tree, such as `index_stmt`).

    Example::

        def check(subject):
            if not subject.node.idxname:
                yield Hit(place=subject.place, message="the index has no name")

        RULE = StatementRule(name="nameless_index", kinds=frozenset({"index_stmt"}), check=check, ...)
    """

    kinds: frozenset[str]
    check: Callable[[StatementContext], Iterable[Violation]]


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class IgnoreCommentRule(Rule):
    """Judges ignore comments; the engine holds them against what all other rules found."""
