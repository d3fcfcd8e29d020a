"""The rule classes: metadata, check function, and the examples that prove each claim.

Each rule is a module in `confiture.lint.rules` that defines `RULE`. The registry, `--explain`, the rule's page in
docs/rules, and its tests use this definition.
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
    """A rule's topic, used as a heading in the documentation.

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
    """A rule option in the settings. `kind` is the type of the value; `choices` are the allowed strings.

    Example::

        SchemaRule(options={"suffix": Option(description="The suffix of the names.", default="_tmp")}, ...)
    """

    description: str
    kind: type[str | int | bool | list[str]] = str
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


@record(frozen=True, kw_only=True, slots=True)
class ExpectedEffects:
    """The server effects of the bad example that the good example does not have.

    `locks` maps existing tables to lock modes, `scans` are the tables that are scanned completely, `rewrites` are the
    tables that are rewritten, and `error` is the example's SQLSTATE if it fails.

    Example::

        StatementRule(expected_effects=ExpectedEffects(locks={"w_orders": LockMode.SHARE}), ...)
    """

    locks: Mapping[str, LockMode] = field(default_factory=dict)
    scans: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    error: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Example:
    """SQL that demonstrates a rule. `before` creates the existing schema; each string in `sql` is a separate migration.

    `schema_files` is the SQL of the schema files, if they are not the SQL of the migrations. `options` are the rule's
    options, if it needs any. `versions` are the first and last PostgreSQL versions on which
    the example runs and has the expected effects (None means no last version).

    Example::

        Example(sql=("CREATE TABLE w_orders_tmp (id bigint PRIMARY KEY)",))
    """

    sql: tuple[str, ...]
    before: str = ""
    schema_files: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[int, int | None] = (14, None)
    is_template: bool = False
    """Whether `sql` is rendered as templates."""


@former_fields(place="location")
@record(frozen=True, kw_only=True, slots=True)
class Violation:
    """A rule violation. `message` describes the problem; `remedy` is the SQL to use instead.

    `relation` is the name of the affected table or other object; the patterns in the settings are matched against it.
    `effect`, `hint` and `severity` override the rule's values in special cases; a severity in the settings takes
    precedence.

    `subject` distinguishes a SchemaRule's violations on the same relation: it is the name of the column, index, or
    policy, and the kind of problem if there are several. The subject is part of fingerprints, so it must not depend on
    wording. `statement` is the SQL that a SchemaRule checked, such as a view's query.

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
    """A second location that the violation concerns.

    `--changed-since` shows the violation if either location changed.
    """


_FORMER = {
    "claims": "expected_effects",
    "effect": "impact",
    "hint": "fix_hint",
    "optional": "off_by_default",
}


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class Rule:
    """The base class for all rules.

    `summary` names the violation in one line, `impact` describes the effect in production, `fix_hint` says in the
    imperative what to do instead. A rule that is `off_by_default` runs only if the settings name it. `aliases` are
    former names, oldest first. Settings, ignore comments, options, and baselines can still use former names.

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
        """The oldest name. Fingerprints use it, because it does not change when the rule is renamed."""
        return self.aliases[0] if self.aliases else self.name


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class SchemaRule(Rule):
    """A rule that checks a catalog from files or a database.

    Example::

        def check(context):
            for table in context.catalog.tables.values():
                if table.name.name.endswith("_tmp"):
                    name = str(table.name)
                    yield Violation(location=table.location, relation=name, message=f"{name} is temporary")

        RULE = SchemaRule(name="no_tmp_tables", check=check, ...)
    """

    check: Callable[[SchemaContext], Iterable[Violation]]


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class StatementRule(Rule):
    """A rule that checks migration statements.

    `kinds` are the parse tree names of the statements to check, such as `index_stmt`.

    Example::

        def check(context):
            if not context.node.idxname:
                yield Violation(location=context.location, message="the index has no name")

        RULE = StatementRule(name="nameless_index", kinds=frozenset({"index_stmt"}), check=check, ...)
    """

    kinds: frozenset[str]
    check: Callable[[StatementContext], Iterable[Violation]]


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class IgnoreCommentRule(Rule):
    """A rule about ignore comments. The engine compares these comments with the findings of all other rules."""


@former_fields(**_FORMER)
@record(frozen=True, kw_only=True, slots=True)
class SchemaFilesRule(Rule):
    """A rule about the schema files. The engine compares these files with the schema after the last migration."""
