"""Prove tenant isolation in a dry run, for each statement just before it runs, on the data that it is about to read."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from confiture.core.db.introspection import read_catalog
from confiture.core.dry_run.trace import Tracer
from confiture.core.run.context import ProofOptions
from confiture.core.run.session import Session
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.core.tenancy.statements import provable_statements, to_proved_statement
from confiture.errors import Diagnostic
from confiture.models.catalog import Catalog
from confiture.models.plan import PlannedMigration, PlannedStep, Segment, Statement
from confiture.models.settings import TenancySettings
from confiture.models.tenancy_proofs import IsolationProof, IsolationVerdict, ProvedStatement
from confiture.models.trace import DryRunWarning
from confiture.sql.parse_tree import ParsedStatement
from confiture.text import pluralize

MIXED = "tenants-mixed"
_KEEPS_SCHEMA = frozenset({"copy_stmt", "delete_stmt", "insert_stmt", "merge_stmt", "update_stmt"})
_WAITED = "another session waited for a lock held by the dry run, which continued without proofs"
_MOST_LEAKS = 3
_ELSEWHERE = "`confiture tenancy prove` holds no locks, and also runs on a standby"


class TenancyProver:
    """Proves the isolation of one dry run's statements. Each proof runs once, even if the dry run is repeated.

    A proof's reads are neither traced nor timed. If another session waits for a lock that the dry run holds, the
    current proof and all later ones are abandoned.
    """

    def __init__(self, session: Session, tenancy: TenancySettings, options: ProofOptions) -> None:
        self._monitor = session.monitor
        self._connection = session.connection
        self._tenancy = tenancy
        self._options = options
        self._catalog: Catalog | None = None
        self._remaining_ms = float(options.limit_ms)
        self._has_given_up = False
        self._pending_statements: dict[object, dict[int, ParsedStatement]] = {}
        """The statements in each step without a proof so far, by offset."""
        self.proved_statements: list[ProvedStatement] = []
        """The statements with proofs, in order, except those that read no tenant rows."""

    def reset_catalog(self) -> None:
        """Discard the catalog before each run, because the rollback has restored the schema."""
        self._catalog = None

    def prove(
        self, plan: PlannedMigration, segment: Segment, step: PlannedStep, statement: Statement, tracer: Tracer
    ) -> None:
        """Prove the isolation of a statement that is about to run for the first time."""
        parsed = self._pop_statement(plan, step, statement)
        if parsed is not None:
            with tracer.untraced():
                proof = self._prove(parsed)
            if proof.verdict is not IsolationVerdict.NOTHING_READ:
                self.proved_statements.append(to_proved_statement(plan, segment, step, parsed, proof))
        if statement.node_kind not in _KEEPS_SCHEMA:
            self._catalog = None

    def _pop_statement(self, plan: PlannedMigration, step: PlannedStep, statement: Statement) -> ParsedStatement | None:
        """Return the statement to prove on the first call, and None afterwards."""
        key = (plan.version, step.phase, step.number, step.part)
        if key not in self._pending_statements:
            self._pending_statements[key] = {one.offset: one for one in provable_statements(step)}
        return self._pending_statements[key].pop(statement.offset, None)

    def _prove(self, statement: ParsedStatement) -> IsolationProof:
        if self._has_given_up:
            return _not_provable(_WAITED, _ELSEWHERE)
        if self._remaining_ms < 1:
            reason = f"the {self._options.limit_ms / 1000:,.0f} s for all proofs in the dry run are used up"
            return _not_provable(reason, f"raise `--prove-time`; {_ELSEWHERE}")
        # An outer transaction is needed because a cancel request can hit any statement in the proof, even its own
        # ROLLBACK.
        with self._connection.transaction(force_rollback=True):
            with self._monitor.yield_to_waiters():
                proof = self._try_prove(statement)
            self._has_given_up = self._monitor.has_yielded
        self._remaining_ms -= proof.duration_ms
        if self._has_given_up and proof.verdict is IsolationVerdict.NOT_PROVABLE:
            return replace(proof, reason=_WAITED, hint=_ELSEWHERE)
        return proof

    def _try_prove(self, statement: ParsedStatement) -> IsolationProof:
        try:
            catalog = self._catalog or read_catalog(self._connection)
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            return _not_provable(error.diag.message_primary or str(error), None)
        self._catalog = catalog
        return prove_statement(
            self._connection,
            statement,
            catalog,
            self._tenancy,
            self._options.tenants,
            timeout_ms=int(self._remaining_ms),
        )


def mixed_warning(proved: ProvedStatement) -> DryRunWarning:
    """Return the warning for a statement that mixes tenants. It lists the tenants and their row counts."""
    leaks = proved.proof.leaks
    descriptions = [leak.description for leak in leaks[:_MOST_LEAKS]]
    more = [f"and {pluralize(len(leaks) - _MOST_LEAKS, 'more difference')}"] if len(leaks) > _MOST_LEAKS else []
    return DryRunWarning(
        code=MIXED,
        message=f"the rows written to {proved.target} mix tenants: {'; '.join([*descriptions, *more])}",
        hint="fix the statement: `confiture lint` shows where it can mix tenants",
        table=proved.target,
        span=proved.span,
        statement=proved.text,
    )


def mixed_diagnostic(proved: ProvedStatement) -> Diagnostic:
    """Return the diagnostic that fails a dry run because a statement mixes tenants. The report contains the rows."""
    return Diagnostic(
        code=MIXED,
        message=f"{proved.migration}: {proved.step.name}: the rows written to {proved.target} mix tenants",
        span=proved.span,
        hint="fix the statement; `--no-prove` skips the proofs",
    )


def _not_provable(reason: str, hint: str | None) -> IsolationProof:
    return IsolationProof(verdict=IsolationVerdict.NOT_PROVABLE, reason=reason, hint=hint)
