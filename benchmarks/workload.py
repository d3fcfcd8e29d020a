"""The work that the programs are given: the same SQL for each of them."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_MIGRATIONS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A migration, whatever the tool: statements to apply it and to undo it, without semicolons at their ends."""

    number: int
    name: str
    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def version(self) -> str:
        """The number as files are named: `0007`."""
        return f"{self.number:04}"

    @property
    def up_script(self) -> str:
        """The statements to apply it as one script."""
        return script(self.up)

    @property
    def down_script(self) -> str:
        """The statements to undo it as one script."""
        return script(self.down)


def script(statements: tuple[str, ...]) -> str:
    """Statements as one text, each ended by a semicolon and a line end."""
    return "".join(f"{statement};\n" for statement in statements)


def small_changes(count: int = SMALL_MIGRATIONS) -> tuple[Change, ...]:
    """Migrations that each make one table and one index."""
    return tuple(_small(number) for number in range(1, count + 1))


def _small(number: int) -> Change:
    table = f"w_item_{number:04}"
    create = (
        f"CREATE TABLE {table} (\n"
        "    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
        "    tenant_id bigint NOT NULL,\n"
        "    title text NOT NULL,\n"
        "    amount numeric(12, 2) NOT NULL DEFAULT 0,\n"
        "    created_at timestamptz NOT NULL DEFAULT now()\n"
        ")"
    )
    index = f"CREATE INDEX {table}_tenant ON {table} (tenant_id, created_at)"
    return Change(number=number, name=f"add_item_{number:04}", up=(create, index), down=(f"DROP TABLE {table}",))


def large_change(tables: int, rows: int) -> Change:
    """One migration that makes tables, fills them by INSERT ... SELECT, and indexes them."""
    source = (
        "CREATE TABLE w_order (\n"
        "    id bigint PRIMARY KEY,\n"
        "    tenant_id bigint NOT NULL,\n"
        "    amount numeric(12, 2) NOT NULL,\n"
        "    placed_at timestamptz NOT NULL\n"
        ")"
    )
    fill = (
        "INSERT INTO w_order (id, tenant_id, amount, placed_at)\n"
        "SELECT n, n % 50, (n % 1000) / 7.0, timestamptz '2024-01-01 00:00:00+00' + n * interval '1 minute'\n"
        f"FROM generate_series(1, {rows // 2}) AS n"
    )
    statements = [source, fill, "CREATE INDEX w_order_tenant ON w_order (tenant_id, placed_at)"]
    for number in range(1, tables):
        name = f"r_part_{number:03}"
        statements += [
            f"CREATE TABLE {name} (\n    tenant_id bigint NOT NULL,\n    id bigint NOT NULL,\n"
            "    amount numeric(12, 2),\n    PRIMARY KEY (tenant_id, id)\n)",
            f"INSERT INTO {name} (tenant_id, id, amount)\nSELECT tenant_id, id, amount\nFROM w_order\n"
            f"WHERE id > {(number - 1) * (rows // 2) // (tables - 1)} AND id <= {number * (rows // 2) // (tables - 1)}",
            f"CREATE INDEX {name}_amount ON {name} (amount)",
        ]
    drops = tuple(f"DROP TABLE r_part_{number:03}" for number in range(1, tables))
    return Change(number=1, name="build_read_models", up=tuple(statements), down=(*drops, "DROP TABLE w_order"))
