#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Runs benchmarks: those named, or all. See bench/README.md; normally started by `./run bench`."""

import argparse
import importlib
import signal
import sys
import time

from processes import BenchError

# Modules of suite/ (there with _ for -), in the order in which they run.
NAMES = ("ring", "disk", "load", "event-or-spin", "copy", "fair", "scale", "store",
         "create")


def positive(text):
    """A number above 0."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./run bench", description="Measures Ringfence against peers in the same run. "
        "Results: bench/out/NAME.json, NAME.md and pictures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(NAMES))
    parser.add_argument("--rounds", type=positive, help="how often everything is measured")
    parser.add_argument("--ms", type=positive, help="milliseconds of each slice")
    parser.add_argument("--quick", action="store_true",
                        help="only to see that everything works; the figures mean nothing")
    parser.add_argument("--guests", type=positive, default=1000,
                        help="idle guests of the benchmark scale (default 1000)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    return options


def end_by_signal(number, _frame):
    """Leaves through all with-blocks, which clean up."""
    raise SystemExit(128 + number)


def main():
    """0 when all measurements could be made, whatever came out; 1 when one failed."""
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, end_by_signal)
    signal.signal(signal.SIGHUP, end_by_signal)
    status = 0
    for name in options.names or NAMES:
        started = time.monotonic()
        try:
            importlib.import_module(f"suite.{name.replace('-', '_')}").main(options)
        except BenchError as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
            return 130
        else:
            seconds = time.monotonic() - started
            print(f"{name}: done in {seconds:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
