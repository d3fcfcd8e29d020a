"""Settings that procedural code makes until the transaction ends: SET LOCAL, and set_config with a final true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confiture.models.plan import Statement
from confiture.sql.parser import parse_sql, postgast, scan_tokens


def local_settings_in_code(code: str) -> frozenset[str]:
    """Return the names of the settings that the code makes only until the transaction ends.

    A setting that the same code may also make for the session is left out. Code that cannot be scanned makes none.
    """
    try:
        encoded = code.encode()
        tokens = [encoded[token.start : token.end].decode() for token in scan_tokens(code)]
    except postgast.PgQueryError:
        return frozenset()
    settings = list(_find_settings([token.lower() for token in tokens if not token.startswith(("--", "/*"))]))
    return frozenset(name for name, is_local in settings if is_local) - {
        name for name, is_local in settings if not is_local
    }


def code_in(statement: Statement) -> str:
    """Return the code of a DO block; otherwise, the statement."""
    if statement.node_kind != "do_stmt":
        return statement.text
    arguments = parse_sql(statement.text).stmts[0].stmt.do_stmt.args
    bodies = (item.def_elem.arg.string.sval for item in arguments if item.def_elem.defname == "as")
    return next(bodies, "")


def _find_settings(words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the name of each setting, and whether it ends with the transaction."""
    for number, word in enumerate(words):
        following = words[number + 1 :]
        if word == "set_config" and following[:1] == ["("]:
            arguments = _split_arguments(following[1:])
            if arguments and len(arguments[0]) == 1:
                is_local = len(arguments) == 3 and arguments[2] in (["true"], ["'t'"], ["'true'"])
                yield arguments[0][0].strip("'"), is_local
        elif word in ("set", "reset"):
            is_local = word == "set" and following[:1] == ["local"]
            rest = following[1:] if following[:1] in (["local"], ["session"]) else following
            yield _setting_name(rest), is_local


def _setting_name(words: Sequence[str]) -> str:
    names = {"time zone": "timezone", "session authorization": "session_authorization"}
    two = " ".join(words[:2])
    if two in names:
        return names[two]
    is_custom = words[1:2] == ["."]
    return "".join(words[:3] if is_custom else words[:1]).replace('"', "")


def _split_arguments(words: Sequence[str]) -> list[list[str]]:
    """Return the tokens of each argument, up to the parenthesis that closes the call."""
    depth = 0
    arguments: list[list[str]] = [[]]
    for word in words:
        if word == ")" and depth == 0:
            return arguments
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(word)
    return []
