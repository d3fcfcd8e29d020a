"""Template variables: as written in files, and as seen by templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from confiture.errors import Diagnostic
from confiture.models.records import record
from confiture.models.source import LocatedSource


@record(frozen=True, kw_only=True, slots=True)
class EnvironmentText:
    """The text of a variable that takes parts of its value from the environment: `{{ env.NAME }}`."""

    source: LocatedSource

    def __str__(self) -> str:
        # as used in checksums, which do not depend on the environment
        return self.source.text


@record(frozen=True, kw_only=True, slots=True)
class Variables:
    """The merged variables of one migration.

    `private` are those texts that no file of the project contains, `private_names` the variables that contain one, or
    whose name suggests a secret. `unset` are the diagnostics of variables whose environment variables are not set;
    these have no value.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    private: frozenset[str] = field(default_factory=frozenset, repr=False)
    private_names: frozenset[str] = frozenset()
    unset: Mapping[str, Diagnostic] = field(default_factory=dict)
