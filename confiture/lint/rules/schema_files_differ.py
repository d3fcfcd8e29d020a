"""Schema files that describe another schema than the migrations create."""

from __future__ import annotations

from confiture.lint.engine.rule import Example, Group, SchemaFilesRule

RULE = SchemaFilesRule(
    name="schema_files_differ",
    group=Group.SCHEMA,
    severity="warning",
    summary="The schema files describe another schema than the migrations create",
    impact="A database that ran all migrations does not have the schema that the files describe and lint checks.",
    fix_hint="add a migration for what only the schema files contain, and change the schema files for what only the"
    " migrations create",
    bad=Example(
        schema_files="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz NOT NULL)",
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)",),
    ),
    good=Example(
        schema_files="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)", "ALTER TABLE w_orders ADD COLUMN placed_at timestamptz"),
    ),
)
