"""Read the catalog of a live database in the same form as a catalog built from DDL files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.pq import TransactionStatus

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.catalog import (
    Catalog,
    CompositeType,
    Constraint,
    ConstraintKind,
    DomainType,
    EnumType,
    Function,
    Grant,
    Index,
    Persistence,
    Policy,
    QualifiedName,
    RangeType,
    Signature,
    Table,
    TableColumn,
    TableKind,
    Trigger,
    UserType,
    View,
    ViewQuery,
)
from confiture.models.catalog import (
    Sequence as SequenceObject,
)

Row = dict[str, Any]

_TABLES = {"r": TableKind.TABLE, "p": TableKind.PARTITIONED, "f": TableKind.FOREIGN}
_PERSISTENCE = {"p": Persistence.PERMANENT, "u": Persistence.UNLOGGED, "t": Persistence.TEMPORARY}
_CONSTRAINTS = {
    "p": ConstraintKind.PRIMARY_KEY,
    "u": ConstraintKind.UNIQUE,
    "f": ConstraintKind.FOREIGN_KEY,
    "c": ConstraintKind.CHECK,
    "x": ConstraintKind.EXCLUSION,
}
_ACTIONS = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}

# pg_trigger.tgtype, by catalog/pg_trigger.h
_FOR_EACH_ROW, _BEFORE, _INSTEAD = 1, 2, 64
_EVENTS = {"insert": 4, "update": 16, "delete": 8, "truncate": 32}


def read_catalog(connection: Connection) -> Catalog:
    """Return the database catalog, without objects that belong to extensions, the server or Confiture.

    Read from one snapshot, in the open transaction or in a new one. Raise psycopg.Error.
    """
    is_alone = connection.info.transaction_status is TransactionStatus.IDLE
    with connection.transaction(force_rollback=True):
        if is_alone:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL search_path = public")
        return _CatalogReader(connection).read()


def read_table_rows(connection: Connection) -> dict[QualifiedName, int]:
    """Return each table's row count as of its last VACUUM or ANALYZE. Tables that were never counted are omitted."""
    return {_qualified_name(row): row["rows"] for row in connection.execute(query("catalog_table_rows"))}


