"""Colors for blocked access and severities, shared by all reports."""

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
"""Styles for a terminal."""

SEVERITY_STYLES: Mapping[Severity, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}


def css_class(access: BlockedAccess) -> str:
    """Return the CSS class for the HTML page. The page's style sheet defines colors for light and dark screens."""
    return access.name.lower()
