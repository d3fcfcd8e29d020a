"""Lint findings."""

from __future__ import annotations

from dataclasses import field

from confiture.errors import Span
from confiture.models.records import record
from confiture.models.settings import Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The severities, most severe first."""


@record(frozen=True, kw_only=True, slots=True)
class Edit:
    """A safe fix that replaces the text from `start` to `end` (character offsets in the file, from 0) with `text`."""

    path: str
    start: int
    end: int
    text: str


@record(frozen=True, kw_only=True, slots=True)
class Finding:
    """A rule violation at one location.

    `message` is the problem, `effect` is the effect in production, `hint` is the recommended action, and `remedy` is
    the recommended SQL, ready to paste. `span` is None for findings in a live database. `relation` is the affected
    table or other object; `migration` is the version of the migration that would run the statement. `lines` are the
    first and the last line of the statement; None if the finding is not about a statement.

    `subject` distinguishes several findings by one rule for one relation: the column, index or policy. `stable_rule` is
    a rule name that does not change when the rule is renamed; None if that name is `rule`.
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
    """Another relevant location, such as the first of two conflicting definitions."""


@record(frozen=True, kw_only=True, slots=True)
class LintReport:
    """All findings, ordered by file and line, and the amount of input.

    `suppressed` is the number of findings that ignore comments suppress; `known` is the number of findings in the
    baseline. `notes` are sentences about input that was not read.
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
    before: str = "empty"
    """The origin of the schema before the first migration: `empty`, `files`, `revision` or `database`."""
    before_name: str = ""
    """The revision or the label of the database."""
