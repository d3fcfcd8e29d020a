"""Proves that a statement keeps tenants apart, by the data: what a query makes for a tenant from all data must be what
it makes from that tenant's data alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from confiture.core.database import Connection, one_row
from confiture.core.operators import read_operators
from confiture.core.queries import query
from confiture.core.tenancy.comparing import Question, compare, described
from confiture.core.tenancy.deriving import Derived, derived
from confiture.core.tenancy.patience import Patience
from confiture.core.tenancy.refusing import NotProvable
from confiture.core.tenancy.restricting import looked_up_by, restricted, tenant_relations
from confiture.core.tenancy.sampling import chosen, tenants_by_size
from confiture.core.tenancy.settling import Callee, Settled, called_functions, settle
from confiture.core.tenancy.sight import Sight, Visibility
from confiture.core.tenancy.temporary import with_temporary_tables
from confiture.models.catalog import PUBLIC, Catalog
from confiture.models.isolation import DEFAULT_TENANTS, IsolationProof, LeftOut, Standing
from confiture.models.settings import TenancySettings
from confiture.sql.tree import ParsedStatement

_NOT_ALLOWED = "42501"
_WORST = {"immutable": 0, "stable": 1, "volatile": 2}


def prove_statement(
    connection: Connection,
    statement: ParsedStatement,
    catalog: Catalog,
    tenancy: TenancySettings,
    tenants: int | None = DEFAULT_TENANTS,
    *,
    timeout_ms: int | None = None,
) -> IsolationProof:
    """Whether a statement keeps so many tenants apart, None for all; `catalog` is that of the database as it is.

    Writes nothing. Inside of a transaction it leaves that as it was: it may be asked in the middle of a dry run, before
    the statement runs there. `timeout_ms` is how long it may take. Raises psycopg.Error where the connection is lost.
    """
    patience = Patience(timeout_ms)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL transaction_read_only = on")
            # a policy that hides rows becomes an error: what is not seen cannot be proved
            connection.execute("SET LOCAL row_security = off")
            # of queries this wide, over one tenant's rows, most of the time would go into compiling them
            connection.execute("SET LOCAL jit = off")
            found = _Prover(connection, catalog, tenancy, tenants, patience).prove(statement)
    except NotProvable as refusal:
        found = _refused(refusal)
    except psycopg.Error as error:
        if connection.closed:
            raise
        found = _refused(patience.refusal(error) or _failed(error))
    return found.lasting(patience.spent_ms)


def _refused(refusal: NotProvable) -> IsolationProof:
    return IsolationProof(standing=Standing.NOT_PROVABLE, reason=refusal.reason, hint=refusal.hint)


def _failed(error: psycopg.Error) -> NotProvable:
    hint = None
    if error.sqlstate == _NOT_ALLOWED:
        hint = "prove it as a role that may read all rows: the owner of the tables, or one with BYPASSRLS"
    return NotProvable(error.diag.message_primary or str(error), hint)


class _Prover:
    """Proves one statement."""

    def __init__(
        self,
        connection: Connection,
        catalog: Catalog,
        tenancy: TenancySettings,
        tenants: int | None,
        patience: Patience,
    ) -> None:
        self._connection = connection
        self._patience = patience
        self._tenancy = tenancy
        self._tenants = tenants
        self._path: tuple[str, ...] = tuple(one_row(connection, "search_path")["path"])
        self._operators = read_operators(connection)
        catalog = with_temporary_tables(connection, catalog)
        self._catalog = looked_up_by(catalog, self._path)
        self._visibility = Visibility(catalog, tenancy, self._operators)

    def prove(self, statement: ParsedStatement) -> IsolationProof:
        parts = derived(statement.kind, statement.node, self._catalog, self._tenancy.column)
        if not parts:
            return IsolationProof(standing=Standing.NOTHING_READ, reason="it reads no rows")
        return _together([(part, self._part(part)) for part in parts])

    def _part(self, part: Derived) -> IsolationProof:
        relations = tenant_relations(part.query, self._visibility, self._catalog)
        if not relations:
            return IsolationProof(standing=Standing.NOTHING_READ, reason="it reads no tenant's rows")
        self._require_tenants_target(part)
        question, left_out = self._question(part)
        self._patience.limit(self._connection)
        by_size = tenants_by_size(self._connection, self._visibility, relations)
        sample = chosen(by_size, self._tenants)
        if not sample.tenants:
            reason = f"no row names a tenant in {', '.join(str(one.name) for one in relations)}"
            return IsolationProof(standing=Standing.NO_TENANTS, reason=reason, sample=sample, left_out=left_out)
        found = compare(self._connection, question, sample.tenants, self._patience)
        return IsolationProof(
            standing=Standing.MIXED if found.leaks else Standing.ISOLATED,
            sample=sample,
            rows=found.rows,
            compared=tuple(question.names[place] for place in question.compared),
            left_out=left_out,
            leaks=found.leaks,
        )

    def _require_tenants_target(self, part: Derived) -> None:
        """Refuses what writes a table whose rows are no tenant's: nothing says there whose they are."""
        if part.target is None or part.defines:
            return
        table = self._catalog.table(part.target.schemaname or None, part.target.relname)
        if table is not None and not self._visibility.is_tenants(table):
            column = self._tenancy.column
            why = "no tenant's: the settings leave it out" if table.column(column) else f"without {column}"
            raise NotProvable(f"it writes {table.name}, which is {why}; nothing there says whose a row is")

    def _question(self, part: Derived) -> tuple[Question, tuple[LeftOut, ...]]:
        seen = {sight: restricted(part.query, self._visibility, self._catalog, sight, part.unowned) for sight in Sight}
        functions = self._functions(seen[Sight.ALL])
        settled = {sight: settle(tree, functions) for sight, tree in seen.items()}[Sight.ALL]
        columns = described(self._connection, seen[Sight.ALL])
        names = tuple(part.names[place] if place < len(part.names) else name for place, (name, _) in enumerate(columns))
        tenant = _tenant_place(names, self._tenancy.column, part, settled)
        question = Question(
            queries=seen,
            names=names,
            types=tuple(type_name for _, type_name in columns),
            tenant=tenant,
            operators=self._operators.schema(columns[tenant][1]),
            compared=tuple(place for place in range(len(names)) if place not in settled.left_out),
            key=tuple(names.index(one) for one in part.key if one in names) if _is_claimed(part, names) else (),
            nulls_differ=part.is_unique,
        )
        return question, _left_out(names, settled)

    def _functions(self, tree: Any) -> Mapping[tuple[str | None, str], Callee]:
        called = called_functions(tree)
        rows = self._connection.execute(query("functions_called"), {"names": [name for _, name in called]}).fetchall()
        visible = {"pg_catalog", PUBLIC, *self._path}
        found: dict[tuple[str | None, str], Callee] = {}
        for schema, name in called:
            matching = [
                row
                for row in rows
                if row["name"] == name and (row["schema"] == schema if schema else row["schema"] in visible)
            ]
            if matching:
                returns = {row["returns"] for row in matching}
                found[schema, name] = Callee(
                    volatility=max((row["volatility"] for row in matching), key=_WORST.__getitem__),
                    returns=returns.pop() if len(returns) == 1 else None,
                    is_own=any(row["schema"] != "pg_catalog" for row in matching),
                )
        return found


