"""Texts that are parsed in a process of their own have the trees, and the mistakes, that they have here."""

from __future__ import annotations

import os
import resource

import pytest

from confiture.sql import parallel_parse
from confiture.sql.parallel_parse import parse_in_child
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import postgast

TEXTS = ["SELECT 1", "SELEC 2", "", "CREATE TABLE t (a int);\n-- Käse\nSELECT 'ß' FROM t", "SELECT 1", "SELECT 5"]
WRONG = 1


def _again(parse: Parse) -> tuple[int, list[str]]:
    """The process, and what the texts that parse hold."""
    return os.getpid(), [str(parse(text)) for text in (*TEXTS, "SELECT 9") if text != TEXTS[WRONG]]


@pytest.mark.parametrize("order", [(0, 2, 3, 5), (0, 3, 5)])
def test_trees_are_those_of_the_parser(order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [postgast.parse(TEXTS[place]) for place in order]
    with parse_in_child(TEXTS, _again) as (parse, _):
        monkeypatch.setattr(postgast, "parse", None)
        assert [parse(TEXTS[place]) for place in order] == expected


def test_what_does_not_parse_raises_here() -> None:
    with parse_in_child(TEXTS, _again) as (parse, _):
        with pytest.raises(postgast.PgQueryError, match="SELEC"):
            parse(TEXTS[WRONG])
        assert parse(TEXTS[3]) == postgast.parse(TEXTS[3])


def test_other_texts_and_those_of_before_are_parsed_here() -> None:
    with parse_in_child(TEXTS, _again) as (parse, _):
        assert [parse(one) for one in ("SELECT 9", TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[5])] == [
            postgast.parse(one) for one in ("SELECT 9", TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[5])
        ]
    assert parse(TEXTS[5]) == postgast.parse(TEXTS[5])


def test_a_process_that_ends_early_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def serialized(text: str) -> bytes:
        if text == TEXTS[3]:
            raise MemoryError
        return bytes(postgast.parse(text).SerializeToString()) if text != TEXTS[WRONG] else b""

    monkeypatch.setattr(parallel_parse, "_parse_to_bytes", serialized)
    with parse_in_child(TEXTS, _again) as (parse, _):
        assert parse(TEXTS[5]) == postgast.parse(TEXTS[5])


@pytest.mark.parametrize("asked", [(), (0,), (0, 2, 3, 4, 5)])
def test_what_is_done_then_comes_behind_all_texts(asked: tuple[int, ...]) -> None:
    with parse_in_child(TEXTS, _again) as (parse, result):
        for place in asked:
            parse(TEXTS[place])
        process, said = result()
    assert process != os.getpid()
    assert said == _again(postgast.parse)[1]


def test_what_fails_there_is_done_here() -> None:
    def fail(parse: Parse) -> None:
        parse(TEXTS[WRONG])

    with parse_in_child(TEXTS, fail) as (parse, result):
        assert parse(TEXTS[5]) == postgast.parse(TEXTS[5])
        with pytest.raises(postgast.PgQueryError, match="SELEC"):
            result()


def test_all_is_done_here_where_there_can_be_no_more_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with parse_in_child(TEXTS, _again) as (parse, result):
            found, (process, said) = parse(TEXTS[3]), result()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == postgast.parse(TEXTS[3])
    assert process == os.getpid()
    assert said == _again(postgast.parse)[1]
