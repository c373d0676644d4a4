"""Outcomes of routing tests: a view for programs, and text and JUnit XML made from it."""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

from engine.config.checks.tests import RoutingTestResult
from engine.config.source.document import Document

FORMAT_VERSION = "1.1"
View = dict[str, Any]
_NOT_XML = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def view_tests(results: Sequence[tuple[Document, RoutingTestResult]], left_out: int) -> View:
    """Outcomes with the document of each test; `left_out` tests were not selected."""
    tests = [_test(document, result) for document, result in results]
    failed = sum(not test["ok"] for test in tests)
    return {
        "format_version": FORMAT_VERSION,
        "ok": failed == 0,
        "summary": {"passed": len(tests) - failed, "failed": failed, "left_out": left_out},
        "tests": tests,
    }


def _test(document: Document, result: RoutingTestResult) -> View:
    test, decision = result.test, result.decision
    rule = decision.rule
    return {
        "where": f"{document.file}:{document.entry(test.at).value.start.line}",
        "endpoint": test.endpoint,
        "model": test.model,
        "ok": not result.differences,
        "provider": decision.provider.name if decision.provider and not decision.refusal else None,
        "differences": [
            {"name": d.name, "expected": d.expected, "actual": d.actual} for d in result.differences
        ],
        "rule": {
            "where": rule.where,
            "kind": "prefix" if rule.is_prefix else "model",
            "pattern": rule.pattern,
            "provider": rule.provider,
        }
        if rule
        else None,
    }


def render_text(view: View, *, verbose: bool) -> str:
    """What failed and why; with `verbose` a line for what passed as well. The last line counts."""
    lines = []
    for test in view["tests"]:
        if not test["ok"]:
            lines += ["", f"FAILED  {_title(test)}", *_reasons(test)]
        elif verbose:
            lines.append(f"ok      {_title(test)} -> {test['provider'] or 'refused'}")
    counts = view["summary"]
    words = f"{counts['failed']} failed, {counts['passed']} passed"
    left_out = f", {counts['left_out']} left out" if counts["left_out"] else ""
    return "\n".join([*lines, *([""] if lines else []), words + left_out]).lstrip("\n") + "\n"


def _title(test: View) -> str:
    return f"{test['where']}  {test['endpoint']}  {_printable(test['model'])}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _reasons(test: View) -> Iterator[str]:
    for found in test["differences"]:
        yield f"    {found['name']:<9} expected  {found['expected']}"
        yield f"    {'':<9} but got   {found['actual']}"
    rule = test["rule"]
    if rule:
        pattern = f"{rule['kind']} `{rule['pattern']}` -> {rule['provider']}"
        yield f"    decided by {rule['where']}  {pattern}"
    else:
        yield "    no model rule fits"


def render_junit(view: View) -> str:
    """JUnit XML, as continuous integration servers read it."""
    counts = view["summary"]
    total = counts["failed"] + counts["passed"]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites tests="{total}" failures="{counts["failed"]}">',
        f'  <testsuite name="engine test" tests="{total}" failures="{counts["failed"]}">',
    ]
    for test in view["tests"]:
        lines += _case(test)
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"]) + "\n"


def _case(test: View) -> Iterator[str]:
    file, _, line = test["where"].rpartition(":")
    title = f"{test['endpoint']} {test['model']}"
    head = f"    <testcase classname={_quoted(file)} name={_quoted(title)} file={_quoted(file)} line={_quoted(line)}"
    if test["ok"]:
        yield head + "/>"
        return
    reasons = list(_reasons(test))
    yield head + ">"
    yield f"      <failure message={_quoted(' '.join(reasons[0].split() + reasons[1].split()))}>{_escaped(chr(10).join(reasons))}</failure>"
    yield "    </testcase>"


def _escaped(text: str) -> str:
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
