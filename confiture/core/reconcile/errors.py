"""What is raised where a table cannot be held against its defining query at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from confiture.core.db.errors import statement_diagnostic
from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep

UNDEFINED_TABLE, UNDEFINED_COLUMN, CANNOT_COERCE = "42P01", "42703", "42846"


class NotComparable(Exception):
    """It cannot be compared; `sqlstate` is PostgreSQL's, or the one that it would give."""

    def __init__(self, diagnostic: Diagnostic, sqlstate: str | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.sqlstate = sqlstate


def not_comparable(
    step: PlannedStep, code: str, message: str, hint: str, *, sqlstate: str | None = None, offset: int | None = None
) -> NotComparable:
    """A refusal, told at the step's query; `offset` is a character of its rendered text."""
    at = step.statements[0].offset if offset is None else offset
    return NotComparable(step.rendered.diagnostic(at, code, message, hint=hint), sqlstate)


@contextmanager
def translate_errors(step: PlannedStep, sent_sql: str) -> Iterator[None]:
    """Tells errors of PostgreSQL at their place in the step's query, which is somewhere within what was sent."""
    try:
        yield
    except psycopg.Error as error:
        statement = step.statements[0]
        start = sent_sql.find(statement.text)
        position = int(error.diag.statement_position or 0) - 1
        is_ours = start < 0 or not start <= position <= start + len(statement.text)
        # what is wrong with our own part has no place in the file
        prefix = len(sent_sql) + 1 if is_ours else start
        raise NotComparable(statement_diagnostic(error, statement, step.rendered, prefix), error.sqlstate) from error
