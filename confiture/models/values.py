"""Classes of data that nobody changes, and of which there are very many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
    from dataclasses import replace
else:
    from dataclasses import dataclass, fields
    from operator import attrgetter

    def value(*, frozen, order=False, **options):
        """A dataclass that only the type checker keeps frozen.

        Python's own guard makes an instance three times as expensive, and a large schema is a hundred thousand. What
        compares and shows values is not compiled for each class, which would take half of the time of an import.
        """
        if order:
            return dataclass(unsafe_hash=frozen, order=True, **options)

        def made(cls):
            cls = dataclass(eq=False, repr=False, **options)(cls)
            compared = attrgetter(*[field.name for field in fields(cls) if field.compare])

            def equal(self, other):
                return compared(self) == compared(other) if type(self) is type(other) else NotImplemented

            cls.__eq__ = equal
            cls.__hash__ = lambda self: hash(compared(self))
            cls.__repr__ = _shown
            return cls

        return made

    def _shown(self):
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def replace(one, /, **changes):
        """A copy of a value with other fields: what that of `dataclasses` does, in half of its time."""
        copy = object.__new__(type(one))
        for name in one.__slots__:
            setattr(copy, name, getattr(one, name))
        for name, new in changes.items():
            setattr(copy, name, new)
        return copy


__all__ = ["replace", "value"]
