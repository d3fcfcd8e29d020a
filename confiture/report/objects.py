"""JSON objects that several documents and events share. docs/json.md describes them.

Their keys are a wire form: each stands here as it is written, and does not follow the names of classes and fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from confiture.errors import Diagnostic
from confiture.lint.fingerprints import fingerprint_v1, fingerprint_v2
from confiture.models.events import Waiter
from confiture.models.findings import Finding
from confiture.models.isolation import IsolationProof, Leak, ProvedStatement
from confiture.models.plan import StepId
from confiture.models.reconciling import Difference, Differences, Reconciled
from confiture.models.trace import Estimate, LockTrace, RunWarning, StatementTrace, TableRows, TableScan
from confiture.text import excerpt_part


def step_object(step: StepId) -> dict[str, Any]:
    """A step of a run."""
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


def waiter_object(waiter: Waiter) -> dict[str, Any]:
    """A session that waits, or waited, for a lock of a migration."""
    return {
        "pid": waiter.pid,
        "usename": waiter.usename,
        "application_name": waiter.application_name,
        "query": waiter.query,
        "mode": waiter.mode,
        "target": waiter.target,
        "waited_ms": rounded(waiter.waited_ms),
    }


def proved_object(one: ProvedStatement) -> dict[str, Any]:
    """Whether a statement keeps tenants apart, by proof."""
    return {
        "migration": one.step.version,
        "phase": one.step.phase.value,
        "number": one.step.number,
        "name": one.step.name,
        "file": one.span.path,
        "line": one.span.line,
        "target": one.target,
        **proof_object(one.proof),
    }


def warning_object(warning: RunWarning) -> dict[str, Any]:
    """A warning of a dry run."""
    return {
        "code": warning.code,
        "message": warning.message,
        "hint": warning.hint,
        "rule": warning.rule,
        "remedy": warning.remedy,
        "table": warning.table,
        "measured_ms": rounded(warning.measured_ms),
        "file": warning.span.path if warning.span else None,
        "line": warning.span.line if warning.span else None,
    }


def lock_object(lock: LockTrace) -> dict[str, Any]:
    """A lock that a dry run saw."""
    return {
        "relation": lock.relation,
        "kind": lock.kind,
        "mode": lock.mode.value,
        "seen": not lock.by_text,
        "real_mode": lock.felt.value,
        "blocks": lock.felt.blocks.value,
        "taken_ms": rounded(lock.taken_ms),
        "held_ms": rounded(lock.held_ms),
    }


def statement_object(statement: StatementTrace) -> dict[str, Any]:
    """What a rehearsed statement was seen to do. Times are milliseconds."""
    return {
        "number": statement.number,
        "version": statement.step.version,
        "phase": statement.step.phase.value,
        "step": statement.step.name,
        "segment": statement.step.segment,
        "sql": statement.text,
        "instead_of": statement.instead_of,
        "started_ms": rounded(statement.started_ms),
        "execution_time_ms": rounded(statement.duration_ms),
        "waited_ms": rounded(statement.waited_ms),
        "rows": [_rows(rows) for rows in statement.rows],
        "locks": [lock_object(lock) for lock in statement.locks],
        "rewrites": list(statement.rewrites),
        "scans": [_scan(scan) for scan in statement.scans],
        "indexes_built": list(statement.indexes_built),
        "wal_bytes": statement.wal_bytes,
        "temp_bytes": statement.temp_bytes,
        "notices": list(statement.notices),
    }


def stats_object(stats: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a hook says of itself; values that JSON does not know, such as dates, as text."""
    plain: dict[str, Any] | None = json.loads(json.dumps(stats, default=str))
    return plain or None


def diagnostics_list(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Each mistake as an object."""
    return [diagnostic_object(diagnostic) for diagnostic in diagnostics]


def diagnostic_object(diagnostic: Diagnostic) -> dict[str, Any]:
    """A mistake; lines and columns count from 1."""
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
    """What lint found at one place."""
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


def rounded(milliseconds: float | None) -> float | None:
    """Milliseconds to the microsecond."""
    return None if milliseconds is None else round(milliseconds, 3)


def _rows(rows: TableRows) -> dict[str, Any]:
    return {"table": rows.table, "inserted": rows.inserted, "updated": rows.updated, "deleted": rows.deleted}


def _scan(scan: TableScan) -> dict[str, Any]:
    return {"table": scan.table, "scans": scan.scans, "rows": scan.rows, "rows_at_least": scan.rows_at_least}


def estimate_object(estimate: Estimate) -> dict[str, Any]:
    """How long the real run will take."""
    return {
        "production_ms": rounded(estimate.production_ms),
        "low_ms": rounded(estimate.low_ms),
        "high_ms": rounded(estimate.high_ms),
        "confidence_percent": rounded(estimate.confidence_percent),
        "level_percent": estimate.level_percent,
        "runs": estimate.runs,
        "scaled": estimate.scaled,
        "as_real": estimate.as_real,
    }


def proof_object(proof: IsolationProof) -> dict[str, Any]:
    """Whether a statement keeps tenants apart, by the data."""
    sample = proof.sample
    return {
        "standing": proof.standing.value,
        "reason": proof.reason,
        "hint": proof.hint,
        "sample": {"tenants": list(sample.tenants), "total": sample.total, "how": sample.how} if sample else None,
        "rows": proof.rows,
        "compared": list(proof.compared),
        "left_out": [{"column": column.column, "reason": column.reason} for column in proof.left_out],
        "proved": list(proof.proved),
        "leaks": [_leak(leak) for leak in proof.leaks],
        "duration_ms": rounded(proof.duration_ms),
    }


def _leak(leak: Leak) -> dict[str, Any]:
    return {
        "tenant": leak.tenant,
        "kind": leak.kind.value,
        "rows": leak.rows,
        "shown": [dict(values) for values in leak.shown],
    }


def reconciled_object(found: Reconciled) -> dict[str, Any]:
    """What comparing a table with its defining query found."""
    return {
        "table": found.table,
        "by": found.by,
        "key": list(found.key),
        "compared": list(found.compared),
        "as_text": list(found.as_text),
        "omitted": [{"column": column.column, "reason": column.reason} for column in found.omitted],
        "rows": found.rows,
        "expected_rows": found.expected_rows,
        "groups": found.groups,
        "hash": found.hash,
        "expected_hash": found.expected_hash,
        "differences": _differences(found.differences) if found.differences else None,
        "duration_ms": rounded(found.duration_ms),
        "equal": found.equal,
        "groups_differing": found.differing,
        "first_groups_differing": list(found.differing_groups),
    }


def _differences(differences: Differences) -> dict[str, Any]:
    return {
        "missing": differences.missing,
        "extra": differences.extra,
        "changed": differences.changed,
        "is_exact": differences.is_exact,
        "rows": [_difference(row) for row in differences.rows],
    }


def _difference(row: Difference) -> dict[str, Any]:
    return {
        "kind": row.kind.value,
        "key": dict(row.key),
        "expected": None if row.expected is None else dict(row.expected),
        "actual": None if row.actual is None else dict(row.actual),
    }
