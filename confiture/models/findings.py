"""What lint found."""

from __future__ import annotations

from dataclasses import field

from confiture.errors import Span
from confiture.models.records import record
from confiture.models.settings import Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first."""


@record(frozen=True, kw_only=True, slots=True)
class Edit:
    """A sure fix: the text from `start` to `end` (characters of the file, from 0) becomes `text`."""

    path: str
    start: int
    end: int
    text: str


@record(frozen=True, kw_only=True, slots=True)
class Finding:
    """One place where a rule is broken.

    `message` says what is wrong here, `effect` what happens in production, `hint` what to do instead in words and
    `remedy` the same as SQL ready to paste. `span` is None for what was found in a live database. `relation` is the
    table, or other object, that it is about; `migration` the version of the migration that would run it. `lines` are
    the first and the last line of the statement, None where the finding is about no statement.

    `subject` tells apart findings of one rule about one relation: the column, index or policy. `stable_rule` is the
    name of the rule that does not change when the rule is renamed; None if that is `rule`.
    """

    rule: str
    severity: Severity
    message: str
    effect: str = ""
    hint: str = ""
    remedy: str | None = None
    span: Span | None = None
    excerpt: str | None = None
    relation: str | None = None
    subject: str | None = None
    statement: str | None = None
    migration: str | None = None
    lines: tuple[int, int] | None = field(default=None, compare=False)
    edits: tuple[Edit, ...] = field(default=(), compare=False)
    stable_rule: str | None = field(default=None, compare=False)
    also_at: Span | None = field(default=None, compare=False)
    """Another location that the finding is about, such as that of the first of two definitions."""


@record(frozen=True, kw_only=True, slots=True)
class LintReport:
    """All that was found, by file and line, and how much was read.

    `suppressed` counts what ignore comments took away, `known` what the baseline did. `notes` are sentences about what
    was not read.
    """

    findings: tuple[Finding, ...]
    files: int = 0
    statements: int = 0
    tables: int = 0
    rules: int = 0
    suppressed: int = 0
    known: int = 0
    notes: tuple[str, ...] = ()
    source: str = "files"
    """`files`, or the label of the database that was read."""
