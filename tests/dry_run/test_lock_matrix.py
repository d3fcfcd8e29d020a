"""A dry run reports what PostgreSQL was measured to lock, rewrite and scan, statement by statement.

`data/lock_matrix_*.json` was measured by a second session that looked at pg_locks, on the schema of
`data/lock_matrix_fixture.sql` with 200,000 rows a table. Each statement has a dry run of its own: migrations of one dry
run share a transaction, and the locks of the earlier ones would hide those of the later ones.
"""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from confiture.cli.app import app
from tests.support.lock_matrix import SHORT, matrix_database
from tests.support.matrix import ALL_CASES, sample
from tests.support.paths import DATA
from tests.support.projects import Project
from tests.support.servers import Server

IN_A_TRANSACTION = "25001"
"""Measured to be refused in a transaction: a dry run runs its transactional form."""


def matrix(version: int) -> list[dict]:
    return json.loads((DATA / f"lock_matrix_{version}.json").read_text())


def rehearsed(project: Project, url: str, sql: str) -> dict:
    """The JSON report of a dry run of one statement; in this process, for there are many."""
    project.migration("001_only", f"ddl:\n  - sql: {json.dumps(sql)}\n")
    command = ["migrate", "up", "--dry-run", "--format", "json", "--database", url]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    return json.loads(result.stdout)


def reported(statement: dict) -> tuple[dict, list, dict]:
    """The locks, rewrites and scans of a statement, as the matrix writes them."""
    locks: dict[str, set[str]] = {}
    for lock in statement["locks"]:
        locks.setdefault(lock["relation"], set()).add(SHORT[lock["mode"]])
    scans = {scan["table"]: [scan["scans"], scan["rows"]] for scan in statement["scans"]}
    return locks, sorted(statement["rewrites"]), scans


def expected(row: dict) -> tuple[dict, list, dict]:
    scans = {table: counts[:2] for table, counts in row["seq_scans"].items() if counts[0]}
    return {name: set(modes) for name, modes in row["locks"].items()}, sorted(row["rewrites"]), scans


def test_a_dry_run_of_every_statement_reports_what_was_measured(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = matrix_database(server, "rehearsed")
    monkeypatch.chdir(project.root)
    differences: list[tuple[object, ...]] = []
    for row in sample(matrix(server.version), str(server.version)):
        if not ALL_CASES and "using gist" in row["sql"]:
            continue  # it takes as long as ten others
        report = rehearsed(project, url, row["sql"])
        if row["error"]:
            error = row["error"].split()[0]
            codes = [diagnostic["code"] for diagnostic in report["diagnostics"]]
            if codes != ([] if error == IN_A_TRANSACTION else [error]):
                differences.append((row["sql"], codes, error))
            continue
        (statement,) = report["statements"]
        found, wanted = reported(statement), expected(row)
        if row["sql"].startswith("refresh"):
            # measured with a parallel plan: only that it was read can be compared
            found, wanted = (*found[:2], dict.fromkeys(found[2])), (*wanted[:2], dict.fromkeys(wanted[2]))
        if found != wanted:
            differences.append((row["sql"], found, wanted))
    assert differences == []
