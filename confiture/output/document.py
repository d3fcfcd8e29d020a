"""The documents that commands print."""

from __future__ import annotations

from enum import StrEnum


class Document(StrEnum):
    """A document that a command prints. Each value is the name of the `Writer` method that writes it."""

    RUN = "run"
    DIAGNOSTICS = "diagnostics"
    FINDINGS = "findings"
    RULES = "rules"
    STATUS = "status"
    PLAN = "plan"
    ASSESSMENT = "assessment"
    SAVED_PLAN = "saved_plan"
    ADOPTION = "adoption"
    PINS = "pins"
    APPLIED = "applied"
    HISTORY = "history"
    IDENTITY = "identity"
    TENANT_MAP = "tenant_map"
    TENANT_ISOLATION = "tenant_isolation"
    LOCKS = "locks"
    BACKFILLS = "backfills"
    RECONCILE = "reconcile"
    VERIFY = "verify"
    SCHEMA_DIFF = "schema_diff"
    PULL = "pull"
    BUILD = "build"
