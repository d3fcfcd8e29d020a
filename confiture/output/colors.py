"""The colors of what locks keep out and of findings: one map for all reports."""

from __future__ import annotations

from collections.abc import Mapping

from confiture.models.settings import Severity
from confiture.models.trace import BlockedAccess

BLOCKED_ACCESS_STYLES = {
    BlockedAccess.READS: "red",
    BlockedAccess.WRITES: "yellow",
    BlockedAccess.DDL: "cyan",
    BlockedAccess.STRONGER_DDL: "bright_black",
}
"""At a terminal."""

SEVERITY_STYLES: Mapping[Severity, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}


def css_class(access: BlockedAccess) -> str:
    """The class in the HTML page; its style sheet holds the colors for light and dark screens."""
    return access.name.lower()
