"""Store Confiture's own text in databases whose encoding lacks some of the characters."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrDumperUnknown

_UTF8 = "UTF8"
_CODECS = {
    "LATIN1": "iso8859-1",
    "LATIN2": "iso8859-2",
    "LATIN5": "iso8859-9",
    "LATIN9": "iso8859-15",
    "WIN1250": "cp1250",
    "WIN1251": "cp1251",
    "WIN1252": "cp1252",
    "KOI8R": "koi8-r",
    "EUC_JP": "euc_jp",
    "EUC_KR": "euc_kr",
    "EUC_CN": "gb2312",
}
"""Python codecs for PostgreSQL encodings. For all other encodings, only ASCII is safe."""


def replace_unencodable_parameters(connection: psycopg.Connection[Any]) -> None:
    """Replace the characters in parameters that the database encoding lacks, if the encoding is not UTF-8.

    Parameters are Confiture's own text, such as step names. Migration SQL is sent unchanged, because PostgreSQL reports
    characters that it cannot convert.
    """
    encoding = connection.info.parameter_status("server_encoding") or _UTF8
    if encoding == _UTF8:
        return
    codec = _CODECS.get(encoding, "ascii")

    def replace(text: str) -> str:
        return text.replace("…", "...").encode(codec, "replace").decode(codec)

    class EncodableDumper(StrDumperUnknown):
        """Dumps text without the characters that the database encoding lacks."""

        def dump(self, obj: str) -> Any:
            return super().dump(replace(obj))

    connection.adapters.register_dumper(str, EncodableDumper)
    set_json_dumps(lambda value: replace(json.dumps(value, ensure_ascii=False)), connection)
