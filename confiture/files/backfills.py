"""The steps `backfill:` and `reconcile:`: what they may hold, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confiture.files.containers import Fields, Key, ListOf, MapOf, Record
from confiture.files.passages import Passage
from confiture.files.shapes import Choice, Count, Duration, Size
from confiture.models.migration import BackfillStep, OnWrites, ReconcileStep, Throttle

_NAMES = ListOf(Passage(), single=True)

_THROTTLE = Record(
    {
        "replica_lag": Key(
            shape=Duration(), description="The longest lag of a streaming replica; 0: never mind.", default="10s"
        ),
        "wal_rate": Key(shape=Size(), description="The most WAL that the server may write in a second."),
        "long_transaction": Key(shape=Duration(), description="The longest that others' transactions may be open."),
        "query": Key(shape=Passage(), description="A query of yours that returns true where the backfill may go on."),
    },
    noun="key of throttle",
)

BACKFILL = Record(
    {
        "into": Key(shape=Passage(), description="The table that is filled.", required=True),
        "from": Key(shape=Passage(), description="The driving table, which is read in batches.", required=True),
        "alias": Key(shape=Passage(), description="What the query calls it; default: its name."),
        "key": Key(
            shape=_NAMES, description="The columns to batch by, NOT NULL and with an index; default: its primary key."
        ),
        "batch_rows": Key(shape=Count(), description="The rows of the first batch.", default=10_000),
        "batch_time": Key(shape=Duration(), description="The time that a batch should take.", default="1s"),
        "workers": Key(shape=Count(least=1), description="How many batches run at the same time.", default=1),
        "on_writes": Key(
            shape=Choice(tuple(OnWrites)),
            description="capture: fill again what others write meanwhile; ignore: nobody writes.",
            default=OnWrites.CAPTURE.value,
        ),
        "sql": Key(
            shape=Passage(), description="The INSERT, UPDATE or DELETE; WHERE {{ batch }} limits it.", required=True
        ),
        "captures": Key(
            shape=MapOf(_NAMES), description="For other tables that it reads: which of their columns hold the key."
        ),
        "throttle": Key(shape=_THROTTLE, description="When to slow down for others."),
    },
    noun="key of backfill",
)

RECONCILE = Record(
    {
        "table": Key(shape=Passage(), description="The table to prove.", required=True),
        "sql": Key(shape=Passage(), description="The query that defines what it must hold.", required=True),
        "key": Key(shape=_NAMES, description="The columns that tell its rows apart; default: its primary key."),
        "by": Key(shape=Passage(), description="The column to compare by first; default: the tenant's."),
    },
    noun="key of reconcile",
)


def backfill_step(fields: Fields, common: Mapping[str, Any]) -> BackfillStep:
    """The step; `common` is what all kinds of steps have."""
    throttle = fields.get("throttle")
    return BackfillStep(
        sql=fields["sql"],
        into=fields["into"],
        source=fields["from"],
        alias=fields.get("alias"),
        key=tuple(fields.get("key", ())),
        batch_rows=fields.get("batch_rows", 10_000),
        batch_time_ms=fields.get("batch_time", 1_000),
        workers=fields.get("workers", 1),
        on_writes=OnWrites(fields.get("on_writes", OnWrites.CAPTURE)),
        captures={table: tuple(columns) for table, columns in fields.get("captures", {}).items()},
        throttle=_throttle(throttle) if throttle else Throttle(),
        **common,
    )


def _throttle(fields: Fields) -> Throttle:
    return Throttle(
        replica_lag_ms=fields.get("replica_lag", 10_000) or None,
        wal_bytes_per_s=fields.get("wal_rate") or None,
        long_transaction_ms=fields.get("long_transaction") or None,
        query=fields.get("query"),
    )


def reconcile_step(fields: Fields, common: Mapping[str, Any]) -> ReconcileStep:
    """The step; `common` is what all kinds of steps have."""
    return ReconcileStep(
        sql=fields["sql"],
        table=fields["table"],
        key=tuple(fields.get("key", ())),
        by=fields.get("by"),
        **common,
    )
