"""Variables of templates: as files write them, and as templates see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from confiture.errors import Diagnostic
from confiture.models.records import record
from confiture.models.source import LocatedSource


@record(frozen=True, kw_only=True, slots=True)
class EnvironmentText:
    """The text of a variable that takes parts of it from the environment: `{{ env.NAME }}`."""

    source: LocatedSource

    def __str__(self) -> str:
        # as checksums see it: they do not depend on the environment
        return self.source.text


@record(frozen=True, kw_only=True, slots=True)
class Variables:
    """The variables of one migration, merged.

    `private` are the texts among them that no file of the project holds, `private_names` the variables that hold one,
    or whose name says that they are secret. `unset` says what is wrong with those whose environment variables are not
    set; they have no value.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    private: frozenset[str] = field(default_factory=frozenset, repr=False)
    private_names: frozenset[str] = frozenset()
    unset: Mapping[str, Diagnostic] = field(default_factory=dict)