def _tenant_place(names: Sequence[str], column: str, part: Derived, settled: Settled) -> int:
    if column not in names:
        what = "returns" if part.target is None else "writes"
        raise NotProvable(
            f"it {what} no {column}: nothing says whose its rows are", f"return {column} with each row, or write it"
        )
    place = names.index(column)
    if place in settled.left_out:
        raise NotProvable(f"its {column} is made anew each time: {settled.left_out[place]}")
    return place


def _is_claimed(part: Derived, names: Sequence[str]) -> bool:
    return bool(part.key) and all(one in names for one in part.key)


def _left_out(names: Sequence[str], settled: Settled) -> tuple[LeftOut, ...]:
    found = [LeftOut(column=names[place], reason=reason) for place, reason in sorted(settled.left_out.items())]
    inner = [LeftOut(column=f"{name}()", reason="volatile, in a subquery") for name in dict.fromkeys(settled.within)]
    return (*found, *inner)


_ORDER = (Standing.MIXED, Standing.NOT_PROVABLE, Standing.ISOLATED, Standing.NO_TENANTS, Standing.NOTHING_READ)


def _together(parts: Sequence[tuple[Derived, IsolationProof]]) -> IsolationProof:
    """The proof of a statement from those of what it does: the worst of them says how it stands."""
    _, worst = min(parts, key=lambda one: _ORDER.index(one[1].standing))
    proofs = [proof for _, proof in parts]
    looked = [proof for proof in proofs if proof.sample]
    return IsolationProof(
        standing=worst.standing,
        reason=worst.reason,
        hint=worst.hint,
        sample=max((proof.sample for proof in looked if proof.sample), key=lambda one: one.total, default=None),
        rows=sum(proof.rows for proof in proofs),
        compared=tuple(dict.fromkeys(column for proof in proofs for column in proof.compared)),
        left_out=tuple(dict.fromkeys(one for proof in proofs for one in proof.left_out)),
        proved=tuple(part.label for part, proof in parts if proof.standing in (Standing.ISOLATED, Standing.MIXED)),
        leaks=tuple(leak for proof in proofs for leak in proof.leaks),
    )
