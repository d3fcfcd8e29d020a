"""JSON objects shared by several documents and events. docs/json.md describes them.

The keys are a wire format. They are literals in this module, independent of the Python names of classes and fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from confiture.errors import Diagnostic
from confiture.lint.fingerprints import fingerprint_v1, fingerprint_v2
from confiture.models.events import ServerMessage, Waiter
from confiture.models.findings import Finding
from confiture.models.plan import StepId
from confiture.models.reconcile_results import Difference, Differences, ReconcileResult
from confiture.models.tenancy_proofs import IsolationProof, ProvedStatement, TenantLeak
from confiture.models.trace import (
    DryRunWarning,
    Estimate,
    LockTrace,
    StatementMemory,
    StatementTrace,
    TableRows,
    TableScan,
)
from confiture.redaction import row_value, row_values
from confiture.text import excerpt_part


def step_object(step: StepId) -> dict[str, Any]:
    """Describe a step of a run."""
    return {
        "version": step.version,
        "phase": step.phase.value,
        "number": step.number,
        "part": step.part,
        "segment": step.segment,
        "name": step.name,
        "file": step.span.path,
        "line": step.span.line,
    }


def server_message_fields(message: ServerMessage) -> dict[str, Any]:
    """Describe a server message, without its step."""
    return {
        "severity": message.severity,
        "message": message.message,
        "detail": message.detail,
        "sqlstate": message.sqlstate,
    }


def waiter_object(waiter: Waiter) -> dict[str, Any]:
    """Describe a session that waits, or waited, for a migration's lock."""
    return {
        "pid": waiter.pid,
        "usename": waiter.usename,
        "application_name": waiter.application_name,
        "query": waiter.query,
        "mode": waiter.mode,
        "target": waiter.target,
        "waited_ms": round_to_microseconds(waiter.waited_ms),
    }


def proved_statement_object(statement: ProvedStatement) -> dict[str, Any]:
    """Describe a statement with its tenant isolation proof."""
    return {
        "migration": statement.step.version,
        "phase": statement.step.phase.value,
        "number": statement.step.number,
        "name": statement.step.name,
        "file": statement.span.path,
        "line": statement.span.line,
        "target": statement.target,
        **proof_object(statement.proof),
    }


def warning_object(warning: DryRunWarning) -> dict[str, Any]:
    """Describe a dry-run warning."""
    return {
        "code": warning.code,
        "message": warning.message,
        "hint": warning.hint,
        "rule": warning.rule,
        "remedy": warning.remedy,
        "table": warning.table,
        "measured_ms": round_to_microseconds(warning.measured_ms),
        "file": warning.span.path if warning.span else None,
        "line": warning.span.line if warning.span else None,
    }


def lock_object(lock: LockTrace) -> dict[str, Any]:
    """Describe a lock observed by a dry run."""
    return {
        "relation": lock.relation,
        "kind": lock.kind,
        "mode": lock.mode.value,
        "seen": not lock.is_inferred,
        "real_mode": lock.effective_mode.value,
        "blocks": lock.effective_mode.blocked_access.value,
        "taken_ms": round_to_microseconds(lock.acquired_ms),
        "held_ms": round_to_microseconds(lock.held_ms),
    }


def statement_object(statement: StatementTrace) -> dict[str, Any]:
    """Describe the observed effects of a dry-run statement. Times are in milliseconds."""
    return {
        "number": statement.number,
        "version": statement.step.version,
        "phase": statement.step.phase.value,
        "step": statement.step.name,
        "segment": statement.step.segment,
        "sql": statement.text,
        "instead_of": statement.original_sql,
        "started_ms": round_to_microseconds(statement.started_ms),
        "execution_time_ms": round_to_microseconds(statement.duration_ms),
        "waited_ms": round_to_microseconds(statement.waited_ms),
        "rows": [_rows_object(rows) for rows in statement.rows],
        "locks": [lock_object(lock) for lock in statement.locks],
        "rewrites": list(statement.rewrites),
        "scans": [_scan_object(scan) for scan in statement.scans],
        "indexes_built": list(statement.indexes_built),
        "wal_bytes": statement.wal_bytes,
        "temp_bytes": statement.temp_bytes,
        "temp_file_limit_bytes": statement.temp_file_limit_bytes,
        "memory": _memory_object(statement.memory),
        "notices": list(statement.notices),
    }


