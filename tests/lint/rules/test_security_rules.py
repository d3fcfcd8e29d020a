"""Rules about row security and functions, case by case: what each finds, and above all what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.schema_cases import assert_finds, case, lint

_O = "CREATE TABLE o (id int, tenant_id int);"
_ON = f"{_O} ALTER TABLE o ENABLE ROW LEVEL SECURITY;"
_OWN = "CREATE POLICY own ON o USING (tenant_id = 1);"


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("neither", _O),
        case("both", _ON + _OWN),
        case("policies, but off", _O + _OWN, "o has policies, but row security is disabled"),
        case("switched off again", _ON + _OWN + "ALTER TABLE o DISABLE ROW LEVEL SECURITY", "is disabled"),
        case("on, without policy", _ON, "o has row security but no policies"),
        case("policy dropped", _ON + _OWN + "DROP POLICY own ON o", "no policies"),
        case(
            "a part that nobody is to see",
            "CREATE TABLE t (a int) PARTITION BY LIST (a);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); ALTER TABLE t1 ENABLE ROW LEVEL SECURITY",
        ),
        case("all to everyone", _ON + "CREATE POLICY all_of_it ON o USING (true)", "lets every role read and write"),
        case("reading for everyone", _ON + "CREATE POLICY see ON o FOR SELECT USING (true)"),
        case("writing for everyone", _ON + "CREATE POLICY add ON o FOR INSERT WITH CHECK (true)", "insert every row"),
        case("all to a role", _ON + "CREATE POLICY admin ON o TO admin USING (true)"),
        case(
            "narrowed by a restrictive one",
            _ON + "CREATE POLICY all_of_it ON o USING (true);"
            "CREATE POLICY own ON o AS RESTRICTIVE USING (tenant_id = 1)",
        ),
        case("beside another", _ON + _OWN + "CREATE POLICY all_of_it ON o USING (true)", "own has no effect"),
        case("reading beside another", _ON + _OWN + "CREATE POLICY see ON o FOR SELECT USING (true)"),
        case("a role beside everyone", _ON + _OWN + "CREATE POLICY admin ON o TO admin USING (true)"),
        case("checked when written", _ON + "CREATE POLICY p ON o FOR UPDATE USING (true) WITH CHECK (tenant_id = 1)"),
    ],
)
def test_rls_state(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("rls_state", sql, options=options), *fragments)


def test_policies_that_do_nothing_are_an_error() -> None:
    (finding,) = lint("rls_state", _O + _OWN)
    assert (finding.severity, finding.remedy) == ("error", "ALTER TABLE o ENABLE ROW LEVEL SECURITY;")


def _function(rest: str, returns: str = "RETURNS bigint") -> str:
    return f"CREATE FUNCTION f(a int, b text DEFAULT '') {returns} {rest}"


_BODY = "AS $$ BEGIN RETURN 1; END $$"


@pytest.mark.parametrize(
    ("sql", "fragments", "options"),
    [
        case("invoker", _function(f"LANGUAGE plpgsql {_BODY}")),
        case("definer", _function(f"LANGUAGE plpgsql SECURITY DEFINER {_BODY}"), "f is SECURITY DEFINER but"),
        case("with a path", _function(f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp {_BODY}")),
        case("with an empty path", _function(f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' {_BODY}")),
        case(
            "with the session's", _function(f"LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT {_BODY}")
        ),
        case(
            "with the schema of its owner, who is the user inside of it",
            _function(f'LANGUAGE plpgsql SECURITY DEFINER SET search_path = "$user", public {_BODY}'),
        ),
        case(
            "another setting",
            _function(f"LANGUAGE plpgsql SECURITY DEFINER SET work_mem = '1MB' {_BODY}"),
            "does not set search_path",
        ),
        case(
            "set later",
            _function(f"LANGUAGE plpgsql SECURITY DEFINER {_BODY};") + "ALTER FUNCTION f SET search_path = ''",
        ),
        case(
            "made one later",
            _function(f"LANGUAGE plpgsql {_BODY};") + "ALTER FUNCTION f SECURITY DEFINER",
            "does not set search_path",
        ),
        case(
            "reset",
            _function(f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' {_BODY};")
            + "ALTER FUNCTION f RESET ALL",
            "does not set search_path",
        ),
        case("SQL with names bound", _function("LANGUAGE sql SECURITY DEFINER RETURN 1")),
        case("SQL, a block with names bound", _function("LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT 1; END")),
        case("SQL as text", _function("LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"), "does not set search_path"),
        case(
            "procedure",
            "CREATE PROCEDURE f() LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN END $$",
            "does not set search_path",
        ),
    ],
)
def test_security_definer_search_path(sql: str, fragments: tuple[str, ...], options: dict[str, Any]) -> None:
    assert_finds(lint("security_definer_search_path", sql, options=options), *fragments)


def test_the_remedy_for_a_definer_names_its_arguments() -> None:
    (finding,) = lint("security_definer_search_path", _function(f"LANGUAGE plpgsql SECURITY DEFINER {_BODY}"))
    assert finding.remedy == "ALTER FUNCTION f(integer, text) SET search_path = public, pg_temp;"
