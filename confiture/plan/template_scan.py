"""Search for names and comments in a template's text, without rendering the template."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from confiture.sql.tokens import quoted_texts

_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def find_free_names(template: str, names: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield each of `names` that a template reads but does not assign, with the index of the first use."""
    if "{{" not in template and "{%" not in template:
        return
    from jinja2 import TemplateSyntaxError, meta

    from confiture.plan.rendering import template_environment

    try:
        free = meta.find_undeclared_variables(template_environment().parse(template)) & set(names)
    except TemplateSyntaxError:
        return  # rendering reports the error
    code = _blank(template, _RAW)
    for name in sorted(free):
        word = re.compile(rf"(?<![\w.]){re.escape(name)}\b(?!\s*=(?!=))")
        for match in _CODE.finditer(code):
            found = word.search(_STRING.sub(lambda text: " " * len(text[0]), match[0]))
            if found:
                yield name, match.start() + found.start()
                break


def find_comments_in_quotes(template: str) -> Iterator[int]:
    """Yield the index of each template comment in a quoted SQL string. Rendering removes such comments."""
    if "{#" not in template:
        return
    code = _blank(_blank(template, _RAW), _CODE)
    for start, end in quoted_texts(code):
        for match in _COMMENT.finditer(code, start, end):
            yield match.start()


def _blank(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)
