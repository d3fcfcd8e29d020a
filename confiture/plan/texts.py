"""The unrendered texts of a migration, as the history stores them.

The hash of a text is a wire format: the SHA-256 hash of its UTF-8 form.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from confiture.models.migration import MigrationFile
from confiture.models.records import record
from confiture.secrets import hide_secrets


@record(frozen=True, kw_only=True, slots=True)
class MigrationTexts:
    """The texts of a migration: its own file, at `path`, and the files that its steps name, by their stored name.

    In the migration's own file, secret values are replaced. Named files are as they are, because a text that is changed
    could not be pinned.
    """

    path: str
    own: str
    files: Mapping[str, str]

    def all(self) -> dict[str, str]:
        """Return the distinct texts by hash."""
        return {hash_text(text): text for text in (self.own, *self.files.values())}


def collect_texts(migration: MigrationFile) -> MigrationTexts:
    """Return the texts of a migration, of all phases."""
    file = migration.file
    return MigrationTexts(
        path=file.path,
        own=hide_secrets(file.text if file.shown_text is None else file.shown_text),
        files={named.stored_name: named.file.text for named in migration.named_files},
    )


def hash_text(text: str) -> str:
    """Return the hash under which a text is stored: 64 hexadecimal digits."""
    return sha256(text.encode()).hexdigest()
