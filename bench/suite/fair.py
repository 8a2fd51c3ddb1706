# SPDX-License-Identifier: MIT
"""Fairness: what guests get of one disk when they use it together, however much they ask for.

A group is a list of loads that begin and end together. To add one (weights, limits): name it in
make_plan with an instance whose disk is defined so, and give it rows.
"""

from harness import Bench, Defaults, Slice
from report import Report, microseconds, spread
from samples import Summary, add, divide, jain_index

THREADS = (4, 8, 16, 32)
SMALL, BIG = 1, 64  # requests outstanding of a small and of a big guest
DISKS = {"null": 2.0, "disk1": 2.5}  # how much worse the small one's p99 may get
OPEN_WINDOW = 4096  # as good as none
SINGLE_TARGET = 0.5
IMAGE_MB = 256

ALONE, FOUR, FIVE = "a single thread alone", "four clients", "four clients and a single thread"

TEXT = (
    "Random reads of 512 bytes, adaptive at both ends, all clients at the same time. First the "
    f"exercise: clients with {', '.join(map(str, THREADS[:-1]))} and {THREADS[-1]} blocking "
    "threads, and one with a single thread beside them. Then two guests, one with a single request "
    f"outstanding and one with {BIG}; without a window the back end gives the disk all that "
    "there is."
)


def threads_group(instance, threads):
    """Clients with blocking threads: the rate of each, and for several their Jain index."""

    def call():
        results = instance.load_together([{"threads": number} for number in threads])
        metrics = {f"rate_{number}": result["rate"] for number, result in zip(threads, results)}
        metrics["jain"] = jain_index([metrics[f"rate_{number}"] for number in threads])
        return metrics

    return call


def depths_group(instance, disk, depths):
    """Guests with requests outstanding: rate and p99 of each."""

    def call():
        results = instance.load_together(
            [{"disk": disk, "depth": depth, "latencies": True} for depth in depths])
        metrics = {}
        for depth, result in zip(depths, results):
            metrics[f"rate_{depth}"] = result["rate"]
            metrics[f"p99_{depth}_ns"] = result["p99_ns"]
        return metrics

    return call


def make_plan(windowed, unlimited):
    """Every group, those that are compared one after the other."""
    plan = [Slice("threads", ALONE, threads_group(windowed, (1,))),
            Slice("threads", FOUR, threads_group(windowed, THREADS)),
            Slice("threads", FIVE, threads_group(windowed, (1, *THREADS)))]
    for disk in DISKS:
        plan += [Slice("alone", disk, depths_group(windowed, disk, (SMALL,))),
                 Slice("window", disk, depths_group(windowed, disk, (SMALL, BIG))),
                 Slice("no window", disk, depths_group(unlimited, disk, (SMALL, BIG)))]
    return plan


def exercise(report, samples):
    """Clients with threads."""
    report.row("four clients: Jain index", samples.values("threads", FOUR, "jain"))
    report.at_least("a single thread beside the four, to itself alone",
                    divide(samples.values("threads", FIVE, "rate_1"),
                           samples.values("threads", ALONE, "rate_1")), SINGLE_TARGET)
    lines = [[point, *(spread(samples.summary("threads", point, f"rate_{number}"))
                       for number in (1, *THREADS))] for point in (ALONE, FOUR, FIVE)]
    report.table("Requests per second of each client",
                 ["clients", "1 thread", *(f"{number} threads" for number in THREADS)], lines)


def neighbours(report, samples):
    """A small guest beside a big one."""
    lines = []
    for disk, bound in DISKS.items():

        def latency(series, at=disk):
            return samples.values(series, at, f"p99_{SMALL}_ns")

        def total(series, at=disk):
            return add(samples.values(series, at, f"rate_{SMALL}"),
                       samples.values(series, at, f"rate_{BIG}"))

        report.at_most(f"{disk}: p99 of the small guest beside the big one, to alone",
                       divide(latency("window"), latency("alone")), bound)
        report.row(f"{disk}: the same without a window",
                   divide(latency("no window"), latency("alone")))
        report.row(f"{disk}: what both get together, with the window to without",
                   divide(total("window"), total("no window")))
        for series in ("alone", "window", "no window"):
            lines.append([disk, series, spread(Summary(latency(series)), microseconds),
                          spread(samples.summary(series, disk, f"rate_{SMALL}")),
                          spread(samples.summary(series, disk, f"rate_{BIG}"))])
    report.table("A guest with a single request outstanding",
                 ["disk", "", "its p99, us", "its rate", f"rate of the one with {BIG}"], lines)


def main(options):
    """Measures and reports."""
    with Bench("fair", options, Defaults(rounds=5, ms=1500)) as bench:
        image = bench.image(IMAGE_MB)
        windowed = bench.instance("window", image)
        unlimited = bench.instance("no-window", image, window=OPEN_WINDOW)
        samples = bench.measure(make_plan(windowed, unlimited))
        report = Report(bench, "Fairness", TEXT)
        exercise(report, samples)
        neighbours(report, samples)
        report.write(samples)