def stats_object(stats: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Describe a hook's statistics; values without a JSON type, such as dates, become strings."""
    plain: dict[str, Any] | None = json.loads(json.dumps(stats, default=str))
    return plain or None


def diagnostics_list(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Describe a list of diagnostics."""
    return [diagnostic_object(diagnostic) for diagnostic in diagnostics]


def diagnostic_object(diagnostic: Diagnostic) -> dict[str, Any]:
    """Describe a diagnostic; lines and columns start at 1."""
    return {
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": diagnostic.span.path if diagnostic.span else None,
        "line": diagnostic.span.line if diagnostic.span else None,
        "column": diagnostic.span.column if diagnostic.span else None,
        "excerpt": excerpt_part(diagnostic.excerpt, diagnostic.span.column if diagnostic.span else 1),
        "detail": list(diagnostic.detail),
        "hint": diagnostic.hint,
    }


def finding_object(finding: Finding) -> dict[str, Any]:
    """Describe a lint finding."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "message": finding.message,
        "effect": finding.effect,
        "hint": finding.hint,
        "remedy": finding.remedy,
        "file": finding.span.path if finding.span else None,
        "line": finding.span.line if finding.span else None,
        "column": finding.span.column if finding.span else None,
        "excerpt": excerpt_part(finding.excerpt, finding.span.column if finding.span else 1),
        "relation": finding.relation,
        "statement": finding.statement,
        "migration": finding.migration,
        "fixable": bool(finding.edits),
        "fingerprint": fingerprint_v1(finding),
        "fingerprint_v2": fingerprint_v2(finding),
    }


def round_to_microseconds(milliseconds: float | None) -> float | None:
    """Round milliseconds to whole microseconds; return None for None."""
    return None if milliseconds is None else round(milliseconds, 3)


def _rows_object(rows: TableRows) -> dict[str, Any]:
    return {"table": rows.table, "inserted": rows.inserted, "updated": rows.updated, "deleted": rows.deleted}


def _memory_object(memory: StatementMemory) -> dict[str, Any]:
    return {
        "peak_bytes": memory.peak_bytes,
        "at_least": memory.is_lower_bound,
        "limit_bytes": memory.limit_bytes,
        "workers": memory.workers,
    }


def _scan_object(scan: TableScan) -> dict[str, Any]:
    return {"table": scan.table, "scans": scan.scans, "rows": scan.rows, "rows_at_least": scan.is_lower_bound}


def estimate_object(estimate: Estimate) -> dict[str, Any]:
    """Describe the estimated duration of the real run."""
    return {
        "production_ms": round_to_microseconds(estimate.production_ms),
        "low_ms": round_to_microseconds(estimate.low_ms),
        "high_ms": round_to_microseconds(estimate.high_ms),
        "confidence_percent": round_to_microseconds(estimate.confidence_percent),
        "level_percent": estimate.level_percent,
        "runs": estimate.runs,
        "scaled": estimate.is_scaled,
        "as_real": estimate.is_representative,
    }


def proof_object(proof: IsolationProof) -> dict[str, Any]:
    """Describe a tenant isolation proof."""
    sample = proof.sample
    return {
        "standing": proof.verdict.value,
        "reason": proof.reason,
        "hint": proof.hint,
        "sample": {
            "tenants": [row_value(tenant) for tenant in sample.tenants],
            "total": sample.total,
            "how": sample.method,
        }
        if sample
        else None,
        "rows": proof.rows,
        "compared": list(proof.compared_columns),
        "left_out": [{"column": column.column, "reason": column.reason} for column in proof.skipped_columns],
        "proved": list(proof.proved_parts),
        "leaks": [_leak_object(leak) for leak in proof.leaks],
        "duration_ms": round_to_microseconds(proof.duration_ms),
    }


def _leak_object(leak: TenantLeak) -> dict[str, Any]:
    return {
        "tenant": row_value(leak.tenant),
        "kind": leak.kind.value,
        "rows": leak.rows,
        "shown": [row_values(values) for values in leak.first_rows],
    }


def reconcile_result_object(result: ReconcileResult) -> dict[str, Any]:
    """Describe the result of comparing a table with its defining query."""
    return {
        "table": result.table,
        "by": result.by,
        "key": list(result.key),
        "compared": list(result.compared_columns),
        "as_text": list(result.columns_compared_as_text),
        "omitted": [{"column": column.column, "reason": column.reason} for column in result.skipped_columns],
        "rows": result.rows,
        "expected_rows": result.expected_rows,
        "groups": result.groups,
        "hash": result.hash,
        "expected_hash": result.expected_hash,
        "differences": _differences_object(result.differences) if result.differences else None,
        "duration_ms": round_to_microseconds(result.duration_ms),
        "equal": result.is_equal,
        "groups_differing": result.differing_group_count,
        "first_groups_differing": [row_value(group) for group in result.differing_groups],
    }


def _differences_object(differences: Differences) -> dict[str, Any]:
    return {
        "missing": differences.missing,
        "extra": differences.extra,
        "changed": differences.changed,
        "is_exact": differences.is_exact,
        "rows": [_difference_object(row) for row in differences.rows],
    }


def _difference_object(row: Difference) -> dict[str, Any]:
    return {
        "kind": row.kind.value,
        "key": row_values(row.key),
        "expected": None if row.expected is None else row_values(row.expected),
        "actual": None if row.actual is None else row_values(row.actual),
    }
