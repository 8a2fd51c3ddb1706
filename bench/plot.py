# SPDX-License-Identifier: MIT
"""Pictures, drawn by gnuplot as SVG. Without gnuplot there are none, and a line says so."""

import functools
import shutil
import subprocess
import sys

from processes import BenchError

SIZE = "800,480"


@functools.cache
def _has_gnuplot():
    found = shutil.which("gnuplot") is not None
    if not found:
        print("bench: no pictures without gnuplot (package gnuplot-nox)", file=sys.stderr)
    return found


def _quote(text):
    """A string constant of gnuplot."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _script(path, title, labels, ylabel, curves, logarithmic):
    tics = ", ".join(f"{_quote(label)} {place}" for place, label in enumerate(labels))
    lines = [
        f"set terminal svg size {SIZE} dynamic background 'white'",
        f"set output {_quote(str(path))}",
        f"set title {_quote(title)} noenhanced",
        f"set ylabel {_quote(ylabel)} noenhanced",
        f"set xtics ({tics}) noenhanced",
        f"set xrange [-0.5:{len(labels) - 0.5}]",
        "set grid ytics",
        "set key outside bottom center horizontal noenhanced",
        "set logscale y" if logarithmic else "set yrange [0:*]",
    ]
    blocks = []
    for number, summaries in enumerate(curves.values()):
        lines.append(f"$curve{number} << EOD")
        for place, summary in enumerate(summaries):
            if summary.count:
                lines.append(f"{place} {summary.median} {summary.low} {summary.high}")
        lines.append("EOD")
    for number, name in enumerate(curves):
        blocks.append(f"$curve{number} using 1:2:3:4 with yerrorlines title {_quote(name)}")
    lines.append("plot " + ", ".join(blocks))
    return "\n".join(lines) + "\n"


def curves(title, labels, ylabel, series, logarithmic=False):
    """A picture for Report.picture: for each name in series one Summary for each label.

    Points are medians, bars reach from quartile to quartile.
    """
    series = {name: summaries for name, summaries in series.items()
              if any(summary.count for summary in summaries)}

    def draw(path):
        if not series or not _has_gnuplot():
            return False
        script = _script(path, title, labels, ylabel, series, logarithmic)
        done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise BenchError(f"gnuplot: {done.stderr.strip()}")
        return True

    return draw
