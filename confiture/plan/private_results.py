"""Tracking values that a template derives from private variables. `{{ pw | upper }}` is private if `pw` is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from jinja2 import nodes, pass_context
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

RECORD = "private result"
"""The name of the filter that records a result, and of the set of results in the template context.

The name is not a valid identifier, so templates cannot use it.
"""
_MIN_LENGTH, _MAX_LENGTH = 4, 10_000
_MAX_RESULTS = 10_000
_JUDGMENTS = (nodes.Compare, nodes.Test, nodes.Not)
_QUOTING_FILTERS = frozenset({"literal", "ident"})
"""Filters that need no tracking, because output recognizes a value even if it is quoted."""


@pass_context
def record_result(context: Context, value: Any) -> Any:
    """Record the text of an expression's result, and return the result."""
    results = context.get(RECORD)
    if isinstance(value, str) and _MIN_LENGTH <= len(value) <= _MAX_LENGTH and len(results) < _MAX_RESULTS:
        results.add(str(value))
    return value


def record_private_results(tree: nodes.Template, names: Collection[str]) -> nodes.Template:
    """Return the tree with a recording filter around each expression that reads one of the variables."""
    if not names or not any(node.name in names or node.name == "vars" for node in tree.find_all(nodes.Name)):
        return tree
    recorder = _Recorder(frozenset(names), _find_derived_names(tree, frozenset(names)))
    return cast("nodes.Template", recorder.visit(tree))


def reads_private_value(node: nodes.Node, names: Collection[str]) -> bool:
    """Whether the result of an expression may contain a part of one of the variables."""
    if isinstance(node, nodes.Name):
        return node.name in names or (node.name == "vars" and bool(names))
    if isinstance(node, _JUDGMENTS):
        return False
    if isinstance(node, nodes.CondExpr):
        return any(reads_private_value(part, names) for part in (node.expr1, node.expr2) if part)
    name = _name_in_vars(node)
    if name is not None:
        return name in names
    return any(reads_private_value(child, names) for child in node.iter_child_nodes())


def _name_in_vars(node: nodes.Node) -> str | None:
    """Return the variable that `vars.x` or `vars['x']` refers to, if any."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    if not (isinstance(node.node, nodes.Name) and node.node.name == "vars"):
        return None
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None


def _find_derived_names(tree: nodes.Template, names: frozenset[str]) -> frozenset[str]:
    """Return the names defined by the template to which it assigns private values."""
    derived: frozenset[str] = frozenset()
    while True:
        extended = derived | {
            name
            for sources, targets in _assignments(tree)
            if any(reads_private_value(source, names | derived) for source in sources)
            for name in targets
        }
        if extended == derived:
            return derived
        derived = extended


def _assignments(tree: nodes.Template) -> Iterator[tuple[Sequence[nodes.Node], set[str]]]:
    """Yield the assigned expressions in the template, with the names they are assigned to."""
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    for node in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.For, nodes.With, nodes.Call)):
        match node:
            case nodes.Assign():
                yield [node.node], _target_names([node.target])
            case nodes.AssignBlock():
                yield node.body, _target_names([node.target])
            case nodes.For():
                yield [node.iter], _target_names([node.target])
            case nodes.With():
                yield node.values, _target_names(node.targets)
            case nodes.Call(node=nodes.Name(name=name)) if name in macros:
                arguments = [*node.args, *(pair.value for pair in node.kwargs)]
                yield arguments, {argument.name for argument in macros[name].args}


def _target_names(targets: Sequence[nodes.Node]) -> set[str]:
    kinds: Any = (nodes.Name, nodes.NSRef)
    return {node.name for target in targets for node in (target, *target.find_all(kinds)) if isinstance(node, kinds)}


class _Recorder(NodeTransformer):
    """A transformer that wraps expressions in the recording filter."""

    def __init__(self, names: frozenset[str], derived: frozenset[str]) -> None:
        self._names = names | derived
        self._derived = derived

    def visit(self, node: nodes.Node, *args: Any, **named: Any) -> nodes.Node:
        """Return the node, wrapped if it returns private text."""
        wraps = self._gives_private_text(node)
        result = super().visit(node, *args, **named)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Filter) and node.node.name == RECORD:
            node.node = cast("nodes.Expr", node.node.node)  # do not wrap the called function
        return nodes.Filter(result, RECORD, [], [], None, None, lineno=node.lineno) if wraps else result

    def _gives_private_text(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Name):
            return node.name in self._derived and node.ctx == "load"
        if isinstance(node, nodes.Filter):
            return node.node is not None and node.name not in _QUOTING_FILTERS and self._is_private(node)
        kinds = (nodes.Call, nodes.Getitem, nodes.Getattr, nodes.BinExpr, nodes.Concat)
        return isinstance(node, kinds) and self._is_private(node)

    def _is_private(self, node: nodes.Node) -> bool:
        return reads_private_value(node, self._names)
