"""The schemas and the reading of the steps `backfill:` and `reconcile:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confiture.files.schema.containers import FieldValues, Key, ListOf, MapOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.types import Choice, Duration, NonNegativeInteger, Size
from confiture.models.migration import BackfillStep, OnConcurrentWrites, ReconcileStep, ThrottleLimits
from confiture.models.records import default_of

_NAMES = ListOf(LocatedText(), allows_single=True)

_THROTTLE = Record(
    {
        "replica_lag": Key(
            value_type=Duration(),
            description="The maximum lag of a streaming replica; 0 for no limit.",
            default=default_of(ThrottleLimits, "replica_lag_ms"),
        ),
        "wal_rate": Key(value_type=Size(), description="The maximum WAL volume per second on the whole server."),
        "long_transaction": Key(value_type=Duration(), description="The maximum age of other sessions' transactions."),
        "query": Key(
            value_type=LocatedText(), description="A custom query that returns true if the backfill may continue."
        ),
    },
    noun="throttle key",
)

BACKFILL = Record(
    {
        "into": Key(value_type=LocatedText(), description="The table to fill.", required=True),
        "from": Key(
            value_type=LocatedText(), description="The driving table, which is read in batches.", required=True
        ),
        "alias": Key(
            value_type=LocatedText(), description="The driving table's alias in the query; default: the table's name."
        ),
        "key": Key(
            value_type=_NAMES,
            description="The columns to batch by (NOT NULL and indexed); default: the primary key.",
        ),
        "batch_rows": Key(
            value_type=NonNegativeInteger(),
            description="The number of rows in the first batch.",
            default=default_of(BackfillStep, "batch_rows"),
        ),
        "batch_time": Key(
            value_type=Duration(),
            description="The target duration of a batch.",
            default=default_of(BackfillStep, "batch_time_ms"),
        ),
        "workers": Key(
            value_type=NonNegativeInteger(minimum=1),
            description="The number of parallel workers.",
            default=default_of(BackfillStep, "workers"),
        ),
        "on_writes": Key(
            value_type=Choice(tuple(OnConcurrentWrites)),
            description="capture: reprocess rows that other sessions change; ignore: no other session writes.",
            default=default_of(BackfillStep, "on_writes").value,
        ),
        "sql": Key(
            value_type=LocatedText(),
            description="The INSERT, UPDATE or DELETE; WHERE {{ batch }} limits it.",
            required=True,
        ),
        "captures": Key(
            value_type=MapOf(_NAMES), description="Each other table that the query reads, with its key columns."
        ),
        "throttle": Key(value_type=_THROTTLE, description="Limits above which the backfill slows down."),
    },
    noun="backfill key",
)

RECONCILE = Record(
    {
        "table": Key(value_type=LocatedText(), description="The table to compare.", required=True),
        "sql": Key(value_type=LocatedText(), description="The query that returns the expected rows.", required=True),
        "key": Key(value_type=_NAMES, description="The columns that identify a row; default: the primary key."),
        "by": Key(value_type=LocatedText(), description="The column to group by; default: the tenant column."),
    },
    noun="reconcile key",
)


def build_backfill_step(fields: FieldValues, common_fields: Mapping[str, Any]) -> BackfillStep:
    """Build the step; `common_fields` are the fields common to all kinds."""
    throttle = fields.get("throttle")
    return BackfillStep(
        sql=fields["sql"],
        into=fields["into"],
        source=fields["from"],
        alias=fields.get("alias"),
        key=tuple(fields.get("key", ())),
        batch_rows=fields.get("batch_rows"),
        batch_time_ms=fields.get("batch_time"),
        workers=fields.get("workers"),
        on_writes=OnConcurrentWrites(fields.get("on_writes")),
        captures={table: tuple(columns) for table, columns in fields.get("captures", {}).items()},
        throttle=_build_throttle_limits(throttle) if throttle else ThrottleLimits(),
        **common_fields,
    )


def _build_throttle_limits(fields: FieldValues) -> ThrottleLimits:
    return ThrottleLimits(
        replica_lag_ms=fields.get("replica_lag") or None,
        wal_bytes_per_s=fields.get("wal_rate") or None,
        long_transaction_ms=fields.get("long_transaction") or None,
        query=fields.get("query"),
    )


def build_reconcile_step(fields: FieldValues, common_fields: Mapping[str, Any]) -> ReconcileStep:
    """Build the step; `common_fields` are the fields common to all kinds."""
    return ReconcileStep(
        sql=fields["sql"],
        table=fields["table"],
        key=tuple(fields.get("key", ())),
        by=fields.get("by"),
        **common_fields,
    )
