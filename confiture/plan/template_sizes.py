"""Upper bounds for the results of operators, filters and methods of templates, computed before they run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from jinja2.utils import Namespace

REFERENCE = 24
"""The cost of a list item in characters: its slot in the list and part of its object."""
MAX_DIGITS = 3_000
_BITS_PER_DIGIT = 3


class LimitExceeded(Exception):
    """A template would take too much time or memory; `hint` is the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class LiteralError(Exception):
    """A value has no SQL literal."""


_VIEWS: tuple[type[Any], ...] = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS: tuple[type[Any], ...] = (list, tuple, set, frozenset, Mapping, *_VIEWS, Namespace)


def require_scalar(value: Any) -> None:
    """Raise LiteralError for a list or mapping."""
    if isinstance(value, (range, *CONTAINERS)):
        kind = "a mapping" if isinstance(value, Mapping) else "a list"
        raise LiteralError(f"literal requires text, a number, a boolean or null, not {kind}")


def text_size(value: Any, sizes: dict[int, int] | None = None) -> int:
    """Estimate the number of characters of a value as text. Repeated items of a container count repeatedly.

    Raise LimitExceeded for a number with too many digits.
    """
    if isinstance(value, str | bytes):
        return len(value) if value.isascii() else 2 * len(value)
    if isinstance(value, int):
        size = value.bit_length() // _BITS_PER_DIGIT + 1
        check_digits(size)
        return size
    if isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        check_digits(len(digits) + (abs(exponent) if isinstance(exponent, int) else 0))
        return len(digits) + 8
    if isinstance(value, range):
        return len(value) * REFERENCE
    if not isinstance(value, CONTAINERS):
        return 24
    sizes = {} if sizes is None else sizes
    if id(value) not in sizes:
        sizes[id(value)] = 0  # during the computation: a container may contain itself
        sizes[id(value)] = sum(REFERENCE + text_size(item, sizes) for item in _items(value))
    return sizes[id(value)]


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    else:
        yield from value


def check_digits(number: int) -> None:
    """Raise LimitExceeded if a number has more digits than templates support."""
    if number > MAX_DIGITS:
        raise too_many_digits()


def too_many_digits() -> LimitExceeded:
    """Return the error for a number with too many digits."""
    message = f"the template uses a number with more than {MAX_DIGITS:,} digits"
    return LimitExceeded(message, "calculate in SQL: its type numeric supports more digits")


def _measure_number(value: Any, *rest: Any, **named: Any) -> int:
    check_digits(len(value) if isinstance(value, str) else 0)
    return _sum_of_sizes(value, *rest, **named)


