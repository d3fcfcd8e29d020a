"""Holds what the analysis says of generated statements against what they do to generated data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import psycopg
from psycopg.rows import dict_row

from confiture.core.db.introspection import read_catalog
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.models.catalog import Catalog
from confiture.models.settings import TenancySettings
from confiture.models.source import LocatedSource, SourceFile
from confiture.models.tenancy import TenancyGrade, TenancyVerdict
from confiture.models.tenancy_proofs import IsolationProof, IsolationVerdict
from confiture.plan.rendering import render_verbatim
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from confiture.sql.tenant_flow import TenancyFacts, analyze
from tests.support.generated_queries import statement, world
from tests.support.generated_schemas import World, filling

TENANCY = TenancySettings()
EMPTY = "empty"
_STATEMENTS_OF_A_WORLD = 1_000_000


class Spent(NamedTuple):
    """Time, in milliseconds: by the clock, and of our own process."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A statement, what the analysis says of it, and what it does."""

    made: World
    seed: int
    text: str
    verdict: TenancyVerdict
    proof: IsolationProof
    analysing: Spent
    proving: Spent

    @property
    def standing(self) -> str:
        """How it stands; `EMPTY` where it made no row for any tenant, so that nothing could differ."""
        is_empty = self.proof.verdict is IsolationVerdict.ISOLATED and not self.proof.rows
        return EMPTY if is_empty else self.proof.verdict.value

    @property
    def is_unsound(self) -> bool:
        """Whether it was called safe and is not."""
        return self.verdict.is_safe and self.proof.verdict is IsolationVerdict.MIXED

    def told(self) -> str:
        """All that it takes to look into it."""
        leaks = "\n".join(
            f"  {leak.kind} {leak.tenant}: {leak.rows} rows, {leak.first_rows}" for leak in self.proof.leaks
        )
        schema = ";\n".join(self.made.statements)
        return f"{self.text};\nseed {self.seed}, {self.verdict.grade}, {self.verdict.proofs}\n{leaks}\n{schema};\n"


@dataclass(frozen=True)
class Tally:
    """How many statements there were of each kind: what was said of them, and how they stand."""

    counts: Counter[tuple[TenancyGrade, str]]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Tally:
        return cls(Counter((trial.verdict.grade, trial.standing) for trial in trials))

    def number(self, standing: str, *grades: TenancyGrade) -> int:
        """Those that stand so, of these grades, or of all."""
        return sum(self.counts[grade, standing] for grade in grades or TenancyGrade)

    @property
    def precision(self) -> float:
        """The share of statements that make rows, without a difference, that are called safe, or warned of."""
        return self.number(IsolationVerdict.ISOLATED, TenancyGrade.SAFE, TenancyGrade.WARNING) / self.number(
            IsolationVerdict.ISOLATED
        )


def trials(
    url: str, worlds: Iterable[int], statements: int, fillings: int = 1, at_most: int | None = None
) -> Iterator[Trial]:
    """So many statements on each world, each proved with several sets of data. The database must be of no value.

    What is called an error is proved with more of them, `at_most` so many: that it differs nowhere should not be luck.
    """
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SET jit = off")
        for number in worlds:
            yield from _trials_of(connection, number, statements, (fillings, at_most or fillings))


def _trials_of(
    connection: psycopg.Connection[dict], number: int, statements: int, fillings: tuple[int, int]
) -> Iterator[Trial]:
    made = world(number)
    _make(connection, ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public", *made.statements])
    catalog = read_catalog(connection)
    seeds = range(number * _STATEMENTS_OF_A_WORLD, number * _STATEMENTS_OF_A_WORLD + statements)
    found = [_judged(made, seed, catalog) for seed in seeds]
    least, most = fillings
    for data in range(most):
        with connection.transaction(force_rollback=True):
            _make(connection, filling(number * 100 + data, made))
            found = [_proved(connection, trial, catalog, must=data < least) for trial in found]
    yield from found


def _judged(made: World, seed: int, catalog: Catalog) -> Trial:
    text = statement(seed, made)
    tree = _parsed(text)
    began = _now()
    verdict = analyze(tree, TenancyFacts(catalog, TENANCY))
    spent = _since(began)
    unknown = IsolationProof(verdict=IsolationVerdict.ISOLATED)
    return Trial(made=made, seed=seed, text=text, verdict=verdict, proof=unknown, analysing=spent, proving=Spent())


def _proved(connection: psycopg.Connection[dict], trial: Trial, catalog: Catalog, *, must: bool) -> Trial:
    """The trial with what other data add to its proof: a difference, or more rows without one."""
    is_open = trial.proof.verdict in (IsolationVerdict.ISOLATED, IsolationVerdict.NO_TENANTS)
    if not is_open or not (must or trial.verdict.grade in (TenancyGrade.ERROR, TenancyGrade.UNKNOWN)):
        return trial
    began = _now()
    proof = prove_statement(connection, _parsed(trial.text), catalog, TENANCY, None)
    spent = _since(began)
    proving = Spent(trial.proving.wall_ms + spent.wall_ms, trial.proving.cpu_ms + spent.cpu_ms)
    better = trial.proof if proof.verdict is IsolationVerdict.ISOLATED and proof.rows < trial.proof.rows else proof
    return replace(trial, proof=better, proving=proving)


def _now() -> Spent:
    return Spent(time.perf_counter() * 1000, time.process_time() * 1000)


def _since(began: Spent) -> Spent:
    now = _now()
    return Spent(now.wall_ms - began.wall_ms, now.cpu_ms - began.cpu_ms)


def _make(connection: psycopg.Connection[dict], statements: Sequence[str]) -> None:
    for one in statements:
        connection.execute(one.encode())


def _parsed(text: str) -> ParsedStatement:
    (found,) = parse_rendered(
        render_verbatim(LocatedSource(text=text, file=SourceFile(path="generated.sql", text=text)))
    )
    return found
