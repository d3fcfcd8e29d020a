"""JUnit XML: a suite for each migration, a case for each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.reports import MigrationReport, RunReport, StepReport

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def run_xml(report: RunReport) -> str:
    """A run. What went wrong stands at the step that failed, or in a suite of its own where there is none."""
    root = ElementTree.Element("testsuites", name="confiture")
    failed = False
    for migration in report.migrations:
        failed |= _add_migration(root, migration, report.diagnostics)
    if report.diagnostics and not failed:
        _add_diagnostics(root, report.diagnostics)
    return _text(root)


def diagnostics_xml(diagnostics: Sequence[Diagnostic]) -> str:
    """What is wrong where nothing ran; one passing case where nothing is wrong."""
    root = ElementTree.Element("testsuites", name="confiture")
    _add_diagnostics(root, diagnostics)
    return _text(root)


def _add_migration(root: ElementTree.Element, migration: MigrationReport, diagnostics: Sequence[Diagnostic]) -> bool:
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(f"{migration.version} {migration.name}"))
    failures = 0
    for step in migration.steps:
        failures += _add_step(suite, step, diagnostics)
    suite.set("tests", str(len(migration.steps)))
    suite.set("failures", str(failures))
    suite.set("time", f"{(migration.duration_ms or 0) / 1000:.3f}")
    return failures > 0


def _add_step(suite: ElementTree.Element, step: StepReport, diagnostics: Sequence[Diagnostic]) -> bool:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(f"{step.step.version}.{step.step.phase.value}"),
        name=_clean(step.step.name),
        file=step.step.span.path,
        line=str(step.step.span.line),
        time=f"{step.duration_ms / 1000:.3f}",
    )
    if step.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_clean(step.note or ""))
    if step.outcome is not Outcome.FAILED:
        return False
    for diagnostic in diagnostics:
        _add_failure(case, diagnostic)
    return True


def _add_diagnostics(root: ElementTree.Element, diagnostics: Sequence[Diagnostic]) -> None:
    suite = ElementTree.SubElement(
        root, "testsuite", name="files", tests=str(max(len(diagnostics), 1)), failures=str(len(diagnostics)), time="0"
    )
    if not diagnostics:
        ElementTree.SubElement(suite, "testcase", classname="files", name="valid", time="0")
    for diagnostic in diagnostics:
        name = f"{diagnostic.span.path}:{diagnostic.span.line}" if diagnostic.span else diagnostic.code
        case = ElementTree.SubElement(suite, "testcase", classname=diagnostic.code, name=_clean(name), time="0")
        _add_failure(case, diagnostic)


def _add_failure(case: ElementTree.Element, diagnostic: Diagnostic) -> None:
    failure = ElementTree.SubElement(case, "failure", type=diagnostic.code, message=_clean(diagnostic.message))
    lines = [str(diagnostic), *diagnostic.detail]
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    failure.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
