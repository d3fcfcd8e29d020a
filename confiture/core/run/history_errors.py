"""Failures to write the history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from confiture.core.db.errors import StepFailed, db_error_diagnostic


@contextmanager
def history_errors_translated() -> Iterator[None]:
    """Report a failure to write the history differently from a failed commit."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        diagnostic = db_error_diagnostic(error, "another run has already recorded this migration")
        raise StepFailed(diagnostic, error.sqlstate) from error
    except psycopg.Error as error:
        raise StepFailed(db_error_diagnostic(error, "the history cannot be written"), error.sqlstate) from error
