"""How much text the operators, filters and methods of templates make at most, known before they make it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from jinja2.utils import Namespace

REFERENCE = 24
"""What an item of a list takes, in characters: its place in the list, and part of what stands there."""
MOST_DIGITS = 3_000
_BITS_A_DIGIT = 3


class LimitExceeded(Exception):
    """A template that would take too much time or memory; `hint` is the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


_VIEWS: tuple[type[Any], ...] = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS: tuple[type[Any], ...] = (list, tuple, set, frozenset, Mapping, *_VIEWS, Namespace)


def weight(value: Any, known: dict[int, int] | None = None) -> int:
    """About how many characters a value takes as text. What a container holds several times counts several times.

    Raises LimitExceeded for a number with too many digits.
    """
    if isinstance(value, str | bytes):
        return len(value) if value.isascii() else 2 * len(value)
    if isinstance(value, int):
        size = value.bit_length() // _BITS_A_DIGIT + 1
        require_digits(size)
        return size
    if isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        require_digits(len(digits) + (abs(exponent) if isinstance(exponent, int) else 0))
        return len(digits) + 8
    if isinstance(value, range):
        return len(value) * REFERENCE
    if not isinstance(value, CONTAINERS):
        return 24
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = 0  # while it is weighed: a container may hold itself
        known[id(value)] = sum(REFERENCE + weight(item, known) for item in _items(value))
    return known[id(value)]


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    else:
        yield from value


def require_digits(number: int) -> None:
    """Raises LimitExceeded if a number would have more digits than templates calculate with."""
    if number > MOST_DIGITS:
        raise too_many_digits()


def too_many_digits() -> LimitExceeded:
    """The error for a number that templates do not calculate with."""
    message = f"the template calculates with a number of over {MOST_DIGITS:,} digits"
    return LimitExceeded(message, "let SQL calculate: its numeric type has the digits")


def _numbered(value: Any, *rest: Any, **named: Any) -> int:
    require_digits(len(value) if isinstance(value, str) else 0)
    return _sum(value, *rest, **named)


