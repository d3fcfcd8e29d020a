"""Read the table of contents of pg_dump's custom format: every definition, and the entries that it depends on.

The archive names each object's kind, schema and dependencies exactly; the plain format would have to be split by its
comments, which function bodies can imitate.
"""

from __future__ import annotations

from collections.abc import Iterator

from confiture.models.dump import DumpEntry, SchemaDump

_MAGIC = b"PGDMP"
_CUSTOM_FORMAT = 1
_OLDEST, _NEWEST = (1, 14), (1, 16)
_COMPRESSION_BY_NAME, _WITH_RELATION_KIND = (1, 15), (1, 16)
_DATE_FIELDS = 7


class ArchiveError(ValueError):
    """The archive is damaged, or its format is unknown."""


class _ArchiveReader:
    """Reads the integers and texts of an archive in order."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self.integer_size = 4

    def bytes(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._content):
            raise ArchiveError("it ends too early")
        piece = self._content[self._position : end]
        self._position = end
        return piece

    def byte(self) -> int:
        return self.bytes(1)[0]

    def integer(self) -> int:
        is_negative = self.byte() != 0
        value = int.from_bytes(self.bytes(self.integer_size), "little")
        return -value if is_negative else value

    def text(self) -> str | None:
        length = self.integer()
        return None if length < 0 else self.bytes(length).decode("utf-8", "surrogateescape")


def read_archive(content: bytes) -> SchemaDump:
    """Return the entries of an archive in the custom format. Raise ArchiveError."""
    reader = _ArchiveReader(content)
    if reader.bytes(len(_MAGIC)) != _MAGIC:
        raise ArchiveError("it is not an archive of pg_dump")
    version = reader.byte(), reader.byte()
    reader.byte()  # the revision
    if not _OLDEST <= version <= _NEWEST:
        raise ArchiveError(f"its format {version[0]}.{version[1]} is not supported")
    reader.integer_size, offset_size = reader.byte(), reader.byte()
    if reader.byte() != _CUSTOM_FORMAT:
        raise ArchiveError("it is not in the custom format")
    if version >= _COMPRESSION_BY_NAME:
        reader.byte()
    else:
        reader.integer()
    for _ in range(_DATE_FIELDS):
        reader.integer()
    reader.text()  # the database
    reader.text()  # the version of the server
    program = reader.text() or ""
    entries = tuple(_read_entries(reader, version, offset_size))
    return SchemaDump(entries=entries, program=program)


def _read_entries(reader: _ArchiveReader, version: tuple[int, int], offset_size: int) -> Iterator[DumpEntry]:
    for _ in range(reader.integer()):
        number = reader.integer()
        reader.integer()  # whether it has data
        reader.text()  # the OIDs of the catalog and the object
        reader.text()
        tag, kind = reader.text() or "", reader.text() or ""
        reader.integer()  # the section
        sql = reader.text() or ""
        reader.text()  # the statements that drop it and copy its data
        reader.text()
        schema, tablespace, access_method = (reader.text() or "" for _ in range(3))
        if version >= _WITH_RELATION_KIND:
            reader.integer()
        reader.text()  # the owner
        reader.text()  # whether it has OIDs, which no longer exist
        dependencies = frozenset(_read_dependencies(reader))
        reader.bytes(1 + offset_size)  # the position of the data
        yield DumpEntry(
            number=number,
            kind=kind,
            tag=tag,
            schema=schema,
            sql=sql,
            tablespace=tablespace,
            access_method=access_method,
            dependencies=dependencies,
        )


def _read_dependencies(reader: _ArchiveReader) -> Iterator[int]:
    while (text := reader.text()) is not None:
        yield int(text)
