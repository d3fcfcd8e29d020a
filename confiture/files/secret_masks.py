"""Masking possible passwords with `*` in excerpts from YAML files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from confiture.files.schema.located_text import scalar_start
from confiture.files.variables import ENVIRONMENT_REFERENCE
from confiture.secrets import is_secret_name

_PUBLIC_SETTINGS = frozenset({"project", "migrations", "schemas", "tenancy", "hooks", "linting", "build"})
_PUBLIC_ENVIRONMENT_SETTINGS = frozenset({"protected"})
_SETTINGS_WITH_NUMBERS = frozenset({"lock_timeout", "max_blocking", "retries"})
_KEY = re.compile(r"[A-Za-z_-]{1,40}|<<")
_NUMBER = re.compile(r"[\w. -]{1,20}")
# text before a password in a line that may not be YAML
_SIGN = re.compile(r"[@=]|:/|//|ur[li]|pass|pw|secret|token|key|cred|auth|dsn|database|user|host|\benv", re.IGNORECASE)
_NAME = re.compile(r"(?<!\w)(\w{1,60})[\"']?[^\S\n]{0,20}:")
_HIDDEN_CHARACTER = re.compile(r"[^\s\"'{}\[\],:#]")


def mask_settings_lines(text: str) -> str:
    """Mask the values in lines that may contain a password. The text may be invalid YAML."""
    return "\n".join(_mask_line(line) if _SIGN.search(line) else line for line in text.split("\n"))


def mask_variable_lines(text: str) -> str:
    """Mask the values in lines that contain the name of a secret variable. The text may be invalid YAML."""
    return "\n".join(
        _mask_line(line) if any(map(is_secret_name, _NAME.findall(line))) else line for line in text.split("\n")
    )


def mask_nodes(text: str, nodes: Iterable[ScalarNode]) -> str:
    """Mask the values of scalars in the text. Offsets do not change."""
    parts, last = [], 0
    for begin, end in sorted(_value_span(text, node) for node in nodes):
        if begin >= last:
            parts += [text[last:begin], _mask_value(text[begin:end])]
            last = end
    return "".join([*parts, text[last:]])


def secret_settings(root: Node | None) -> list[ScalarNode]:
    """Return the scalars in confiture.yaml that may contain a password.

    These are the database settings, the values of secret variables and unknown keys, and all URLs.
    """
    nodes = [node for node in iter_scalars(root) if "://" in node.value or "pass" in node.value.lower()]
    for key, value in _pairs(root):
        if key.value == "environments":
            for _, environment in _pairs(value):
                nodes += _secret_section(environment, _PUBLIC_ENVIRONMENT_SETTINGS)
    return [*nodes, *_secret_section(root, _PUBLIC_SETTINGS | {"environments"})]


def secret_variables(root: Node | None) -> list[ScalarNode]:
    """Return the scalars in a migration that are values of variables with secret names."""
    return [node for key, value in _pairs(root) if key.value == "vars" for node in _secret_values(value)]


def iter_scalars(root: Node | None) -> Iterator[ScalarNode]:
    """Yield every scalar below a node, in file order. A scalar that several aliases refer to is yielded once."""
    visited: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node is None or id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, ScalarNode):
            yield node
        elif isinstance(node, CollectionNode):
            children = [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]
            stack += reversed(children)


def _secret_section(section: Node | None, public: frozenset[str]) -> Iterator[ScalarNode]:
    if not isinstance(section, MappingNode):
        yield from iter_scalars(section)
    for key, value in _pairs(section):
        if key.value == "database":
            yield from _secret_database_settings(value)
        elif key.value == "vars":
            yield from _secret_values(value)
        elif key.value not in public:
            yield from _unknown_key(key)
            yield from iter_scalars(value)


def _secret_database_settings(section: Node) -> Iterator[ScalarNode]:
    if not isinstance(section, MappingNode):
        yield from iter_scalars(section)
    for key, value in _pairs(section):
        yield from _unknown_key(key)
        is_number = isinstance(value, ScalarNode) and _NUMBER.fullmatch(value.value)
        if not (key.value in _SETTINGS_WITH_NUMBERS and is_number):
            yield from iter_scalars(value)


def _unknown_key(key: ScalarNode) -> Iterator[ScalarNode]:
    if not _KEY.fullmatch(key.value):
        yield key


def _secret_values(variables: Node) -> Iterator[ScalarNode]:
    for key, value in _pairs(variables):
        if is_secret_name(key.value):
            yield from iter_scalars(value)


def _pairs(node: Node | None) -> list[tuple[ScalarNode, Node]]:
    if not isinstance(node, MappingNode):
        return []
    return [(key, value) for key, value in node.value if isinstance(key, ScalarNode)]


def _value_span(text: str, node: ScalarNode) -> tuple[int, int]:
    start = scalar_start(text, node)
    return start, max(start, node.end_mark.index)


def _mask_value(value: str) -> str:
    """Mask a value except for quotes and references to environment variables."""
    if value.startswith(("|", ">")):
        header, end, rest = value.partition("\n")
        return header + end + _mask_value(rest) if end else value
    first = 1 if value[:1] in ("'", '"') else 0
    inner = value[first : len(value) - first]
    parts, last = [], 0
    for reference in ENVIRONMENT_REFERENCE.finditer(inner):
        parts += [re.sub(r"\S", "*", inner[last : reference.start()]), reference[0]]
        last = reference.end()
    masked = "".join([*parts, re.sub(r"\S", "*", inner[last:])])
    return value[:first] + ("embedded" if inner == "embedded" else masked) + value[len(value) - first :]


def _mask_line(line: str) -> str:
    key, colon, value = line.partition(":")
    if not colon or not _KEY.fullmatch(key.strip(" -\"'{[,")):
        key, value = "", line
    return key + (colon if key else "") + _HIDDEN_CHARACTER.sub("*", value)
