"""Jinja's sandbox with limits on the steps and the text of a template.

Steps and characters are counted instead of seconds, so the same template always has the same result. The result of an
operation is charged before the operation runs. Loops, calls and operators are charged by nodes added to the tree of the
template, the rest by hooks of the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import wraps
from types import BuiltinMethodType, MethodType
from typing import Any, cast

from jinja2 import nodes, pass_context
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment, safe_range
from jinja2.visitor import NodeTransformer

from confiture.plan.template_sizes import (
    CONTAINERS,
    REFERENCE,
    LimitExceeded,
    filter_size,
    method_size,
    operation_size,
    text_size,
)

MAX_STEPS = 1_000_000
MAX_CHARACTERS = 64 * 1024 * 1024
# a step takes about a microsecond and allocates at most about 300 bytes
_STEPS_PER_CALL = 20
_STEPS_A_FILTER = 4
_STEPS_A_TEST = 3
_PARTS_A_STEP = 10
"""The number of parts (see `_PARTS`) of the body of a loop or a macro that cost one step."""
_PARTS: tuple[tuple[type[nodes.Node], int], ...] = (
    (nodes.BinExpr, 15),
    (nodes.Concat, 10),
    (nodes.Compare, 10),
    (nodes.Operand, 10),
    (nodes.Getattr, 10),
    (nodes.Getitem, 10),
    (nodes.Output, 10),
    (nodes.Dict, 10),
    (nodes.Pair, 5),
    (nodes.List, 3),
    (nodes.Tuple, 3),
    (nodes.Macro, 40),
    (nodes.CallBlock, 40),
    (nodes.Block, 20),
)
"""The parts of nodes that take more time or memory than other nodes, which count as one part."""
_CHARACTERS_PER_STEP = 25
_ITEMS_A_STEP = 2
"""The number of items of a container that cost one step; `_CHARACTERS_PER_STEP` is the same for compared characters."""

_Function = Callable[..., Any]

# not valid identifiers, so templates cannot use them
_LOOP, _ENTER, _JOIN, _COMPARE, _MADE, _SPREAD = ("for in", "enter body", "~", "compare to", "made text", "* of")


class RenderBudget:
    """The remaining budget of a rendering."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._characters = MAX_CHARACTERS

    def spend_steps(self, steps: int) -> None:
        """Spend steps. Raise LimitExceeded if the budget is exhausted."""
        self._steps -= steps
        if self._steps < 0:
            message = f"the template takes more than {MAX_STEPS:,} steps (loop iterations, calls)"
            raise LimitExceeded(
                message, "shorten the loops, or generate the rows in SQL: generate_series, INSERT ... SELECT"
            )

    def spend_characters(self, characters: int) -> None:
        """Spend characters. Raise LimitExceeded if the budget is exhausted."""
        self._characters -= characters
        if self._characters < 0:
            message = f"the template produces more than {MAX_CHARACTERS:,} characters (64 MiB)"
            raise LimitExceeded(message, "shorten the text, or generate it in SQL: repeat(), generate_series")


