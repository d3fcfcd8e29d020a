"""The texts of migrations in the database: compressed, and each distinct text once."""

from __future__ import annotations

import zlib
from collections.abc import Collection

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.files.access import MAX_BYTES
from confiture.plan.texts import MigrationTexts, hash_text


def store_texts(connection: Connection, texts: MigrationTexts) -> None:
    """Store a migration's texts in the open transaction, unless they are stored already."""
    encoded = {key: text.encode() for key, text in texts.all().items()}
    connection.execute(
        query("store_texts"),
        {
            "hashes": list(encoded),
            "contents": [zlib.compress(content) for content in encoded.values()],
            "bytes": [len(content) for content in encoded.values()],
        },
    )


def read_texts(connection: Connection, hashes: Collection[str]) -> dict[str, str]:
    """Return stored texts by hash. A text that is missing or damaged is left out."""
    rows = connection.execute(query("texts"), {"hashes": list(hashes)}).fetchall() if hashes else []
    texts = {row["hash"]: _decompress(row["content"]) for row in rows}
    return {key: text for key, text in texts.items() if text is not None and hash_text(text) == key}


def _decompress(content: bytes) -> str | None:
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(content, MAX_BYTES + 1)
        return None if decompressor.unconsumed_tail else text.decode()
    except (zlib.error, UnicodeDecodeError):
        return None
