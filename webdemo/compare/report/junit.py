"""A comparison as JUnit XML, which CI systems show as tests: a suite per server, a case per probe.

A difference that is neither known nor accepted is a failure; other differences, and servers that are not
installed, are skipped. It uses the subset that Jenkins, GitLab and GitHub's reporters read the same way.
"""

from __future__ import annotations

from xml.etree import ElementTree

from webdemo.compare.report.accepted import Judgement
from webdemo.compare.results import Comparison, Finding, Server
from webdemo.text import plain_field, plain_text

# The counts that JUnit wants of each suite and of all.
_COUNTED = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def to_junit(comparison: Comparison, judgement: Judgement) -> str:
    root = ElementTree.Element("testsuites", name=f"webdemo compare {comparison.app}")
    reasons = {finding: f"Accepted: {entry.why}" for finding, entry in judgement.accepted}
    reasons |= {finding: f"Known of this server: {finding.what}" for finding in judgement.known}
    for server in comparison.servers:
        suite = ElementTree.SubElement(
            root, "testsuite", name=server.label, timestamp=comparison.made_at.partition("+")[0]
        )
        _add_start(suite, server)
        for finding in comparison.findings:
            if finding.server == server.label:
                _add_finding(suite, finding, reasons.get(finding))
    for element in (root, *root):
        for name, tag in _COUNTED.items():
            element.set(name, str(len(element.findall(f".//{tag}"))))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_start(suite: ElementTree.Element, server: Server) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=server.label, name="runs the app")
    if server.state != "up":
        tag = "skipped" if server.state == "missing" else "error"
        ElementTree.SubElement(case, tag, message=plain_field(server.problem or server.state))


def _add_finding(suite: ElementTree.Element, finding: Finding, passed_over: str | None) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=finding.server, name=plain_field(finding.probe)
    )
    if finding.verdict == "missing":
        passed_over = "The server did not run."
    if passed_over is not None:
        ElementTree.SubElement(case, "skipped", message=plain_field(passed_over))
    elif finding.differs:
        failure = ElementTree.SubElement(
            case, "failure", type=finding.verdict, message=plain_field(finding.what or finding.verdict)
        )
        lines = (finding.what, finding.who_is_right, finding.meaning, finding.evidence)
        failure.text = plain_text("\n".join(line for line in lines if line))
