#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Puts the figures of a benchmark's last run into its report: bench/publish.py NAME.

bench/out/NAME.md, from its first section on, replaces what docs/report/NAME.md has between its two
marks; the pictures are copied beside it. The text around the marks is written by hand.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures: made by bench/publish.py, not to be edited -->"
END = "<!-- end of figures -->"


def figures(text):
    """The machine's line and the sections of a result, one level lower, without its title."""
    machine = re.search(r"^Medians .*$", text, re.MULTILINE)
    sections = text.find("\n## ")
    if not machine or sections < 0:
        sys.exit("publish: this is no result of a benchmark")
    body = re.sub(r"^## ", "### ", text[sections + 1:], flags=re.MULTILINE)
    return f"{machine.group()}\n\n{body.strip()}"


def main():
    """0 when the report has the figures."""
    if len(sys.argv) != 2:
        sys.exit("usage: bench/publish.py NAME")
    name = sys.argv[1]
    result, report = ROOT / "bench" / "out" / f"{name}.md", ROOT / "docs" / "report" / f"{name}.md"
    if not result.exists() or not report.exists():
        missing = report if result.exists() else result
        sys.exit(f"publish: {missing} is missing; ./run bench {name} measures")
    text = result.read_text(encoding="utf-8")
    if "With --quick" in text:
        sys.exit("publish: that run was made with --quick; its figures mean nothing")
    page = report.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"publish: {report} has no place for figures")
    for picture in re.findall(r"^!\[.*\]\((.*\.svg)\)$", text, re.MULTILINE):
        shutil.copy(result.parent / picture, report.parent)
    report.write_text(f"{before}{BEGIN}\n{figures(text)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
