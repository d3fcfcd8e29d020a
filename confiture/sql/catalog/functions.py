"""Functions and procedures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.catalog import Function, QualifiedName, Signature
from confiture.models.records import replace
from confiture.sql.catalog.schemas import can_have_unknown_functions
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import format_argument_type
from confiture.sql.parse_tree import (
    format_expression,
    format_statement,
    pb,
    quote_identifier,
    schema_and_name,
    strings,
)

_INPUT_MODES = frozenset({pb.FUNC_PARAM_IN, pb.FUNC_PARAM_INOUT, pb.FUNC_PARAM_VARIADIC, pb.FUNC_PARAM_DEFAULT})
_LIST_SETTINGS = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})


def create_function(state: CatalogState, node: Any) -> None:
    """Apply CREATE FUNCTION and CREATE PROCEDURE."""
    schema, text = schema_and_name(node.funcname)
    name = QualifiedName(schema or state.names.creation_schema, text)
    state.names.require_schema(name.schema)
    parameters = [one.function_parameter for one in node.parameters]
    arguments = tuple(format_argument_type(state, one.arg_type) for one in parameters if one.mode in _INPUT_MODES)
    signature = Signature(name, arguments)
    old = state.functions.all.get(signature)
    if old and not node.replace:
        state.issues.report_duplicate("function", signature, old.location)
        return
    returns = None if node.is_procedure else _result_text(state, node, parameters)
    function = Function(
        signature=signature,
        returns=returns,
        language="",
        body=_sql_body(node.sql_body),
        public_execute=old.public_execute if old else True,
        comment=old.comment if old else None,
        location=state.issues.location(-1),
    )
    function = _apply_options(state, function, node.options)
    if not function.language:
        function = replace(function, language="sql")
    state.functions.put(function)
    state.functions.add_types(function)
    if not old:
        state.grants.grant_defaults("function", name, format_function(signature))


def _sql_body(node: Any) -> str | None:
    """Return the text of an SQL body that is not a string, that is, RETURN or BEGIN ATOMIC."""
    kind = node.WhichOneof("node")
    if kind is None:
        return None
    if kind != "list":
        return f"RETURN {format_expression(node.return_stmt.returnval)}"
    parts = [item for group in node.list.items for item in group.list.items]
    texts = [format_statement(one.WhichOneof("node"), getattr(one, one.WhichOneof("node"))) for one in parts]
    return "BEGIN ATOMIC " + "".join(f"{text}; " for text in texts) + "END"


def _result_text(state: CatalogState, node: Any, parameters: Sequence[Any]) -> str:
    """Return the result type as `pg_get_function_result` formats it."""
    table = [one for one in parameters if one.mode == pb.FUNC_PARAM_TABLE]
    if table:
        columns = (f"{quote_identifier(one.name)} {format_argument_type(state, one.arg_type)}" for one in table)
        return f"TABLE({', '.join(columns)})"
    if node.HasField("return_type"):
        return "SETOF " * bool(node.return_type.setof) + format_argument_type(state, node.return_type)
    out = [one for one in parameters if one.mode in (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_INOUT)]
    return format_argument_type(state, out[0].arg_type) if len(out) == 1 else "record" if out else "void"


def _apply_options(state: CatalogState, function: Function, options: Any) -> Function:
    changes: dict[str, Any] = {}
    settings = dict(function.settings)
    for item in options:
        name, value = item.def_elem.defname, item.def_elem.arg
        if name == "language":
            changes["language"] = value.string.sval.lower()
        elif name == "volatility":
            changes["volatility"] = value.string.sval
        elif name == "security":
            changes["security_definer"] = value.boolean.boolval
        elif name == "as":
            changes["body"] = strings(value.list.items)[0]
        elif name == "set":
            _apply_setting(state, settings, value.variable_set_stmt)
    return replace(function, settings=settings, **changes)


def _apply_setting(state: CatalogState, settings: dict[str, str], node: Any) -> None:
    if node.kind == pb.VAR_RESET_ALL:
        settings.clear()
    elif node.kind in (pb.VAR_RESET, pb.VAR_SET_DEFAULT):
        settings.pop(node.name, None)
    elif node.kind == pb.VAR_SET_CURRENT:
        settings[node.name] = (
            ", ".join(quote_identifier(one) for one in state.search_path) if node.name == "search_path" else ""
        )
    else:
        values = [_setting_text(one) for one in node.args]
        settings[node.name] = ", ".join(quote_identifier(one) if node.name in _LIST_SETTINGS else one for one in values)


def _setting_text(node: Any) -> str:
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return _setting_text(node.type_cast.arg)
    if kind != "a_const":
        return ""
    value = node.a_const.WhichOneof("val")
    if value == "ival":
        return str(node.a_const.ival.ival)
    return str(node.a_const.fval.fval if value == "fval" else node.a_const.sval.sval)


def alter_function(state: CatalogState, node: Any) -> None:
    """Apply ALTER FUNCTION and ALTER PROCEDURE: settings, volatility, and security."""
    function = find_function(state, node.func)
    if function:
        state.functions.all[function.signature] = _apply_options(state, function, node.actions)


def find_function(state: CatalogState, node: Any, *, missing_ok: bool = False) -> Function | None:
    """Return the function that an ObjectWithArgs names; report the function if it does not exist."""
    signature = resolve_signature(state, node)
    function = state.functions.all.get(signature)
    if function is None and not missing_ok and not can_have_unknown_functions(state):
        schema = schema_and_name(node.objname)[0]
        if schema != "pg_catalog":
            state.issues.report_missing("function", signature if not node.args_unspecified else signature.name)
    return function


def resolve_signature(state: CatalogState, node: Any) -> Signature:
    """Look up the signature that an ObjectWithArgs names in the search path."""
    schema, text = schema_and_name(node.objname)
    if node.objfuncargs:
        parameters = [one.function_parameter for one in node.objfuncargs]
        arguments = tuple(format_argument_type(state, one.arg_type) for one in parameters if one.mode in _INPUT_MODES)
    else:
        arguments = tuple(format_argument_type(state, one.type_name) for one in node.objargs if one.WhichOneof("node"))
    candidates = [QualifiedName(one, text) for one in ((schema,) if schema else state.search_path)]
    for name in candidates:
        if node.args_unspecified:
            overloads = state.functions.overloads.get(name, set())
            if len(overloads) == 1:
                return next(iter(overloads))
        elif Signature(name, arguments) in state.functions.all:
            return Signature(name, arguments)
    return Signature(candidates[0] if candidates else QualifiedName(state.names.creation_schema, text), arguments)


def rename_function(state: CatalogState, function: Function, new: QualifiedName) -> None:
    """Change a function's name or schema, and update the triggers that call the function."""
    old = function.signature.name
    signature = Signature(new, function.signature.arguments)
    other = state.functions.all.get(signature)
    if other is function:
        return
    if other:
        state.issues.report_duplicate("function", signature, other.location)
        return
    state.functions.remove(function.signature)
    state.functions.put(replace(function, signature=signature))
    if function.signature.arguments:
        return
    tables = state.dependencies.trigger_tables.pop(old, set())
    state.dependencies.trigger_tables.setdefault(new, set()).update(tables)
    for name in tables:
        table = state.tables.get(name)
        if table:
            triggers = tuple(replace(one, function=new) if one.function == old else one for one in table.triggers)
            state.tables[name] = replace(table, triggers=triggers)


def rename_argument_type(state: CatalogState, before: str, after: str) -> None:
    """Rename a type in function arguments and results."""
    spellings = {before: after, f"{before}[]": f"{after}[]", f"SETOF {before}": f"SETOF {after}"}
    if before not in state.functions.types:
        return
    state.functions.types.add(after)
    for function in list(state.functions.all.values()):
        old = function.signature
        signature = Signature(old.name, tuple(spellings.get(one, one) for one in old.arguments))
        returns = function.returns and spellings.get(function.returns, function.returns)
        if signature != old or returns != function.returns:
            state.functions.remove(old)
            state.functions.put(replace(function, signature=signature, returns=returns))
            state.grants.move("function", format_function(old), format_function(signature))


def format_function(signature: Signature) -> str:
    """Format a function like `regprocedure`."""
    return f"{signature.name}({','.join(signature.arguments)})"