def _check_operands(operator: str, left: int, right: int) -> None:
    """Raise LimitExceeded if an operand or the result of a power has too many digits."""
    bits = left.bit_length() * max(right, 0) if operator == "**" else 0
    check_digits(max(left.bit_length(), right.bit_length(), bits) // _BITS_PER_DIGIT)


def operation_size(operator: str, left: Any, right: Any) -> int:
    """Return an upper bound for the result of an operator. Raise LimitExceeded for too many digits."""
    if isinstance(left, int) and isinstance(right, int):
        _check_operands(operator, left, right)
        return 0
    if operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
                return len(sequence) * max(times, 0) * (1 if isinstance(sequence, str | bytes) else REFERENCE)
    if operator == "%" and isinstance(left, str | bytes):
        return _percent_format_size(left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return (len(left) + len(right)) * REFERENCE
    return sum(text_size(value) for value in (left, right) if not isinstance(value, CONTAINERS))


_CONVERSION = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?")


def _percent_format_size(text: str | bytes, values: Any) -> int:
    """Return an upper bound for `text % values`."""
    text = text if isinstance(text, str) else text.decode("latin-1")
    widths = [width for match in _CONVERSION.finditer(text) for width in match.groups() if width]
    size = len(text) + text_size(values) * (text.count("%") if isinstance(values, Mapping) else 1)
    if "*" in widths:
        size += _largest_number(values if isinstance(values, tuple) else ()) * len(widths)
    return size + sum(int(width) for width in widths if width != "*")


def _format_method_size(text: str, values: Sequence[Any]) -> int:
    """Return an upper bound for `text.format(values)`."""
    fields = text.count("{")
    size = len(text) + sum(map(int, re.findall(r"\d+", text)))
    is_nested = bool(re.search(r"\{[^{}]*\{", text))
    return size + fields * (sum(map(text_size, values)) + (_largest_number(values) if is_nested else 0))


def _largest_number(values: Iterable[Any]) -> int:
    """Return the largest absolute integer in the values and their items."""
    items = [item for value in values for item in (_items(value) if isinstance(value, CONTAINERS) else (value,))]
    return max((abs(item) for item in items if isinstance(item, int)), default=0)


def _format_filter_size(text: Any, *values: Any, **named: Any) -> int:
    return _percent_format_size(text, named or values) if isinstance(text, str) else _sum_of_sizes(text, *values)


def _sum_of_sizes(*values: Any, **named: Any) -> int:
    return sum(map(text_size, values)) + sum(map(text_size, named.values()))


def _padding_size(value: Any, *rest: Any, **named: Any) -> int:
    return text_size(value) + _largest_number([*rest, *named.values()])


def _indent_size(value: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    lines = 1 + (len(value.splitlines()) if isinstance(value, str) else text_size(value))
    return text_size(value) + lines * (width if isinstance(width, int) else text_size(width))


def _replace_size(value: Any, old: Any, new: Any, *_: Any, **__: Any) -> int:
    times = value.count(old) if isinstance(value, str) and isinstance(old, str) else 1 + text_size(value)
    return text_size(value) + times * text_size(new)


def _join_size(values: Any, separator: Any = "", *_: Any, **named: Any) -> int:
    separator = named.get("d", separator)
    length = len(values) if hasattr(values, "__len__") else 0
    return text_size(values) + length * text_size(separator)


def _sum_filter_size(values: Any, attribute: Any = None, start: Any = 0) -> int:
    # adding lists copies the sum for each list
    return text_size(values) * (1 if isinstance(start, int | float | Decimal) else 1 + len(values))


def _round_size(value: Any, precision: Any = 0, *_: Any, **__: Any) -> int:
    check_digits(abs(precision))
    return text_size(value)


def _batch_filter_size(value: Any, number: int = 1, fill: Any = None) -> int:
    return text_size(value) + REFERENCE * abs(number)


def _json_size(value: Any, indent: Any = None) -> int:
    return text_size(value) * (12 + (indent or 0))


def _quadratic_size(value: Any, *rest: Any, **named: Any) -> int:
    """Return the cost of a filter that takes quadratic time."""
    length = text_size(value)
    return length * (1 + length // 1_000 + _sum_of_sizes(*rest, **named))


def _expansion_size(value: Any, *rest: Any, **named: Any) -> int:
    """Return an upper bound for a filter that replaces a character by several."""
    return 12 * text_size(value) + _sum_of_sizes(*rest, **named)


_SIZES: Mapping[str, Callable[..., int]] = {
    "batch": _batch_filter_size,
    "center": _padding_size,
    "e": _expansion_size,
    "escape": _expansion_size,
    "forceescape": _expansion_size,
    "format": _format_filter_size,
    "indent": _indent_size,
    "int": _measure_number,
    "join": _join_size,
    "literal": _expansion_size,
    "ident": _expansion_size,
    "pprint": _quadratic_size,
    "replace": _replace_size,
    "round": _round_size,
    "slice": _batch_filter_size,
    "striptags": _quadratic_size,
    "sum": _sum_filter_size,
    "tojson": _json_size,
    "urlencode": _expansion_size,
    "urlize": _quadratic_size,
    "wordwrap": _quadratic_size,
    "xmlattr": _expansion_size,
}
"""Upper bounds for the results of filters, in characters; other filters return at most the size of their arguments."""


def filter_size(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return an upper bound for the result of a filter."""
    return _checked_size(_SIZES.get(name, _sum_of_sizes), args, named)


def _checked_size(size: Callable[..., int], args: Sequence[Any], named: Mapping[str, Any]) -> int:
    try:
        return size(*args, **named)
    except TypeError:  # invalid arguments, or keyword names that only the filter knows
        return _sum_of_sizes(*args, **named) * (1 + _largest_number([*args, *named.values()]))


_LOOKS = frozenset({"get", "items", "keys", "values"})


def method_size(owner: Any, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return an upper bound for the result of a method of a text, a number or a mapping."""
    if isinstance(owner, Mapping):  # all other methods return a copy
        return _sum_of_sizes(*args, **named) + (0 if name in _LOOKS else 2 * REFERENCE * len(owner))
    if not isinstance(owner, str):
        return text_size(owner) + _padding_size("", *args, **named)
    match name:
        case "format" | "format_map":
            return _format_method_size(owner, [*args, *named.values()])
        case "join":
            return _join_size(*args, owner) if args else 0
        case "replace":
            return _checked_size(_replace_size, (owner, *args), named)
        case "center" | "ljust" | "rjust" | "zfill":
            return _padding_size(owner, *args)
        case "expandtabs":
            return len(owner) * (1 + _largest_number([8, *args, *named.values()]))
        case "translate":
            return len(owner) * (1 + _sum_of_sizes(*args))
    return _expansion_size(owner, *args, **named)
