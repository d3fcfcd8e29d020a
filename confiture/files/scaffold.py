"""Creation of projects and migrations. Existing files are never overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from confiture.errors import Diagnostic, InputError
from confiture.files.access import (
    ANYWHERE,
    OWN_FOLDER,
    create_file,
    display_path,
    make_folder,
    read_file,
    write_file,
    write_own_file,
)
from confiture.files.settings import FILE_NAME

SCHEMA_FOLDER = Path(OWN_FOLDER, "schema")

_SETTINGS_TEMPLATE = """\
# yaml-language-server: $schema={schema}/settings.json
database:
  url: embedded          # this project's own server; or a postgresql:// URL, for example "{{{{ env.DATABASE_URL }}}}"
  lock_timeout: 2s       # the maximum wait for a lock
  max_blocking: 1s       # the maximum time a migration may block other sessions
  retries: 20
migrations: migrations
schemas: schemas
vars: {{}}
"""

_MIGRATION_TEMPLATE = """\
# yaml-language-server: $schema={schema}/migration.json
description: {description}

before_validation: []   # checks before anything changes:
#  - name: every customer has a tenant
#    check: SELECT count(*) FROM w_customers WHERE tenant_id IS NULL
#    expect: 0

ddl: []                 # files below the schemas folder, or inline SQL:
#  - 02_query_side/010_example.sql
#  - sql: ALTER TABLE r_example ADD COLUMN note text

after_ddl: []           # backfills

after_validation: []    # checks that prove the result

down: []                # steps that roll back the migration:
#  - sql: ALTER TABLE r_example DROP COLUMN note
"""

_PYTHON_TEMPLATE = """\
from confiture.models import Migration


class {class_name}(Migration):
    description = "{description}"

    def up(self) -> None:
        # calls are recorded as steps, which are planned, linted, and dry-run like steps in YAML:
        # self.load_ddl_files(["02_query_side/010_example.sql"])
        # self.execute("ALTER TABLE r_example ADD COLUMN note text")
        # self.check("SELECT count(*) FROM r_example WHERE tenant_id IS NULL", expect=0)
        pass

    def down(self) -> None:
        # self.execute("ALTER TABLE r_example DROP COLUMN note")
        pass
"""


def create_project(folder: Path, schemas: Mapping[str, str]) -> list[Path]:
    """Create a project in a folder: the settings, empty folders, and `schemas` for editors.

    Return the created paths. Raise InputError if the folder already contains a project.
    """
    settings = folder / FILE_NAME
    if settings.exists():
        raise InputError(
            Diagnostic(
                code="exists", message=f"{settings} already exists", hint="run `confiture new NAME` to add a migration"
            )
        )
    make_folder(folder, str(folder))
    _write_new_file(settings, _SETTINGS_TEMPLATE.format(schema=SCHEMA_FOLDER.as_posix()))
    paths = [settings]
    for name in ("migrations", "schemas"):
        make_folder(folder / name, str(folder / name))
        paths.append(folder / name)
    write_schemas(folder, schemas)
    if _add_to_gitignore(folder):
        paths.append(folder / ".gitignore")
    return paths


def write_schemas(root: Path, schemas: Mapping[str, str]) -> None:
    """Write schemas below a project's `.confiture/schema/`, which the files' `$schema` comments refer to.

    Raise InputError if the schemas cannot be written.
    """
    for name, text in schemas.items():
        write_own_file(root, f"schema/{name}", text)


def _add_to_gitignore(folder: Path) -> bool:
    """Add `.confiture/` to the folder's .gitignore. Return whether the entry was missing."""
    path, line = folder / ".gitignore", f"{OWN_FOLDER}/".encode()
    content = read_file(path, str(path), (folder,)) if os.path.lexists(path) else b""
    lines = content.splitlines()
    if line in lines:
        return False
    write_file(path, str(path), b"\n".join([*lines, line, b""]), (folder,))
    return True


def create_migration(name: str, folder: Path, root: Path, versions: Sequence[str], schemas: Mapping[str, str]) -> Path:
    """Create a YAML migration with the next version. Return its path. Raise InputError for an invalid name."""
    slug = _make_slug(name)
    make_folder(folder, display_path(folder, root))
    write_schemas(root, schemas)
    path = folder / f"{next_version(versions)}_{slug}.yaml"
    schema = Path(os.path.relpath(root / SCHEMA_FOLDER, folder)).as_posix()
    _write_new_file(path, _MIGRATION_TEMPLATE.format(schema=schema, description=slug.replace("_", " ").capitalize()))
    return path


def create_python_migration(name: str, folder: Path, versions: Sequence[str]) -> Path:
    """Create a Python migration with the next version. Return its path. Raise InputError for an invalid name."""
    slug = _make_slug(name)
    make_folder(folder, str(folder))
    path = folder / f"{next_version(versions)}_{slug}.py"
    words = slug.split("_")
    class_name = "".join(map(str.capitalize, words if words[0][0].isalpha() else ["migration", *words]))
    _write_new_file(path, _PYTHON_TEMPLATE.format(class_name=class_name, description=" ".join(words).capitalize()))
    return path


def _make_slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not slug:
        raise InputError(
            Diagnostic(
                code="bad-name",
                message=f"{name!r} contains no letter or digit",
                hint="choose a name such as add_order_totals",
            )
        )
    return slug


def next_version(versions: Sequence[str]) -> str:
    """Return the version after the last numeric version, padded to the same width: `012` after `011`."""
    numbers = [version for version in versions if version.isdecimal()]
    if not numbers:
        return "001"
    last = max(numbers, key=int)
    return str(int(last) + 1).zfill(len(last))


def _write_new_file(path: Path, text: str) -> None:
    create_file(path, str(path), text.encode(), ANYWHERE)
