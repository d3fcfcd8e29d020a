"""What a dry run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from confiture.core.database import Database
from confiture.models.isolation import DEFAULT_TENANTS

USUAL_MS = 30_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofOptions:
    """At how many tenants to look, and how long all proofs of a dry run may take, in milliseconds."""

    tenants: int = DEFAULT_TENANTS
    limit_ms: int = USUAL_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class RehearsalOptions:
    """How often a dry run is repeated, and the database by whose row counts its times are scaled.

    `confirmed` is needed where the environment is protected. With `full`, batched backfills are not only sampled.
    Without `proofs` it is not proved that tenants stay apart.
    """

    repeat: int = 1
    full: bool = False
    scale_to: Database | None = None
    confirmed: bool = False
    proofs: ProofOptions | None = field(default_factory=ProofOptions)
    remembered: bool = True
    """Whether what it predicts is kept in the project's folder."""
