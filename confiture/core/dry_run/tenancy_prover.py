"""Proves in a dry run that tenants stay apart: each statement right before it runs, on what it is about to read."""

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
_WAITED = "somebody waited for a lock of the dry run, which went on without proofs"
_MOST_LEAKS = 3
_ELSEWHERE = "`confiture tenancy prove` holds no locks, and runs on a standby too"


class TenancyProver:
    """Proves the statements of one dry run, each once, however often that is repeated.

    What a proof reads is neither traced nor timed. Where somebody waits for a lock of ours meanwhile, it is given up,
    and so are all that would follow.
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
        """What is left to prove of each step, by offset."""
        self.proved_statements: list[ProvedStatement] = []
        """What was proved, in order, without what reads no tenant's rows."""

    def reset_catalog(self) -> None:
        """Called before each run: the schema is then as it was before the last one."""
        self._catalog = None

    def prove(
        self, plan: PlannedMigration, segment: Segment, step: PlannedStep, statement: Statement, tracer: Tracer
    ) -> None:
        """Proves a statement that is about to run, the first time that it is."""
        meant = self._pop_statement(plan, step, statement)
        if meant is not None:
            with tracer.untraced():
                proof = self._prove(meant)
            if proof.verdict is not IsolationVerdict.NOTHING_READ:
                self.proved_statements.append(to_proved_statement(plan, segment, step, meant, proof))
        if statement.node_kind not in _KEEPS_SCHEMA:
            self._catalog = None

    def _pop_statement(self, plan: PlannedMigration, step: PlannedStep, statement: Statement) -> ParsedStatement | None:
        """The statement as it is to be proved, the first time that it is asked for."""
        key = (plan.version, step.phase, step.number, step.part)
        if key not in self._pending_statements:
            self._pending_statements[key] = {one.offset: one for one in provable_statements(step)}
        return self._pending_statements[key].pop(statement.offset, None)

    def _prove(self, statement: ParsedStatement) -> IsolationProof:
        if self._has_given_up:
            return _not_provable(_WAITED, _ELSEWHERE)
        if self._remaining_ms < 1:
            reason = f"the {self._options.limit_ms / 1000:,.0f} s for all proofs of the dry run are spent"
            return _not_provable(reason, f"`--prove-time` gives them more; {_ELSEWHERE}")
        # around it, for it may be cancelled at any moment, its own ROLLBACK included
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
    """What is told of a statement that mixes tenants: which tenants, how many rows of each."""
    leaks = proved.proof.leaks
    told_of = [leak.description for leak in leaks[:_MOST_LEAKS]]
    more = [f"and {pluralize(len(leaks) - _MOST_LEAKS, 'more difference')}"] if len(leaks) > _MOST_LEAKS else []
    return DryRunWarning(
        code=MIXED,
        message=f"what is written to {proved.target} mixes tenants: {'; '.join([*told_of, *more])}",
        hint="mend the statement: `confiture lint` says where it can mix them",
        table=proved.target,
        span=proved.span,
        statement=proved.text,
    )


def mixed_diagnostic(proved: ProvedStatement) -> Diagnostic:
    """What ends a dry run that proved a statement to mix tenants; the report has the rows."""
    return Diagnostic(
        code=MIXED,
        message=f"{proved.migration}: {proved.step.name}: what is written to {proved.target} mixes tenants",
        span=proved.span,
        hint="correct the statement; `--no-prove` runs dry without proofs",
    )


def _not_provable(reason: str, hint: str | None) -> IsolationProof:
    return IsolationProof(verdict=IsolationVerdict.NOT_PROVABLE, reason=reason, hint=hint)
