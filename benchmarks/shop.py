"""A project as large as those that lint is made for: tables, read models, views, functions, policies and indexes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

WRITE_FILES = 650
QUERY_FILES = 400
COMMON_FILES = 150
INDEX_FILES = 56
LINES = 50_000
MIGRATIONS = 25
_NOUNS = ("order", "customer", "payment", "shipment", "proof", "press", "paper", "invoice", "courier", "artwork")
_KINDS = (
    "item",
    "note",
    "event",
    "price",
    "batch",
    "label",
    "claim",
    "draft",
    "reprint",
    "return",
    "audit",
    "plan",
    "rate",
)
_PER_POLICY_FILE = 60


@dataclass
class Project:
    """The texts of a project's files by their paths, `scale` times as many as usual."""

    scale: int = 1
    files: dict[str, str] = field(default_factory=dict)
    migrations: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """Of all DDL files together."""
        return sum(text.count("\n") for text in self.files.values())

    def write(self, folder: Path) -> None:
        """Writes it, with the settings of confiture and those of fraiseql-confiture."""
        settings = {
            "confiture.yaml": _SETTINGS,
            "db/environments/local.yaml": _FRAISEQL_SETTINGS,
            **{f"schemas/{path}": text for path, text in self.files.items()},
            **{f"migrations/{path}": text for path, text in self.migrations.items()},
        }
        for path, text in settings.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def large_project(scale: int = 1) -> Project:
    """The same project each time: 1,256 files and 50,000 lines, or `scale` times that."""
    project = Project(scale)
    write, query = _write_tables(project), _read_models(project)
    project.files["03_common/00000_current_tenant.sql"] = _CURRENT_TENANT
    tables = [*write, *query]
    policies = -(-len(tables) // _PER_POLICY_FILE)
    for number in range(policies):
        part = tables[number * _PER_POLICY_FILE : (number + 1) * _PER_POLICY_FILE]
        project.files[f"03_common/{number + 1:05}_row_security.sql"] = "".join(map(_policy, part))
    for number in range(policies + 1, COMMON_FILES * scale):
        project.files[f"03_common/{number:05}_{_COMMON[number % 3][0]}.sql"] = _COMMON[number % 3][1](number, write)
    per_file = -(-len(write) // (INDEX_FILES * scale))
    for number in range(INDEX_FILES * scale):
        part = write[number * per_file : (number + 1) * per_file]
        project.files[f"04_indexes/{number:05}_write_side.sql"] = "".join(map(_index, part)) or "-- none\n"
    _fill_up(project)
    _migrate(project, query)
    return project


def _table_name(number: int) -> str:
    noun, kind = _NOUNS[number % len(_NOUNS)], _KINDS[number // len(_NOUNS) % len(_KINDS)]
    return f"{noun}_{kind}_{number:05}"


def _write_tables(project: Project) -> list[str]:
    names = ["w_tenants"]
    project.files["01_write_side/00000_tenants.sql"] = _TENANTS
    for number in range(1, WRITE_FILES * project.scale):
        name = f"w_{_table_name(number)}"
        target = names[max(1, number - 7)] if number > 1 else None
        project.files[f"01_write_side/{number:05}_{name[2:]}.sql"] = _write_table(name, target)
        names.append(name)
    return names[1:]


def _write_table(name: str, target: str | None) -> str:
    reference = (
        f"CREATE INDEX {name}_parent_idx ON {name} (tenant_id, parent_id);\n\n"
        f"ALTER TABLE {name}\n"
        f"    ADD CONSTRAINT {name}_parent_fkey\n"
        f"        FOREIGN KEY (tenant_id, parent_id) REFERENCES {target} (tenant_id, id);\n\n"
        if target
        else ""
    )
    return f"""\
-- One row is made for each {name[2:].replace("_", " ")}; its history is in the events of the order.
CREATE TABLE {name} (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id     bigint         NOT NULL,
    parent_id     bigint,
    title         text           NOT NULL,
    body          text,
    status        text           NOT NULL DEFAULT 'draft',
    quantity      bigint         NOT NULL DEFAULT 1,
    amount        numeric(12, 2) NOT NULL DEFAULT 0,
    currency      text           NOT NULL DEFAULT 'EUR',
    details       jsonb          NOT NULL DEFAULT '{{}}'::jsonb,
    due_on        date,
    external_id   uuid           NOT NULL DEFAULT gen_random_uuid(),
    made_by       text           NOT NULL DEFAULT CURRENT_USER,
    weight_g      bigint,
    width_mm      bigint,
    height_mm     bigint,
    area_mm2      bigint GENERATED ALWAYS AS (width_mm * height_mm) STORED,
    tags          text[]         NOT NULL DEFAULT '{{}}'::text[],
    created_at    timestamptz    NOT NULL DEFAULT now(),
    changed_at    timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT {name}_pkey PRIMARY KEY (id),
    CONSTRAINT {name}_tenant_key UNIQUE (tenant_id, id),
    CONSTRAINT {name}_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES w_tenants (tenant_id),
    CONSTRAINT {name}_external_key UNIQUE (external_id),
    CONSTRAINT {name}_quantity_check CHECK (quantity > 0),
    CONSTRAINT {name}_size_check CHECK ((width_mm IS NULL) = (height_mm IS NULL)),
    CONSTRAINT {name}_amount_check CHECK (amount >= 0 AND (currency <> 'JPY' OR amount = trunc(amount))),
    CONSTRAINT {name}_status_check
        CHECK (status IN ('draft', 'placed', 'in_production', 'shipped', 'delivered', 'cancelled'))
);

{reference}\
COMMENT ON TABLE {name} IS 'What a shop keeps of its {name[2:].replace("_", " ")}, one row each';
COMMENT ON COLUMN {name}.tenant_id IS 'The shop';
COMMENT ON COLUMN {name}.amount IS 'What it costs without taxes; not always what was paid';
COMMENT ON COLUMN {name}.due_on IS 'The day in the shop''s own time zone';
COMMENT ON COLUMN {name}.external_id IS 'What partners know it by';
COMMENT ON COLUMN {name}.weight_g IS 'Of one piece, in grams';
COMMENT ON COLUMN {name}.tags IS 'What the shop calls it besides';
"""


def _read_models(project: Project) -> list[str]:
    names = []
    for number in range(QUERY_FILES * project.scale):
        source = f"w_{_table_name(number + 1)}"
        if number % 3 == 2:
            name = f"v_{_table_name(number)}"
            text = _view(name, source)
        else:
            name = f"r_{_table_name(number)}"
            names.append(name)
            text = _read_model(name)
        project.files[f"02_query_side/{number:05}_{name[2:]}.sql"] = text
    return names


def _read_model(name: str) -> str:
    return f"""\
-- Emptied and filled again at any time, hence without foreign keys to the write side.
CREATE TABLE {name} (
    tenant_id        bigint         NOT NULL,
    source_id        bigint         NOT NULL,
    title            text           NOT NULL,
    status           text           NOT NULL,
    amount           numeric(12, 2) NOT NULL,
    paid_amount      numeric(12, 2) NOT NULL,
    refunded_amount  numeric(12, 2) NOT NULL,
    item_count       bigint         NOT NULL,
    open_count       bigint         NOT NULL DEFAULT 0,
    late_count       bigint         NOT NULL DEFAULT 0,
    customer_name    text,
    customer_email   text,
    carrier          text,
    tracking_code    text,
    first_at         timestamptz,
    last_at          timestamptz,
    CONSTRAINT {name}_pkey PRIMARY KEY (tenant_id, source_id)
);

CREATE INDEX {name}_open_idx
    ON {name} (tenant_id, last_at DESC)
    WHERE status <> 'delivered';

COMMENT ON TABLE {name} IS 'The page of {name[2:].replace("_", " ")}, ready to show';
COMMENT ON COLUMN {name}.tenant_id IS 'The shop';
COMMENT ON COLUMN {name}.paid_amount IS 'Sum of the payments, before refunds';
COMMENT ON COLUMN {name}.item_count IS 'Without those that were cancelled';
COMMENT ON COLUMN {name}.late_count IS 'Those whose day is over';
COMMENT ON COLUMN {name}.customer_name IS 'Copied, so that the page needs no join';
COMMENT ON COLUMN {name}.tracking_code IS 'Of the last parcel';
"""


def _view(name: str, source: str) -> str:
    return f"""\
CREATE VIEW {name}
WITH (security_invoker = true) AS
WITH totals AS (
    SELECT s.tenant_id, s.parent_id, count(*) AS items, sum(s.amount * s.quantity) AS amount
    FROM {source} s
    WHERE s.status <> 'cancelled'
    GROUP BY s.tenant_id, s.parent_id
)
SELECT
    s.tenant_id,
    s.id,
    s.title,
    coalesce(t.items, 0) AS items,
    coalesce(t.amount, 0) AS amount,
    CASE WHEN s.due_on < current_date THEN 'late' ELSE s.status END AS shown_status,
    row_number() OVER (PARTITION BY s.tenant_id ORDER BY s.created_at DESC) AS position
FROM {source} s
LEFT JOIN totals t ON t.tenant_id = s.tenant_id AND t.parent_id = s.id
WHERE s.status IN ('placed', 'in_production', 'shipped');

COMMENT ON VIEW {name} IS 'What is open of {source}, newest first';
"""


def _policy(table: str) -> str:
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"
        f"CREATE POLICY tenant_isolation ON {table}\n"
        "    USING (tenant_id = (SELECT current_tenant()));\n"
    )


def _sql_function(number: int, tables: list[str]) -> str:
    table = tables[number % len(tables)]
    return f"""\
-- The month of an instant in UTC: date_trunc() alone follows the session's time zone.
CREATE FUNCTION month_of_{number:05}(moment timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_trunc('month', moment AT TIME ZONE 'UTC')::date;

CREATE FUNCTION open_amount_{number:05}(tenant bigint) RETURNS numeric
    LANGUAGE sql STABLE
    AS $$
        SELECT coalesce(sum(amount), 0)
        FROM {table}
        WHERE tenant_id = tenant AND status IN ('placed', 'in_production')
    $$;

COMMENT ON FUNCTION open_amount_{number:05}(bigint) IS 'What the shop still has to be paid';
"""


def _trigger(number: int, tables: list[str]) -> str:
    table = tables[number % len(tables)]
    return f"""\
CREATE FUNCTION touch_{number:05}() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE
        changed boolean := false;
    BEGIN
        IF new.tenant_id <> old.tenant_id THEN
            RAISE EXCEPTION 'a row of {table} cannot change its tenant' USING ERRCODE = 'check_violation';
        END IF;
        changed := new IS DISTINCT FROM old;
        IF changed THEN
            new.changed_at := now();
        END IF;
        RETURN new;
    END
    $$;

CREATE TRIGGER touch BEFORE UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION touch_{number:05}();
"""


def _static_table(number: int, tables: list[str]) -> str:
    return f"""\
CREATE TYPE stage_{number:05} AS ENUM ('open', 'closed', 'cancelled');
CREATE DOMAIN percentage_{number:05} AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);

-- The same for every shop, hence r_static_ and no tenant_id.
CREATE TABLE r_static_stages_{number:05} (
    status    text NOT NULL,
    stage     stage_{number:05} NOT NULL,
    share     percentage_{number:05} NOT NULL,
    label     text NOT NULL,
    CONSTRAINT r_static_stages_{number:05}_pkey PRIMARY KEY (status)
);

COMMENT ON TABLE r_static_stages_{number:05} IS 'What a status is shown as';
"""


_COMMON = (("amounts", _sql_function), ("touch", _trigger), ("stages", _static_table))


def _index(table: str) -> str:
    return (
        "-- CONCURRENTLY: the shops go on ordering while it is built.\n"
        f"CREATE INDEX CONCURRENTLY {table}_created_idx ON {table} (tenant_id, created_at);\n"
        f"CREATE INDEX CONCURRENTLY {table}_due_idx ON {table} (tenant_id, due_on) WHERE status = 'placed';\n"
        f"CREATE INDEX CONCURRENTLY {table}_title_idx ON {table} (tenant_id, lower(title) text_pattern_ops);\n"
        f"CREATE INDEX CONCURRENTLY {table}_tags_idx ON {table} USING gin (tags);\n\n"
    )


def _fill_up(project: Project) -> None:
    """Adds comments in front of the files until there are as many lines as there should be."""
    missing = LINES * project.scale - project.lines
    if missing < 0:
        raise ValueError(f"{-missing} lines too many")
    each, rest = divmod(missing, len(project.files))
    for position, (path, text) in enumerate(project.files.items()):
        count = each + (position < rest)
        project.files[path] = (
            "".join(f"-- {path}: line {line} of what people wrote about it\n" for line in range(count)) + text
        )


def _migrate(project: Project, read_models: list[str]) -> None:
    """Migrations that run the last files of each folder and fill read models."""
    queries = [path for path in project.files if path.startswith("02_")]
    indexes = [path for path in project.files if path.startswith("04_")]
    count = MIGRATIONS * project.scale
    per_migration = len(queries) // 2 // count
    for number, files in enumerate(_cut(queries[-count * per_migration :], per_migration), start=1):
        made = [name for name in read_models if any(path.endswith(f"_{name[2:]}.sql") for path in files)]
        lists = "".join(f"  - {path}\n" for path in [*files, indexes[number % len(indexes)]])
        fills = "".join(_FILL.format(name=name, source=f"w_{_table_name(int(name[-5:]) + 1)}") for name in made)
        name = f"{number:05}_add_read_models.yaml"
        project.migrations[name] = (
            f'version: "{number:05}"\nname: add_read_models\nddl:\n{lists}after_ddl:\n{fills}'
            "down:\n" + "".join(f"  - sql: DROP TABLE {name}\n" for name in made)
        )


def _cut(paths: list[str], size: int) -> Iterator[list[str]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))


_FILL = """\
  - name: fill {name}
    sql: |
      INSERT INTO {name} (
          tenant_id, source_id, title, status, amount, paid_amount, refunded_amount, item_count, first_at, last_at
      )
      SELECT s.tenant_id, s.id, s.title, s.status, s.amount, 0, 0, s.quantity, s.created_at, s.changed_at
      FROM {source} s
"""
_TENANTS = """\
CREATE TABLE w_tenants (
    tenant_id   bigint GENERATED ALWAYS AS IDENTITY,
    slug        text        NOT NULL,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT w_tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT w_tenants_slug_key UNIQUE (slug)
);

COMMENT ON TABLE w_tenants IS 'Print shops that use the service';
"""
_CURRENT_TENANT = """\
CREATE FUNCTION current_tenant() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.tenant_id', true), '')::bigint;
"""
_SETTINGS = dedent(
    """\
    database: {url: embedded}
    migrations: migrations
    schemas: schemas
    tenancy: {column: tenant_id, tables: [w_*, r_*], except: [r_static_*]}
    linting:
      rules:
        - {type: requires_tenant_id, tables: [r_*], except: [r_static_*], severity: error}
        - {type: requires_column, column: tenant_id, tables: "r_*", except: [r_static_*], severity: error}
        - {type: naming_convention, write_side_prefix: w_, read_side_prefix: r_, static_prefix: r_static_}
        - {type: requires_primary_key, tables: "*", severity: error}
        - {type: requires_indexes_on_foreign_keys, severity: warning}
        - {type: table_comment}
    """
)
_FRAISEQL_SETTINGS = dedent(
    """\
    name: local
    include_dirs: [schemas]
    exclude_dirs: []
    database_url: postgresql://localhost/shop
    """
)

if __name__ == "__main__":
    large_project(int(sys.argv[2])).write(Path(sys.argv[1]))
