"""The findings of lint."""

from __future__ import annotations

from dataclasses import field

from confiture.errors import Span
from confiture.models.records import record
from confiture.models.settings import Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The severities, the worst first."""


@record(frozen=True, kw_only=True, slots=True)
class Edit:
    """A safe fix: replace the text from `start` to `end` (characters of the file, from 0) by `text`."""

    path: str
    start: int
    end: int
    text: str


@record(frozen=True, kw_only=True, slots=True)
class Finding:
    """A violation of a rule at one place.

    `message` is what is wrong, `effect` what happens in production, `hint` what to do instead, and `remedy` the same as
    SQL ready to paste. `span` is None for findings in a live database. `relation` is the table or other object
    concerned; `migration` is the version of the migration that would run the statement. `lines` are the first and the
    last line of the statement, None if the finding is not about a statement.

    `subject` distinguishes findings of one rule about one relation: the column, index or policy. `stable_rule` is the
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
    """All findings, by file and line, and the amount of input.

    `suppressed` counts the findings that ignore comments removed, `known` those that the baseline removed. `notes` are
    sentences about what was not read.
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
