"""The variables that templates see, as settings and migrations give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode

from confiture.errors import Diagnostic
from confiture.files.schema.containers import MapOf
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import Reader
from confiture.files.schema.types import AnyValue
from confiture.models.source import LocatedSource
from confiture.models.variables import EnvironmentText

# what templates call otherwise, or cannot call at all
_RESERVED_NAMES = [
    "vars",
    "confiture",
    "environment",
    "version",
    "name",
    "batch",
    "self",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
]
VARIABLE_NAME = rf"(?!(?:{'|'.join(_RESERVED_NAMES)})$)[A-Za-z_][A-Za-z0-9_]*"
ENVIRONMENT_REFERENCE = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_ASKS_FOR_ENVIRONMENT = re.compile(r"\{[{%]-?[^{}]*\benv\b", re.IGNORECASE)


class VariableValue(AnyValue):
    """Any value. Text that asks for the environment is kept with its place."""

    def read(self, node: Node, reader: Reader) -> Any:
        value = super().read(node, reader)
        if not isinstance(value, str) or not isinstance(node, ScalarNode) or not _ASKS_FOR_ENVIRONMENT.search(value):
            return value
        text = EnvironmentText(source=LocatedText().read(node, reader))
        if has_other_templates(value):
            hint = "only {{ env.NAME }} is known here"
            raise reader.report(text.source.start, "bad-template", "the variable's template cannot be read", hint)
        return text


def has_other_templates(text: str) -> bool:
    """Whether a text holds more of a template than `{{ env.NAME }}`."""
    rest = ENVIRONMENT_REFERENCE.sub("", text)
    return "{{" in rest or "{%" in rest


def substitute_environment(
    text: LocatedSource, environ: Mapping[str, str], environment: str, example: str
) -> str | Diagnostic:
    """The text with what it takes from the environment, or what is not set. An empty variable counts as unset."""
    missing = [name for name in environment_names(text) if not environ.get(name)]
    if missing:
        message = f"the environment {environment!r} needs {' and '.join(missing)}, which is not set"
        return text.file.diagnostic(text.start, "unset-variable", message, hint=f"export {missing[0]}={example}")
    return ENVIRONMENT_REFERENCE.sub(lambda match: environ[match[1]], text.text)


def environment_names(text: LocatedSource) -> list[str]:
    """The variables of the environment that a text takes, each once."""
    return list(dict.fromkeys(ENVIRONMENT_REFERENCE.findall(text.text)))


VARIABLES = MapOf(
    VariableValue(),
    key_pattern=VARIABLE_NAME,
    key_description=f"a name for a variable: letters, digits and _, but none of {', '.join(_RESERVED_NAMES)}",
)
