"""Classes of data that nobody changes, and of which there are very many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen, **options):
        """A dataclass that only the type checker keeps frozen.

        Python's own guard makes an instance three times as expensive, and a large schema is a hundred thousand.
        """
        return dataclass(unsafe_hash=frozen, **options)


__all__ = ["value"]
