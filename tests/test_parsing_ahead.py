"""Texts that are parsed in a process of their own have the trees, and the mistakes, that they have here."""

from __future__ import annotations

import postgast
import pytest

from confiture.sql import ahead
from confiture.sql.ahead import parsed_ahead

TEXTS = ["SELECT 1", "SELEC 2", "", "CREATE TABLE t (a int);\n-- Käse\nSELECT 'ß' FROM t", "SELECT 1", "SELECT 5"]
WRONG = 1


@pytest.mark.parametrize("order", [(0, 2, 3, 5), (0, 3, 5)])
def test_trees_are_those_of_the_parser(order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [postgast.parse(TEXTS[place]) for place in order]
    with parsed_ahead(TEXTS) as parse:
        monkeypatch.setattr(postgast, "parse", None)
        assert [parse(TEXTS[place]) for place in order] == expected


def test_what_does_not_parse_raises_here() -> None:
    with parsed_ahead(TEXTS) as parse:
        with pytest.raises(postgast.PgQueryError, match="SELEC"):
            parse(TEXTS[WRONG])
        assert parse(TEXTS[3]) == postgast.parse(TEXTS[3])


def test_other_texts_and_those_of_before_are_parsed_here() -> None:
    with parsed_ahead(TEXTS) as parse:
        assert [parse(one) for one in ("SELECT 9", TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[5])] == [
            postgast.parse(one) for one in ("SELECT 9", TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[5])
        ]
    assert parse(TEXTS[5]) == postgast.parse(TEXTS[5])


def test_a_process_that_ends_early_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def serialized(text: str) -> bytes:
        if text == TEXTS[3]:
            raise MemoryError
        return bytes(postgast.parse(text).SerializeToString()) if text != TEXTS[WRONG] else b""

    monkeypatch.setattr(ahead, "_serialized", serialized)
    with parsed_ahead(TEXTS) as parse:
        assert parse(TEXTS[5]) == postgast.parse(TEXTS[5])