class _CatalogReader:
    """Reads the server's catalogs once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._relations = self._fetch("catalog_relations")
        self._names = {row["oid"]: _qualified_name(row) for row in self._relations}
        self._columns = self._fetch_by_relation("catalog_columns")
        self._indexes = self._fetch_by_relation("catalog_indexes")

    def read(self) -> Catalog:
        tables = {table.name: table for table in self._tables()}
        views = {view.name: view for view in self._views()}
        indexed: list[Table | View] = [*tables.values(), *views.values()]
        return Catalog(
            schemas={row["name"]: None for row in self._fetch("catalog_schemas")},
            tables=tables,
            views=views,
            sequences={sequence.name: sequence for sequence in self._sequences()},
            types={type_.name: type_ for type_ in map(_type, self._fetch("catalog_types"))},
            functions={function.signature: function for function in map(_function, self._fetch("catalog_functions"))},
            grants={Grant(**row) for row in self._fetch("catalog_grants")},
            extensions={row["name"]: None for row in self._fetch("catalog_extensions")},
            index_owners={
                QualifiedName(relation.name.schema, index.name): relation.name
                for relation in indexed
                for index in relation.indexes
            },
        )

    def _fetch(self, name: str) -> list[Row]:
        return self._connection.execute(query(name)).fetchall()

    def _fetch_by_relation(self, name: str) -> Mapping[int, Sequence[Row]]:
        grouped: dict[int, list[Row]] = defaultdict(list)
        for row in self._connection.execute(query(name), {"relations": list(self._names)}):
            grouped[row["relation"]].append(row)
        return grouped

    def _tables(self) -> Iterable[Table]:
        constraints = self._fetch_by_relation("catalog_constraints")
        policies = self._fetch_by_relation("catalog_policies")
        triggers = self._fetch_by_relation("catalog_triggers")
        for row in self._relations:
            if row["kind"] in _TABLES:
                oid = row["oid"]
                yield Table(
                    name=_qualified_name(row),
                    kind=_TABLES[row["kind"]],
                    columns=tuple(map(_column, self._columns.get(oid, ()))),
                    constraints=tuple(map(self._constraint, constraints.get(oid, ()))),
                    indexes=tuple(map(_index, self._indexes.get(oid, ()))),
                    persistence=_PERSISTENCE[row["persistence"]],
                    parents=self._known_names(row["parents"]),
                    partition_key=row["partition_key"],
                    partition_bound=row["partition_bound"],
                    row_security=row["row_security"],
                    force_row_security=row["force_row_security"],
                    replica_identity=row["replica_identity"],
                    policies=tuple(map(_policy, policies.get(oid, ()))),
                    triggers=tuple(map(_trigger, triggers.get(oid, ()))),
                    comment=row["comment"],
                )

    def _views(self) -> Iterable[View]:
        for row in self._relations:
            if row["kind"] in ("v", "m"):
                yield View(
                    name=_qualified_name(row),
                    query=ViewQuery(row["query"].rstrip().removesuffix(";")),
                    columns=tuple(column["name"] for column in self._columns.get(row["oid"], ())),
                    relations=self._known_names(row["reads"]),
                    materialized=row["kind"] == "m",
                    security_invoker=row["security_invoker"],
                    indexes=tuple(map(_index, self._indexes.get(row["oid"], ()))),
                    comment=row["comment"],
                )

    def _sequences(self) -> Iterable[SequenceObject]:
        for row in self._relations:
            if row["kind"] == "S":
                owner = row["owner"] and (self._names[int(row["owner"][0])], row["owner"][1])
                yield SequenceObject(name=_qualified_name(row), owner=owner)

    def _constraint(self, row: Row) -> Constraint:
        return Constraint(
            name=row["name"],
            kind=_CONSTRAINTS[row["kind"]],
            columns=tuple(row["columns"]),
            expression=row["expression"],
            target=self._names.get(row["target"]),
            target_columns=tuple(row["target_columns"]),
            on_update=_ACTIONS.get(row["on_update"], "no action"),
            on_delete=_ACTIONS.get(row["on_delete"], "no action"),
            validated=row["validated"],
            deferrable=row["deferrable"],
            comment=row["comment"],
        )

    def _known_names(self, oids: Iterable[int]) -> tuple[QualifiedName, ...]:
        return tuple(self._names[oid] for oid in oids if oid in self._names)


def _qualified_name(row: Row) -> QualifiedName:
    return QualifiedName(row["schema"], row["name"])


def _column(row: Row) -> TableColumn:
    return TableColumn(**{key: value for key, value in row.items() if key != "relation"})


def _index(row: Row) -> Index:
    return Index(
        name=row["name"],
        method=row["method"],
        columns=tuple(row["columns"][: row["keys"]]),
        expressions=tuple(row["expressions"]),
        include_columns=tuple(row["columns"][row["keys"] :]),
        key_options=tuple(row["key_options"]) if any(row["key_options"]) else (),
        unique=row["unique"],
        nulls_not_distinct=row["nulls_not_distinct"],
        predicate=row["predicate"],
        valid=row["valid"],
        constraint=row["constraint"],
        comment=row["comment"],
    )


def _policy(row: Row) -> Policy:
    return Policy(
        name=row["name"],
        command=row["command"],
        permissive=row["permissive"],
        roles=tuple(row["roles"]),
        using=row["using"],
        with_check=row["with_check"],
    )


def _trigger(row: Row) -> Trigger:
    bits = row["type"]
    return Trigger(
        name=row["name"],
        function=QualifiedName(row["function_schema"], row["function"]),
        timing="before" if bits & _BEFORE else "instead of" if bits & _INSTEAD else "after",
        events=tuple(event for event, bit in _EVENTS.items() if bits & bit),
        for_each_row=bool(bits & _FOR_EACH_ROW),
    )


def _type(row: Row) -> UserType:
    name = _qualified_name(row)
    if row["kind"] == "e":
        return EnumType(name=name, labels=tuple(row["labels"]))
    if row["kind"] == "c":
        return CompositeType(name=name, attributes=tuple((one, type_) for one, type_ in row["attributes"]))
    if row["kind"] == "r":
        return RangeType(name=name, subtype=row["subtype"])
    checks = tuple((one, expression, proven == "true") for one, expression, proven in row["checks"])
    return DomainType(name=name, type=row["base"], not_null=row["not_null"], default=row["default"], checks=checks)


def _function(row: Row) -> Function:
    return Function(
        signature=Signature(_qualified_name(row), tuple(row["arguments"])),
        returns=row["returns"],
        language=row["language"],
        volatility=row["volatility"],
        security_definer=row["security_definer"],
        settings=dict(setting.split("=", 1) for setting in row["settings"]),
        body=row["body"],
        public_execute=row["public_execute"],
        comment=row["comment"],
    )
