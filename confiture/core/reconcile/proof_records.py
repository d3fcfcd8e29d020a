"""Store the proofs from reconcile steps. They are committed together with the segment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from psycopg.types.json import Jsonb

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.history import HistoryKey
from confiture.models.reconcile_results import Differences, ReconcileResult


class ProofRecord(Protocol):
    """A completed step."""

    @property
    def phase(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def proof(self) -> ReconcileResult | None: ...


def record_proofs(
    connection: Connection,
    history: HistoryKey,
    attempt: str,
    version: str,
    segment: int,
    records: Iterable[ProofRecord],
) -> None:
    """Insert the proofs for a segment's steps. The history tables must exist."""
    for record in records:
        if record.proof is not None:
            location = {**history.parameters, "attempt": attempt, "version": version, "segment": segment}
            step = {"phase": record.phase, "number": record.number, "step": record.name}
            connection.execute(query("record_reconciliation"), location | step | _proof_parameters(record.proof))


def _proof_parameters(proof: ReconcileResult) -> dict[str, object]:
    return {
        "table": proof.table,
        "rows": proof.rows,
        "groups": proof.groups,
        "by": proof.by,
        "hash": proof.hash,
        "compared": list(proof.compared_columns),
        "not_compared": Jsonb({omitted.column: omitted.reason for omitted in proof.skipped_columns}),
        "outcome": "equal" if proof.is_equal else "different",
        "differences": Jsonb(_differences_json(proof.differences)) if proof.differences else None,
        "duration_ms": proof.duration_ms,
    }


def _differences_json(differences: Differences) -> dict[str, Any]:
    """Return the value of `differences`. The keys must not change: rows from many Confiture versions share them."""
    return {
        "missing": differences.missing,
        "extra": differences.extra,
        "changed": differences.changed,
        "is_exact": differences.is_exact,
        "rows": [
            {"kind": row.kind.value, "key": row.key, "expected": row.expected, "actual": row.actual}
            for row in differences.rows
        ],
    }
