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
    """The text of a variable with parts that come from the environment: `{{ env.NAME }}`."""

    source: LocatedSource

    def __str__(self) -> str:
        # used in checksums, which do not depend on the environment
        return self.source.text


@record(frozen=True, kw_only=True, slots=True)
class Variables:
    """The merged variables for one migration.

    `private` contains the strings that do not appear in any project file. `private_names` contains the variables with
    such a string or with a name that suggests a secret. `unset` contains diagnostics for variables that depend on unset
    environment variables; these variables have no value.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    private: frozenset[str] = field(default_factory=frozenset, repr=False)
    private_names: frozenset[str] = frozenset()
    unset: Mapping[str, Diagnostic] = field(default_factory=dict)
