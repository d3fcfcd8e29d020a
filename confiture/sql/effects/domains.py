"""What ALTER DOMAIN locks and scans."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Domain, Name, Table
from confiture.models.trace import LockMode
from confiture.sql.effects.recording import Recorder
from confiture.sql.tree import definition, strings


def alter_domain(node: Any, recorder: Recorder) -> None:
    """ALTER DOMAIN: a stricter one reads every table that has a column of it."""
    kind, constraint = node.subtype, definition(node).constraint
    proves = kind in ("O", "V") or (kind == "C" and not constraint.skip_validation)
    if not proves:
        return
    names = strings(node.type_name)
    domain = next((recorder.catalog.types.get(Name(schema, names[-1])) for schema in _schemas(names, recorder)), None)
    if isinstance(domain, Domain):
        users = [table.name for table in recorder.catalog.tables.values() if _uses(table, domain)]
        recorder.lock(users, LockMode.SHARE)
        recorder.scan(users)


def _schemas(names: tuple[str, ...], recorder: Recorder) -> tuple[str, ...]:
    return (names[-2],) if len(names) > 1 else tuple(recorder.catalog.search_path)


def _uses(table: Table, domain: Domain) -> bool:
    return any(column.type == str(domain.name) for column in table.columns)
