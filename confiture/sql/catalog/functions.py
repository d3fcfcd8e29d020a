"""Functions and procedures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.catalog import Function, Name, Signature
from confiture.models.values import replace
from confiture.sql.catalog.resolving import bare_type, quoted
from confiture.sql.catalog.schemas import has_foreign_functions
from confiture.sql.catalog.work import Work
from confiture.sql.tree import expression_text, names, pb, statement_text, strings

_INPUTS = frozenset({pb.FUNC_PARAM_IN, pb.FUNC_PARAM_INOUT, pb.FUNC_PARAM_VARIADIC, pb.FUNC_PARAM_DEFAULT})
_LISTS = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})


def create_function(work: Work, node: Any) -> None:
    """CREATE FUNCTION and CREATE PROCEDURE."""
    schema, text = names(node.funcname)
    name = Name(schema or work.creation_schema, text)
    work.require_schema(name.schema)
    parameters = [one.function_parameter for one in node.parameters]
    arguments = tuple(bare_type(work, one.arg_type) for one in parameters if one.mode in _INPUTS)
    signature = Signature(name, arguments)
    old = work.functions.get(signature)
    if old and not node.replace:
        work.duplicate("function", signature, old.place)
        return
    returns = None if node.is_procedure else _returns(work, node, parameters)
    function = Function(
        signature=signature,
        returns=returns,
        language="",
        body=_body(node.sql_body),
        public_execute=old.public_execute if old else True,
        comment=old.comment if old else None,
        place=work.at(-1),
    )
    function = _with_options(work, function, node.options)
    if not function.language:
        function = replace(function, language="sql")
    work.functions[signature] = function
    work.function_types.update(one.removesuffix("[]").removeprefix("SETOF ") for one in (*arguments, returns or ""))
    work.overloads.setdefault(name, set()).add(signature)
    if not old:
        work.grant_defaults("function", name, function_text(signature))


def _body(node: Any) -> str | None:
    """The text of a body that is SQL, not a string: RETURN, or BEGIN ATOMIC."""
    kind = node.WhichOneof("node")
    if kind is None:
        return None
    if kind != "list":
        return f"RETURN {expression_text(node.return_stmt.returnval)}"
    parts = [item for group in node.list.items for item in group.list.items]
    texts = [statement_text(one.WhichOneof("node"), getattr(one, one.WhichOneof("node"))) for one in parts]
    return "BEGIN ATOMIC " + "".join(f"{text}; " for text in texts) + "END"


def _returns(work: Work, node: Any, parameters: Sequence[Any]) -> str:
    """The result as `pg_get_function_result` writes it."""
    table = [one for one in parameters if one.mode == pb.FUNC_PARAM_TABLE]
    if table:
        return f"TABLE({', '.join(f'{quoted(one.name)} {bare_type(work, one.arg_type)}' for one in table)})"
    if node.HasField("return_type"):
        return "SETOF " * bool(node.return_type.setof) + bare_type(work, node.return_type)
    out = [one for one in parameters if one.mode in (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_INOUT)]
    return bare_type(work, out[0].arg_type) if len(out) == 1 else "record" if out else "void"


def _with_options(work: Work, function: Function, options: Any) -> Function:
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
            _set(work, settings, value.variable_set_stmt)
    return replace(function, settings=settings, **changes)


def _set(work: Work, settings: dict[str, str], node: Any) -> None:
    if node.kind == pb.VAR_RESET_ALL:
        settings.clear()
    elif node.kind in (pb.VAR_RESET, pb.VAR_SET_DEFAULT):
        settings.pop(node.name, None)
    elif node.kind == pb.VAR_SET_CURRENT:
        settings[node.name] = ", ".join(quoted(one) for one in work.search_path) if node.name == "search_path" else ""
    else:
        values = [_setting(one) for one in node.args]
        settings[node.name] = ", ".join(quoted(one) if node.name in _LISTS else one for one in values)


def _setting(node: Any) -> str:
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return _setting(node.type_cast.arg)
    if kind != "a_const":
        return ""
    value = node.a_const.WhichOneof("val")
    if value == "ival":
        return str(node.a_const.ival.ival)
    return str(node.a_const.fval.fval if value == "fval" else node.a_const.sval.sval)


def alter_function(work: Work, node: Any) -> None:
    """ALTER FUNCTION and ALTER PROCEDURE: their settings, volatility and security."""
    function = function_of(work, node.func)
    if function:
        work.functions[function.signature] = _with_options(work, function, node.actions)


def function_of(work: Work, node: Any, *, missing_ok: bool = False) -> Function | None:
    """The function that an ObjectWithArgs means, noted as missing where there is none."""
    signature = signature_of(work, node)
    found = work.functions.get(signature)
    if found is None and not missing_ok and not has_foreign_functions(work):
        schema = names(node.objname)[0]
        if schema != "pg_catalog":
            work.missing("function", signature if not node.args_unspecified else signature.name)
    return found


def signature_of(work: Work, node: Any) -> Signature:
    """What an ObjectWithArgs names, found through the search path where it is there."""
    schema, text = names(node.objname)
    if node.objfuncargs:
        parameters = [one.function_parameter for one in node.objfuncargs]
        arguments = tuple(bare_type(work, one.arg_type) for one in parameters if one.mode in _INPUTS)
    else:
        arguments = tuple(bare_type(work, one.type_name) for one in node.objargs if one.WhichOneof("node"))
    candidates = [Name(one, text) for one in ((schema,) if schema else work.search_path)]
    for name in candidates:
        if node.args_unspecified:
            overloads = work.overloads.get(name, set())
            if len(overloads) == 1:
                return next(iter(overloads))
        elif Signature(name, arguments) in work.functions:
            return Signature(name, arguments)
    return Signature(candidates[0] if candidates else Name(work.creation_schema, text), arguments)


def remove_function(work: Work, signature: Signature) -> None:
    """Takes a function away."""
    del work.functions[signature]
    overloads = work.overloads[signature.name]
    overloads.discard(signature)
    if not overloads:
        del work.overloads[signature.name]


def rename_function(work: Work, function: Function, new: Name) -> None:
    """Gives a function another name or schema, also in the triggers that call it."""
    old = function.signature.name
    signature = Signature(new, function.signature.arguments)
    other = work.functions.get(signature)
    if other is function:
        return
    if other:
        work.duplicate("function", signature, other.place)
        return
    remove_function(work, function.signature)
    work.functions[signature] = replace(function, signature=signature)
    work.overloads.setdefault(new, set()).add(signature)
    if function.signature.arguments:
        return
    tables = work.trigger_tables.pop(old, set())
    work.trigger_tables.setdefault(new, set()).update(tables)
    for name in tables:
        table = work.tables.get(name)
        if table:
            triggers = tuple(replace(one, function=new) if one.function == old else one for one in table.triggers)
            work.tables[name] = replace(table, triggers=triggers)


def retype_functions(work: Work, before: str, after: str) -> None:
    """Functions keep the types of their arguments and results under a new name."""
    spellings = {before: after, f"{before}[]": f"{after}[]", f"SETOF {before}": f"SETOF {after}"}
    if before not in work.function_types:
        return
    work.function_types.add(after)
    for function in list(work.functions.values()):
        old = function.signature
        signature = Signature(old.name, tuple(spellings.get(one, one) for one in old.arguments))
        returns = function.returns and spellings.get(function.returns, function.returns)
        if signature != old or returns != function.returns:
            remove_function(work, old)
            work.functions[signature] = replace(function, signature=signature, returns=returns)
            work.overloads.setdefault(old.name, set()).add(signature)
            work.move_grants("function", function_text(old), function_text(signature))


def function_text(signature: Signature) -> str:
    """A function as `regprocedure` writes it."""
    return f"{signature.name}({','.join(signature.arguments)})"
