"""The variables that templates see, as settings and migrations give them."""

from __future__ import annotations

from confiture.files.containers import MapOf
from confiture.files.shapes import Value

# what templates call otherwise, or cannot call at all
_TAKEN = [
    "vars",
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
VARIABLE_NAME = rf"(?!(?:{'|'.join(_TAKEN)})$)[A-Za-z_][A-Za-z0-9_]*"
VARIABLES = MapOf(
    Value(),
    key_pattern=VARIABLE_NAME,
    key_description=f"a name for a variable: letters, digits and _, but none of {', '.join(_TAKEN)}",
)
