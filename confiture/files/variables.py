"""Template variables in settings and migrations."""

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

# names that have another meaning in templates, and words that cannot be names in templates
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
    """Any value. A string that refers to environment variables keeps its location."""

    def read(self, node: Node, reader: Reader) -> Any:
        value = super().read(node, reader)
        if not isinstance(value, str) or not isinstance(node, ScalarNode) or not _ASKS_FOR_ENVIRONMENT.search(value):
            return value
        text = EnvironmentText(source=LocatedText().read(node, reader))
        if has_other_templates(value):
            hint = "use only {{ env.NAME }} here"
            raise reader.report(text.source.start, "bad-template", "the variable's template is not supported", hint)
        return text


def has_other_templates(text: str) -> bool:
    """Whether a string contains template syntax other than `{{ env.NAME }}`."""
    rest = ENVIRONMENT_REFERENCE.sub("", text)
    return "{{" in rest or "{%" in rest


def substitute_environment(
    text: LocatedSource, environ: Mapping[str, str], environment: str, example: str
) -> str | Diagnostic:
    """Substitute environment variables; return a diagnostic if one is unset. An empty variable counts as unset."""
    missing = [name for name in environment_names(text) if not environ.get(name)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        message = f"the environment {environment!r} requires {' and '.join(missing)}, which {verb} not set"
        return text.file.diagnostic(text.start, "unset-variable", message, hint=f"export {missing[0]}={example}")
    return ENVIRONMENT_REFERENCE.sub(lambda match: environ[match[1]], text.text)


def environment_names(text: LocatedSource) -> list[str]:
    """Return the environment variables that a string refers to, without duplicates."""
    return list(dict.fromkeys(ENVIRONMENT_REFERENCE.findall(text.text)))


VARIABLES = MapOf(
    VariableValue(),
    key_pattern=VARIABLE_NAME,
    key_description=f"a valid variable name: letters, digits and _, except {', '.join(_RESERVED_NAMES)}",
)