def _require_small(operator: str, left: int, right: int) -> None:
    """Raises LimitExceeded if a number is too large to calculate with, or a power would be."""
    bits = left.bit_length() * max(right, 0) if operator == "**" else 0
    require_digits(max(left.bit_length(), right.bit_length(), bits) // _BITS_A_DIGIT)


def size_of_operation(operator: str, left: Any, right: Any) -> int:
    """What an operator makes. Raises LimitExceeded for a number with too many digits."""
    if isinstance(left, int) and isinstance(right, int):
        _require_small(operator, left, right)
        return 0
    if operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
                return len(sequence) * max(times, 0) * (1 if isinstance(sequence, str | bytes) else REFERENCE)
    if operator == "%" and isinstance(left, str | bytes):
        return _size_of_percent(left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return (len(left) + len(right)) * REFERENCE
    return sum(weight(value) for value in (left, right) if not isinstance(value, CONTAINERS))


_CONVERSION = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?")


def _size_of_percent(text: str | bytes, values: Any) -> int:
    """What `text % values` makes at most."""
    text = text if isinstance(text, str) else text.decode("latin-1")
    widths = [found for match in _CONVERSION.finditer(text) for found in match.groups() if found]
    size = len(text) + weight(values) * (text.count("%") if isinstance(values, Mapping) else 1)
    if "*" in widths:
        size += _largest(values if isinstance(values, tuple) else ()) * len(widths)
    return size + sum(int(width) for width in widths if width != "*")


def _size_of_format(text: str, values: Sequence[Any]) -> int:
    """What `text.format(values)` makes at most."""
    fields = text.count("{")
    size = len(text) + sum(map(int, re.findall(r"\d+", text)))
    is_nested = bool(re.search(r"\{[^{}]*\{", text))
    return size + fields * (sum(map(weight, values)) + (_largest(values) if is_nested else 0))


def _largest(values: Iterable[Any]) -> int:
    """The largest number among values and what they hold, without its sign."""
    inner = [one for value in values for one in (_items(value) if isinstance(value, CONTAINERS) else (value,))]
    return max((abs(one) for one in inner if isinstance(one, int)), default=0)


def _formatted(text: Any, *values: Any, **named: Any) -> int:
    return _size_of_percent(text, named or values) if isinstance(text, str) else _sum(text, *values)


def _sum(*values: Any, **named: Any) -> int:
    return sum(map(weight, values)) + sum(map(weight, named.values()))


def _padded(value: Any, *rest: Any, **named: Any) -> int:
    return weight(value) + _largest([*rest, *named.values()])


def _indented(value: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    lines = 1 + (len(value.splitlines()) if isinstance(value, str) else weight(value))
    return weight(value) + lines * (width if isinstance(width, int) else weight(width))


def _replaced(value: Any, old: Any, new: Any, *_: Any, **__: Any) -> int:
    times = value.count(old) if isinstance(value, str) and isinstance(old, str) else 1 + weight(value)
    return weight(value) + times * weight(new)


def _joined(values: Any, separator: Any = "", *_: Any, **named: Any) -> int:
    separator = named.get("d", separator)
    length = len(values) if hasattr(values, "__len__") else 0
    return weight(values) + length * weight(separator)


def _summed(values: Any, attribute: Any = None, start: Any = 0) -> int:
    # lists are copied once for each that is added
    return weight(values) * (1 if isinstance(start, int | float | Decimal) else 1 + len(values))


def _rounded(value: Any, precision: Any = 0, *_: Any, **__: Any) -> int:
    require_digits(abs(precision))
    return weight(value)


def _cut(value: Any, number: int = 1, fill: Any = None) -> int:
    return weight(value) + REFERENCE * abs(number)


def _dumped(value: Any, indent: Any = None) -> int:
    return weight(value) * (12 + (indent or 0))


def _slow(value: Any, *rest: Any, **named: Any) -> int:
    """What takes time with the square of its length."""
    length = weight(value)
    return length * (1 + length // 1_000 + _sum(*rest, **named))


def _expanded(value: Any, *rest: Any, **named: Any) -> int:
    """What turns a character into several."""
    return 12 * weight(value) + _sum(*rest, **named)


_SIZES: Mapping[str, Callable[..., int]] = {
    "batch": _cut,
    "center": _padded,
    "e": _expanded,
    "escape": _expanded,
    "forceescape": _expanded,
    "format": _formatted,
    "indent": _indented,
    "int": _numbered,
    "join": _joined,
    "literal": _expanded,
    "ident": _expanded,
    "pprint": _slow,
    "replace": _replaced,
    "round": _rounded,
    "slice": _cut,
    "striptags": _slow,
    "sum": _summed,
    "tojson": _dumped,
    "urlencode": _expanded,
    "urlize": _slow,
    "wordwrap": _slow,
    "xmlattr": _expanded,
}
"""What filters make at most, in characters; of others, what they are given."""


def size_of_filter(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """What a filter makes at most."""
    return _charged(_SIZES.get(name, _sum), args, named)


def _charged(size: Callable[..., int], args: Sequence[Any], named: Mapping[str, Any]) -> int:
    try:
        return size(*args, **named)
    except TypeError:  # arguments that the filter does not take either, or by names that only it knows
        return _sum(*args, **named) * (1 + _largest([*args, *named.values()]))


_LOOKS = frozenset({"get", "items", "keys", "values"})


def size_of_method(owner: Any, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """What a method of a text or a number makes at most."""
    if isinstance(owner, Mapping):  # a copy, unless it is one that only looks
        return _sum(*args, **named) + (0 if name in _LOOKS else 2 * REFERENCE * len(owner))
    if not isinstance(owner, str):
        return weight(owner) + _padded("", *args, **named)
    match name:
        case "format" | "format_map":
            return _size_of_format(owner, [*args, *named.values()])
        case "join":
            return _joined(*args, owner) if args else 0
        case "replace":
            return _charged(_replaced, (owner, *args), named)
        case "center" | "ljust" | "rjust" | "zfill":
            return _padded(owner, *args)
        case "expandtabs":
            return len(owner) * (1 + _largest([8, *args, *named.values()]))
        case "translate":
            return len(owner) * (1 + _sum(*args))
    return _expanded(owner, *args, **named)