class BoundedContext(Context):
    """The context of a rendering, with its budget."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.budget = RenderBudget()

    def derived(self, locals: dict[str, Any] | None = None) -> Context:  # noqa: A002 - Jinja's name
        derived = super().derived(locals)
        cast("BoundedContext", derived).budget = self.budget
        return derived


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox that limits the time and memory of templates."""

    context_class = BoundedContext
    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_finalize, **options)
        self.filters.update({name: _bounded_filter(name, function) for name, function in self.filters.items()})
        self.globals["range"] = _range
        self.filters.update(
            {_LOOP: _loop, _ENTER: _enter, _JOIN: _join, _COMPARE: _compare, _MADE: _charge_text, _SPREAD: _spread}
        )
        self.tests.update({name: _bounded_test(cast(_Function, test)) for name, test in self.tests.items()})

    def add_filter(self, name: str, function: _Function) -> None:
        """Add a custom filter."""
        self.filters[name] = _bounded_filter(name, function)

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_BudgetTransformer().visit(source), *args, **options)

    def concat(self, pieces: Iterable[str]) -> str:
        """Concatenate the pieces of the output."""
        budget, texts = RenderBudget(), []
        for piece in pieces:
            try:
                budget.spend_characters(len(piece))
            except LimitExceeded as error:
                if isinstance(pieces, Generator):
                    pieces.throw(error)  # raise at the line of the template that produced the piece
                raise
            texts.append(piece)
        return "".join(texts)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, tuple):  # hashing deeply shared tuples takes exponential time
            RenderBudget().spend_characters(text_size(argument))
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _find_budget(context).spend_characters(operation_size(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:
        budget = _find_budget(context)
        budget.spend_steps(_STEPS_PER_CALL + len(args) + len(named))
        if not isinstance(function, Macro):  # dict() copies its arguments
            for value in (*args, *named.values()):
                if isinstance(value, (range, *CONTAINERS)):
                    _walk(budget, value)
        if isinstance(function, LoopContext):
            args = tuple(_charge_items(budget, argument, 1) for argument in args)
        if isinstance(getattr(function, "__self__", None), LoopContext):  # loop.changed()
            args = tuple(_compare(context, argument) for argument in args)
        # methods of Markup are Python functions that wrap the methods of str
        method = function if isinstance(function, MethodType) else getattr(function, "__wrapped__", function)
        if isinstance(method, BuiltinMethodType) or isinstance(getattr(method, "__self__", None), str):
            args = tuple(map(_materialize, args))
            budget.spend_characters(method_size(method.__self__, method.__name__, args, named))
        result = super().call(context, function, *args, **named)
        if isinstance(result, str):
            budget.spend_characters(len(result))
        return result


class _BudgetTransformer(NodeTransformer):
    """A transformer that wraps nodes that take time or produce text in filters that charge the budget."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the visitor's name
        steps = _body_steps(node)
        node = cast("nodes.For", self.generic_visit(node))
        node.iter = _wrap_in_filter(node.iter, _LOOP, nodes.Const(steps))
        return node

    def _enter_body(self, node: Any) -> nodes.Node:
        steps = _body_steps(node)
        self.generic_visit(node)
        charge = nodes.ExprStmt(_wrap_in_filter(nodes.Const(None), _ENTER, nodes.Const(steps)), lineno=node.lineno)
        node.body.insert(0, charge)
        return cast("nodes.Node", node)

    visit_Macro = visit_CallBlock = visit_Block = _enter_body  # noqa: N815 - the visitor's names

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        node = cast("nodes.AssignBlock", self.generic_visit(node))
        node.filter = _wrap_in_filter(node.filter, _MADE)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        node = cast("nodes.Call", self.generic_visit(node))
        for name in ("dyn_args", "dyn_kwargs"):
            if getattr(node, name) is not None:
                setattr(node, name, _wrap_in_filter(getattr(node, name), _SPREAD))
        return node

    visit_Filter = visit_Test = visit_Call  # noqa: N815 - the visitor's names

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        node = cast("nodes.Concat", self.generic_visit(node))
        return _wrap_in_filter(nodes.List(node.nodes, lineno=node.lineno), _JOIN)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        node = cast("nodes.Compare", self.generic_visit(node))
        node.expr = _charge_comparison(node.expr)
        for operand in node.ops:
            operand.expr = _charge_comparison(operand.expr)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        node = cast("nodes.Pair", self.generic_visit(node))
        node.key = _charge_comparison(node.key)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        node = cast("nodes.Getitem", self.generic_visit(node))
        return _wrap_in_filter(node, _MADE) if isinstance(node.arg, nodes.Slice) else node


def _wrap_in_filter(node: nodes.Node | None, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno if node else 1)


def _charge_comparison(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _wrap_in_filter(node, _COMPARE)


def _body_steps(node: nodes.Node) -> int:
    """Return the steps of running the body of a node once."""
    return 1 + sum(map(_parts, node.find_all(nodes.Node))) // _PARTS_A_STEP


def _parts(node: nodes.Node) -> int:
    return next((parts for kind, parts in _PARTS if isinstance(node, kind)), 1)


def _range(*args: int) -> range:
    try:
        return safe_range(*args)
    except OverflowError as error:
        message = f"the template uses a range of more than {MAX_RANGE:,} numbers"
        raise LimitExceeded(message, "generate the rows in SQL: generate_series") from error


def _find_budget(context: Context) -> RenderBudget:
    return cast("BoundedContext", context).budget


@pass_context
def _loop(context: Context, values: Any, steps: int) -> Any:
    return _charge_items(_find_budget(context), values, steps)


@pass_context
def _enter(context: Context, _: None, steps: int) -> None:
    _find_budget(context).spend_steps(steps)


@pass_context
def _join(context: Context, values: Sequence[Any]) -> str:
    _find_budget(context).spend_characters(sum(map(text_size, values)))
    return "".join(map(str, values))


@pass_context
def _compare(context: Context, value: Any) -> Any:
    if isinstance(value, (str, *CONTAINERS)):
        _find_budget(context).spend_steps(text_size(value) // _CHARACTERS_PER_STEP)
    elif isinstance(value, range):
        _find_budget(context).spend_steps(len(value) // _ITEMS_A_STEP)
    return value


@pass_context
def _charge_text(context: Context, value: Any) -> Any:
    _find_budget(context).spend_characters(len(value) if isinstance(value, (str, list, tuple)) else 0)
    return value


@pass_context
def _spread(context: Context, values: Any) -> Any:
    """Charge for the arguments that `*` and `**` unpack."""
    values = _materialize(values)
    _walk(_find_budget(context), values)
    return values


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    """Charge for converting a value to text; `concat` charges for the text itself."""
    if not isinstance(value, str):
        _find_budget(context).spend_characters(text_size(value))
    return value


def _charge_items(budget: RenderBudget, values: Any, steps: int) -> Any:
    """Charge steps for each value and return the values, those of an iterator as a list.

    A chain of iterators would recurse in C without a limit, until the process crashes.
    """
    try:
        length = len(values)
    except TypeError:
        return list(_charge_items_lazily(budget, values, steps))
    budget.spend_steps(length * steps)
    return values


def _charge_items_lazily(budget: RenderBudget, values: Iterable[Any], steps: int) -> Iterator[Any]:
    for value in values:
        budget.spend_steps(steps)
        budget.spend_characters(REFERENCE)
        yield value


def _walk(budget: RenderBudget, values: Any) -> None:
    """Charge for a list of the items of a value."""
    if hasattr(values, "__len__"):
        budget.spend_steps(len(values) // _ITEMS_A_STEP)
        budget.spend_characters(len(values) * REFERENCE)


def _materialize(value: Any) -> Any:
    """Convert an iterator to a list, whose size is known."""
    return list(value) if isinstance(value, Iterator) else value


_BY_REFERENCE = frozenset({"first", "last", "length", "count", "default", "d", "attr", "items", "safe", "abs"}) | {
    *("map", "select", "reject", "selectattr", "rejectattr")
}
"""Filters with small results that do not iterate over their arguments."""
_LISTS_CHARACTERS = frozenset({"list", "batch", "slice", "sort", "unique", "join", "groupby", "min", "max", "sum"})
"""Filters that treat a text as a list of characters."""


def _bounded_filter(name: str, function: _Function) -> _Function:
    """Return a filter that charges for its result."""
    passed = getattr(function, "jinja_pass_arg", None)

    @pass_context
    @wraps(function)
    def run_within_budget(context: Context, *args: Any, **named: Any) -> Any:
        budget = _find_budget(context)
        budget.spend_steps(_STEPS_A_FILTER)
        if name not in _BY_REFERENCE:
            args = tuple(map(_materialize, args))
            if args and (name in _LISTS_CHARACTERS or not isinstance(args[0], str)):
                _walk(budget, args[0])
            budget.spend_characters(filter_size(name, args, named))
        first = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        result = function(*((first[passed.name],) if passed else ()), *args, **named)
        return _charge_items(budget, result, 1) if isinstance(result, Iterator) else result

    return run_within_budget


def _bounded_test(function: _Function) -> _Function:
    """Return a test that charges for its comparisons."""
    passed = getattr(function, "jinja_pass_arg", None)

    @pass_context
    @wraps(function)
    def run_within_budget(context: Context, *args: Any, **named: Any) -> Any:
        _find_budget(context).spend_steps(_STEPS_A_TEST)
        for value in args:
            _compare(context, value)
        first = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        return function(*((first[passed.name],) if passed else ()), *args, **named)

    return run_within_budget
