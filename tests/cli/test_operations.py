"""Commands for deployments: `status --check`, `wait`, short-lived passwords, and Markdown within limits."""

from __future__ import annotations

import sys
import threading

import pytest

from confiture.output.ci.markdown_limit import comment_marker, limit_markdown
from tests.support.projects import Project
from tests.support.servers import Database

STEP = "ddl: [{sql: SELECT 1}]\n"


def test_status_check(shop_18: Project) -> None:
    shop_18.run("migrate", "status", "--check")
    shop_18.migration("001_a", STEP)
    shop_18.run("migrate", "status")
    shop_18.run("migrate", "status", "--check", expect=8)
    shop_18.migration("003_c", STEP)
    shop_18.run("migrate", "up")
    shop_18.run("migrate", "status", "--check")
    shop_18.migration("002_b", STEP)
    shop_18.run("migrate", "status", "--check", expect=7)
    (shop_18.root / "migrations/002_b.yaml").unlink()
    shop_18.migration("001_a", STEP.replace("1", "2"))
    shop_18.run("migrate", "status", "--check", expect=7)


def test_wait(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", STEP)
    shop_18.migration("002_b", STEP)
    late = shop_18.run("migrate", "wait", "--timeout", "0", expect=8)
    assert "waiting for 2 migrations on" in late.err
    assert database_18.value("SELECT to_regnamespace('confiture')") is None, "nothing is created"
    shop_18.run("migrate", "up", "--to", "001")
    shop_18.run("migrate", "wait", "--for", "001", "--timeout", "0")
    runner = threading.Timer(0.3, lambda: shop_18.process("migrate", "up"))
    runner.start()
    waited = shop_18.process("migrate", "wait", "--timeout", "60s")
    runner.join()
    assert waited.out == "applied: all 2 migrations\n"


def test_wait_needs_only_select(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", STEP)
    shop_18.run("migrate", "up")
    role = f"waiting_{database_18.name}"
    database_18.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA confiture TO {role};"
        f"GRANT SELECT ON confiture.format, confiture.migrations TO {role}"
    )
    try:
        shop_18.environ["DATABASE_URL"] = database_18.url.replace("postgres@", f"{role}@")
        shop_18.run("migrate", "wait", "--timeout", "0")
        with database_18.connect() as other:
            other.execute("BEGIN; LOCK confiture.migrations IN SHARE ROW EXCLUSIVE MODE")
            shop_18.run("migrate", "wait", "--timeout", "0")
    finally:
        database_18.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_wait_for_a_server_that_starts_later(shop_18: Project) -> None:
    shop_18.migration("001_a", STEP)
    shop_18.environ["DATABASE_URL"] = "postgresql://localhost:1/shop"
    assert "still waiting for the database" in shop_18.run("migrate", "wait", "--timeout", "0", expect=8).err


def write_command(project: Project, code: str) -> None:
    project.write("token.py", code)
    project.write(
        "confiture.yaml",
        f'database: {{password_command: ["{sys.executable}", token.py], url: "{{{{ env.SHOP_URL }}}}"}}\n',
    )


def test_a_password_command_runs_for_each_connection_and_is_never_shown(
    shop_18: Project, database_18: Database
) -> None:
    shop_18.migration("001_a", "ddl: [{sql: \"SELECT 'n0t-4-s3cret-t0ken'\"}]\n")
    shop_18.environ["SHOP_URL"] = shop_18.environ.pop("DATABASE_URL")
    write_command(shop_18, "open('calls', 'a').write('x'); print('n0t-4-s3cret-t0ken')\n")
    done = shop_18.run("migrate", "up", "--format", "json", "--events", "events.jsonl")
    assert len((shop_18.root / "calls").read_text()) >= 3, "the run, its lock and its monitor"
    assert "n0t-4-s3cret-t0ken" not in done.out + done.err + (shop_18.root / "events.jsonl").read_text()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('pa55word-in-output'); sys.exit(3)", "it exited with 3"),
        ("pass", "it printed nothing"),
        ("print('pa55word-in-output\\nx')", "it printed several lines"),
    ],
)
def test_a_password_command_that_fails(shop_18: Project, code: str, reason: str) -> None:
    shop_18.migration("001_a", STEP)
    shop_18.environ["SHOP_URL"] = shop_18.environ.pop("DATABASE_URL")
    write_command(shop_18, code)
    failed = shop_18.run("migrate", "status", expect=3)
    assert reason in failed.err
    assert "pa55word" not in failed.err


def test_markdown_is_cut_at_rows() -> None:
    rows = "\n".join(f"| {number} | {'é' * 50} |" for number in range(2_000))
    items = "\n".join(f"- item {number}\n  - nested" for number in range(5))
    text = f"### Title\n\nSummary.\n\n#### Rows\n\n| n | text |\n|---|---|\n{rows}\n\n#### Items\n\n{items}\n"
    limited = limit_markdown(text)
    assert len(limited.encode()) <= 65_536
    assert len(limited.encode()) > 60_000
    assert items in limited, "only the longest section is cut"
    kept = limited.count("| é")
    assert f"{2_000 - kept:,} more rows omitted." in limited
    assert all(line.endswith("|") for line in limited.splitlines() if line.startswith("|"))
    assert limit_markdown("### A\n\nshort\n") == "### A\n\nshort\n"


def test_a_marker_cannot_end_its_comment() -> None:
    assert comment_marker("run", "shop", "a --> b") == "<!-- confiture run shop a ___ b -->"


def test_findings_begin_with_migrations_and_the_worst(shop_18: Project) -> None:
    shop_18.ddl("001.sql", "CREATE TABLE w_a (id int, size json);")
    shop_18.migration("001_a", "ddl: [{sql: 'ALTER TABLE w_a ADD COLUMN x int'}, {sql: DROP TABLE w_a}]\n")
    markdown = shop_18.run("lint", "--format", "markdown", expect=None).out
    assert markdown.startswith("<!-- confiture lint default development -->\n### Confiture: lint")
    assert markdown.index("migrations/001") < markdown.index("schemas/001")
