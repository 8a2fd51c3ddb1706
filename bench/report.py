# SPDX-License-Identifier: MIT
"""The results of a benchmark: rows against targets, tables, pictures; as JSON, Markdown and SVG.

A target is part of the result: what was measured, what was wanted, met or not, nothing hidden.
bench/README.md documents the JSON.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess

from samples import Summary

FORMAT = 1
AT_LEAST, AT_MOST = "at least", "at most"


def number(value):
    """For people: three digits that matter, thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def microseconds(value):
    """Nanoseconds as microseconds."""
    return "-" if value is None else number(value / 1000)


def spread(summary, show=number):
    """Median with quartiles."""
    if not summary.count:
        return "-"
    if summary.count == 1:
        return show(summary.median)
    return f"{show(summary.median)} ({show(summary.low)} to {show(summary.high)})"


def _cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
            for line in cpuinfo:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def _revision(root):
    """The commit that was measured, with -dirty if files were changed; empty without git."""
    if not shutil.which("git"):
        return ""
    described = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False)
    return described.stdout.strip()


class Report:
    """Collects rows, tables and pictures in the order in which they are shown."""

    def __init__(self, bench, title, text):
        self._bench = bench
        self._title = title
        self._text = text
        self._rows = []
        self._tables = []
        self._pictures = []
        self._notes = []

    # ---- what there is to say ----

    def row(self, what, values, kind=None, bound=None, unit="", why_not="no undisturbed round"):
        """A figure: median of values (a number: just that), with a target if kind and bound say so.

        Without any value the row says "not measured", and why_not.
        """
        summary = Summary(values if isinstance(values, list) else [values])
        met = None
        if kind and summary.count:
            met = summary.median >= bound if kind == AT_LEAST else summary.median <= bound
        self._rows.append({"what": what, "unit": unit, "median": summary.median,
                           "low": summary.low, "high": summary.high, "count": summary.count,
                           "target": {"kind": kind, "bound": bound} if kind else None,
                           "met": met, "why_not": why_not, "_summary": summary})

    def at_least(self, what, values, bound, **more):
        """A row that should not be less."""
        self.row(what, values, AT_LEAST, bound, **more)

    def at_most(self, what, values, bound, **more):
        """A row that should not be more."""
        self.row(what, values, AT_MOST, bound, **more)

    def table(self, title, header, lines):
        """Figures without targets; all cells are text."""
        self._tables.append((title, header, lines))

    def picture(self, name, plot):
        """A picture, drawn by plot(path); see plot.py."""
        self._pictures.append((f"{self._bench.name}-{name}.svg", plot))

    def note(self, text):
        """Something that the reader of the figures must know."""
        self._notes.append(text)

    # ---- writing ----

    def _settings(self):
        bench = self._bench
        return {"rounds": bench.rounds, "ms": bench.ms, "warmup_ms": bench.warmup_ms,
                "quick": bench.quick}

    def _machine(self):
        return {"kernel": platform.release(), "processor": _cpu_model(),
                "processors": len(os.sched_getaffinity(0)),
                "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}

    def _as_json(self, samples):
        bench = self._bench
        rows = [{key: value for key, value in row.items() if not key.startswith("_")}
                for row in self._rows]
        return {"format": FORMAT, "benchmark": bench.name, "title": self._title,
                "when": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "version": (bench.root / "VERSION").read_text(encoding="ascii").strip(),
                "revision": _revision(bench.root), "machine": self._machine(),
                "settings": self._settings(), "rows": rows, "notes": self._notes,
                "samples": samples.as_json()}

    @staticmethod
    def _row_cells(row):
        unit = f" {row['unit']}" if row["unit"] else ""
        measured = spread(row["_summary"]) + unit
        if not row["count"]:
            measured = f"not measured: {row['why_not']}"
        if not row["target"]:
            return [row["what"], measured, "", ""]
        target = f"{row['target']['kind']} {row['target']['bound']:g}{unit}"
        verdict = {True: "met", False: "**NOT MET**", None: "?"}[row["met"]]
        return [row["what"], measured, target, verdict]

    def _verdict(self):
        targets = [row for row in self._rows if row["target"]]
        met = sum(row["met"] is True for row in targets)
        missing = sum(row["met"] is None for row in targets)
        text = f"{met} of {len(targets)} targets met"
        return text + (f", {missing} not measured." if missing else ".")

    def _markdown(self, pictures):
        bench, machine = self._bench, self._machine()
        parts = [f"# {self._title}", self._text,
                 f"Medians (quartiles) of {bench.rounds} rounds, {bench.ms} ms each; ratios are "
                 f"taken within a round. {machine['processors']} processors "
                 f"({machine['processor']}), Linux {machine['kernel']}."]
        if bench.quick:
            parts.append("**With --quick: shows that everything works; the figures mean nothing.**")
        parts += [f"Note: {note}" for note in self._notes]
        if self._rows:
            parts += ["## Results", _table(["what", "measured", "target", ""],
                                           map(self._row_cells, self._rows))]
        if any(row["target"] for row in self._rows):
            parts.append(self._verdict())
        for title, header, lines in self._tables:
            parts += [f"## {title}", _table(header, lines)]
        parts += [f"![{name}]({name})" for name in pictures]
        return "\n\n".join(parts) + "\n"

    def write(self, samples):
        """Writes bench/out/NAME.json, .md and the pictures, and prints the Markdown."""
        out = self._bench.out
        out.mkdir(parents=True, exist_ok=True)
        pictures = [name for name, plot in self._pictures if plot(out / name)]
        with open(out / f"{self._bench.name}.json", "w", encoding="utf-8") as file:
            json.dump(self._as_json(samples), file, indent=1)
            file.write("\n")
        text = self._markdown(pictures)
        (out / f"{self._bench.name}.md").write_text(text, encoding="utf-8")
        print(text, flush=True)


def _table(header, lines):
    """A Markdown table."""
    rows = ["| " + " | ".join(cells) + " |" for cells in [header, *lines]]
    rows.insert(1, "|---" * len(header) + "|")
    return "\n".join(rows)
