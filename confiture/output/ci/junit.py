"""JUnit XML with a suite for each migration and a test case for each step; for lint, a suite for each file."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import groupby
from xml.etree import ElementTree

from confiture.errors import Diagnostic, Span
from confiture.models.events import Outcome
from confiture.models.findings import Finding, LintReport
from confiture.models.reports import MigrationReport, RunReport, StepReport
from confiture.models.settings import Severity
from confiture.output.ci.github import finding_lines
from confiture.output.writer import LintSummary, Writer
from confiture.text import escape_block, escape_ci_commands, escape_line

_NOT_XML = re.compile("[\ufffe\uffff]")
"""Printable characters that XML does not allow."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"


class JUnitWriter(Writer):
    """A writer for JUnit XML."""

    def run(self, report: RunReport) -> None:
        """Write a test case for each step."""
        self.context.write_clean(run_xml(report))

    def diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Write a failed test case for each error."""
        self.context.write_clean(diagnostics_xml(diagnostics))

    def findings(self, summary: LintSummary) -> None:
        """Write a test case for each finding."""
        self.context.write_clean(findings_xml(summary.report, summary.failing))


def run_xml(report: RunReport) -> str:
    """Return a run as XML. The errors are in the failed step, or in a separate suite if no step failed."""
    root = ElementTree.Element("testsuites", name="confiture")
    failed = False
    for migration in report.migrations:
        failed |= _add_migration(root, migration, report.diagnostics)
    if report.diagnostics and not failed:
        _add_diagnostics(root, report.diagnostics)
    return _to_xml(root)


def diagnostics_xml(diagnostics: Sequence[Diagnostic]) -> str:
    """Return errors that occurred outside a run as XML; without errors, a single passing case."""
    root = ElementTree.Element("testsuites", name="confiture")
    _add_diagnostics(root, diagnostics)
    return _to_xml(root)


def findings_xml(report: LintReport, failing_severities: Collection[Severity]) -> str:
    """Return a suite for each file and a case for each finding.

    A case is a failure if its severity is one of `failing_severities`, otherwise skipped.
    """
    root = ElementTree.Element("testsuites", name="confiture lint")
    for path, group in groupby(report.findings, key=lambda finding: finding.span.path if finding.span else ""):
        findings = list(group)
        failures = sum(finding.severity in failing_severities for finding in findings)
        suite = _add_suite(root, path or report.source, len(findings), failures, len(findings) - failures)
        for finding in findings:
            _add_finding(suite, finding, failing_severities)
    if not report.findings:
        _add_case(_add_suite(root, report.source, 1, 0, 0), "confiture lint", "nothing found", None)
    return _to_xml(root)


def _add_suite(root: ElementTree.Element, name: str, tests: int, failures: int, skipped: int) -> ElementTree.Element:
    counts = {"tests": str(tests), "failures": str(failures), "skipped": str(skipped), "time": "0"}
    return ElementTree.SubElement(root, "testsuite", {"name": name, **counts})


def _add_case(suite: ElementTree.Element, classname: str, name: str, span: Span | None) -> ElementTree.Element:
    place = {"file": span.path, "line": str(span.line)} if span else {}
    attributes = {"classname": classname, "name": name, **place, "time": "0"}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _add_finding(suite: ElementTree.Element, finding: Finding, failing_severities: Collection[Severity]) -> None:
    place = f" (line {finding.span.line})" if finding.span else ""
    case = _add_case(suite, finding.rule, finding.message + place, finding.span)
    if finding.severity not in failing_severities:
        ElementTree.SubElement(case, "skipped", message=f"{finding.severity}: {finding.message}")
        return
    failure = ElementTree.SubElement(case, "failure", type=finding.rule, message=finding.message)
    first = [str(finding.span)] if finding.span else []
    failure.text = "\n".join(first + finding_lines(finding))


def _add_migration(root: ElementTree.Element, migration: MigrationReport, diagnostics: Sequence[Diagnostic]) -> bool:
    suite = ElementTree.SubElement(root, "testsuite", name=f"{migration.version} {migration.name}")
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
        classname=f"{step.step.version}.{step.step.phase.value}",
        name=step.step.name,
        file=step.step.span.path,
        line=str(step.step.span.line),
        time=f"{step.duration_ms / 1000:.3f}",
    )
    if step.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=step.note or "")
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
        case = ElementTree.SubElement(suite, "testcase", classname=diagnostic.code, name=name, time="0")
        _add_failure(case, diagnostic)


def _add_failure(case: ElementTree.Element, diagnostic: Diagnostic) -> None:
    failure = ElementTree.SubElement(case, "failure", type=diagnostic.code, message=diagnostic.message)
    lines = [str(diagnostic), *diagnostic.detail]
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    failure.text = "\n".join(lines)


def _to_xml(root: ElementTree.Element) -> str:
    for element in root.iter():
        element.attrib = {name: _NOT_XML.sub(_REPLACED, escape_line(value)) for name, value in element.items()}
        element.text = _NOT_XML.sub(_REPLACED, escape_block(element.text)) if element.text else None
    ElementTree.indent(root)
    # text keeps its line breaks; a log prints each line, and no line may be a CI command
    return escape_ci_commands(ElementTree.tostring(root, encoding="unicode", xml_declaration=True)) + "\n"
