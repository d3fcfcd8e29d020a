"""The results of tenant isolation proofs as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.tenancy_proofs import IsolationReport
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import proved_statement_object


def isolation_document(report: IsolationReport) -> dict[str, Any]:
    """Return the document for `confiture tenancy prove --format json`."""
    return with_schema_version("confiture.isolation") | {
        "environment": report.environment,
        "database": report.database,
        "column": report.column,
        "statements": [proved_statement_object(statement) for statement in report.statements],
    }
