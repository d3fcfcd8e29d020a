"""Type names as formatted by PostgreSQL's `format_type`."""

from __future__ import annotations

from typing import Any

from confiture.sql.parse_tree import strings

ALIASES = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "varbit": "bit varying",
    "decimal": "numeric",
    "char": '"char"',
}
SERIALS = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}
BUILT_IN = frozenset(
    [
        "bit",
        "date",
        "text",
        "uuid",
        "json",
        "jsonb",
        "jsonpath",
        "xml",
        "bytea",
        "numeric",
        "money",
        "name",
        "oid",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
        "point",
        "line",
        "lseg",
        "box",
        "path",
        "polygon",
        "circle",
        "tsvector",
        "tsquery",
        "interval",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "int2vector",
        "oidvector",
        "regclass",
        "regproc",
        "regprocedure",
        "regoper",
        "regoperator",
        "regtype",
        "regrole",
        "regnamespace",
        "regconfig",
        "regdictionary",
        "regcollation",
        "pg_lsn",
        "pg_snapshot",
        "txid_snapshot",
        "xid",
        "xid8",
        "cid",
        "tid",
        "refcursor",
        "aclitem",
        "pg_node_tree",
        "gtsvector",
        "pg_ndistinct",
        "pg_dependencies",
        "pg_mcv_list",
        "int4range",
        "int8range",
        "numrange",
        "tsrange",
        "tstzrange",
        "daterange",
        "int4multirange",
        "int8multirange",
        "nummultirange",
        "tsmultirange",
        "tstzmultirange",
        "datemultirange",
        "record",
        "void",
        "trigger",
        "event_trigger",
        "any",
        "anyarray",
        "anyelement",
        "anynonarray",
        "anyenum",
        "anyrange",
        "anymultirange",
        "anycompatible",
        "anycompatiblearray",
        "anycompatiblenonarray",
        "anycompatiblerange",
        "anycompatiblemultirange",
        "cstring",
        "internal",
        "language_handler",
        "fdw_handler",
        "index_am_handler",
        "table_am_handler",
        "tsm_handler",
        "pg_ddl_command",
        "unknown",
    ]
) | frozenset(ALIASES)

_SYSTEM = ("pg_catalog",)
_INTERVAL_FIELDS = {
    4: "year",
    2: "month",
    8: "day",
    1024: "hour",
    2048: "minute",
    4096: "second",
    6: "year to month",
    1032: "day to hour",
    3080: "day to minute",
    7176: "day to second",
    3072: "hour to minute",
    7168: "hour to second",
    6144: "minute to second",
}
_TIME_TYPES = {
    "time": ("time", "without"),
    "timetz": ("time", "with"),
    "timestamp": ("timestamp", "without"),
    "timestamptz": ("timestamp", "with"),
}
_FORMATTED = {
    **{name: ALIASES.get(name, name) for name in BUILT_IN},
    **{name: f"{base} {zone} time zone" for name, (base, zone) in _TIME_TYPES.items()},
    "bpchar": "bpchar",
}


def built_in_type(type_name: Any, *, bare: bool = False) -> str | None:
    """Return the name of a built-in type, None for all other types; `bare` omits modifiers."""
    names = type_name.names
    if not names:
        return None
    name = names[-1].string.sval
    if name not in BUILT_IN or (len(names) > 1 and strings(names)[:-1] != _SYSTEM):
        return None
    text = strip_modifiers(name) if bare else format_with_modifiers(name, type_name.typmods)
    return f"{text}[]" if type_name.array_bounds else text


def is_serial(column: Any) -> bool:
    """Whether the type of a ColumnDef is serial, bigserial or smallserial."""
    parts = strings(column.type_name.names)
    return len(parts) == 1 and parts[0] in SERIALS


def strip_modifiers(name: str) -> str:
    """Strip modifiers from a built-in type, as in function signatures."""
    return "character" if name == "bpchar" else format_with_modifiers(name, ())


def format_with_modifiers(name: str, nodes: Any) -> str:
    """Format a built-in type with its modifiers, given the type's name in pg_type."""
    if not nodes and name in _FORMATTED:
        return _FORMATTED[name]
    modifiers = tuple([_format_modifier(node) for node in nodes])
    if name in _TIME_TYPES:
        base, zone = _TIME_TYPES[name]
        precision = f"({min(int(modifiers[0]), 6)})" if modifiers and modifiers[0].isdigit() else ""
        return f"{base}{precision} {zone} time zone"
    if name == "interval":
        return _format_interval(modifiers)
    if name == "bpchar" and not modifiers:
        return "bpchar"
    if name == "numeric" and len(modifiers) == 1:
        modifiers = (*modifiers, "0")
    type_text = ALIASES.get(name, name)
    return f"{type_text}({','.join(modifiers)})" if modifiers else type_text


def _format_interval(modifiers: tuple[str, ...]) -> str:
    fields = _INTERVAL_FIELDS.get(int(modifiers[0])) if modifiers and modifiers[0].isdigit() else None
    precision = f"({min(int(modifiers[1]), 6)})" if len(modifiers) > 1 and modifiers[1].isdigit() else ""
    return "interval" + (f" {fields}" if fields else "") + precision


def _format_modifier(node: Any) -> str:
    kind = node.WhichOneof("node")
    if kind == "a_const":
        value = node.a_const.WhichOneof("val")
        if value == "ival":
            return str(node.a_const.ival.ival)
        if value == "fval":
            return str(node.a_const.fval.fval)
        return str(node.a_const.sval.sval)
    if kind == "column_ref":
        return ".".join(strings(node.column_ref.fields))
    return "?"
