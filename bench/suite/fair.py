# SPDX-License-Identifier: MIT
"""Fairness: what guests get of one disk when they use it together, however much they ask for.

A group is a list of loads that begin and end together. To add one: name it in make_plan with an
instance whose disk is defined so, and give it rows.
"""

from harness import Bench, Defaults, Slice
from report import Report, microseconds, spread
from samples import Summary, add, divide, jain_index

THREADS = (4, 8, 16, 32)
SMALL, BIG = 1, 64  # requests outstanding of a small and of a big guest
DISKS = {"null": 2.0, "disk1": 2.5}  # how much worse the small one's p99 may get
OPEN_WINDOW = 4096  # as good as none
SINGLE_TARGET = 0.5
WEIGHTS = (1, 2, 4)
WEIGHT_UNIT = 100
# Workers, and how far a guest may then be from its share.
WEIGHT_TARGETS = {1: 0.03, 2: 0.05}
# Outstanding of each of them: all slots of its ring, as one that runs empty while its client is not
# scheduled wants nothing for that time. On two processors that happens.
FULL = 128
# Where the guests compete for the disk; of the null driver each gets what its processor can take.
WEIGHTED = "disk1"
# A limited disk: what it is limited to a second, and the size of a request.
LIMITS = {"iops": (5000, 512), "bps": (20_000_000, 4096)}
LIMIT_TARGET = 0.02
IMAGE_MB = 256

ALONE, FOUR, FIVE = "a single thread alone", "four clients", "four clients and a single thread"

TEXT = (
    "Random reads of 512 bytes, adaptive at both ends, all clients at the same time. First the "
    f"exercise: clients with {', '.join(map(str, THREADS[:-1]))} and {THREADS[-1]} blocking "
    "threads, and one with a single thread beside them. Then two guests, one with a single request "
    f"outstanding and one with {BIG}; without a window the back end gives the disk all that "
    "there is. Then three guests on one image with weights "
    f"{':'.join(map(str, WEIGHTS))}, each with {FULL} outstanding, served by one worker and by two, "
    "and guests whose disk is limited."
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


def weights_group(instance):
    """Guests with weights that all want more than they get: the rate of each, and how far their
    shares are from what they should be."""

    def call():
        results = instance.load_together(
            [{"disk": f"weight-{weight}", "depth": FULL} for weight in WEIGHTS])
        rates = [result["rate"] for result in results]
        shares = [rate / sum(rates) * sum(WEIGHTS) / weight
                  for rate, weight in zip(rates, WEIGHTS)]
        metrics = {f"rate_{weight}": rate for weight, rate in zip(WEIGHTS, rates)}
        return {**metrics, "off": max(abs(share - 1) for share in shares)}

    return call


def limit_group(instance, disk, limit):
    """A guest whose disk is limited: what it gets of that, and how far it is from its limit."""
    bound, size = LIMITS[limit]

    def call():
        with instance.turn():
            load = instance.start_load(disk=f"{disk}-{limit}", depth=BIG, size=size)
            rate = instance.finish_load(load)["rate"] * (size if limit == "bps" else 1)
        return {"operations" if limit == "iops" else "bytes_rate": rate,
                "off": abs(rate / bound - 1)}

    return call


def define_weights(instance, target):
    """The disks of weights_group."""
    for weight in WEIGHTS:
        instance.define(f"weight-{weight}", target, weight=weight * WEIGHT_UNIT)


def define_limits(instance, targets):
    """Those with limits, as their groups name them."""
    for disk, target in targets.items():
        for limit, (bound, _) in LIMITS.items():
            instance.define(f"{disk}-{limit}", target, **{limit: bound})


def weights_point(workers):
    """How the measurements with so many workers are named."""
    return f"{WEIGHTED}, {workers} worker{'s' if workers > 1 else ''}"


def make_plan(windowed, unlimited, by_workers):
    """Every group, those that are compared one after the other."""
    plan = [Slice("threads", ALONE, threads_group(windowed, (1,))),
            Slice("threads", FOUR, threads_group(windowed, THREADS)),
            Slice("threads", FIVE, threads_group(windowed, (1, *THREADS)))]
    for disk in DISKS:
        plan += [Slice("alone", disk, depths_group(windowed, disk, (SMALL,))),
                 Slice("window", disk, depths_group(windowed, disk, (SMALL, BIG))),
                 Slice("no window", disk, depths_group(unlimited, disk, (SMALL, BIG)))]
        plan += [Slice(limit, disk, limit_group(windowed, disk, limit)) for limit in LIMITS]
    plan += [Slice("weights", weights_point(workers), weights_group(instance))
             for workers, instance in by_workers.items()]
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


def weights_and_limits(report, samples):
    """What toolstacks ask for."""
    ratio = ":".join(map(str, WEIGHTS))
    for workers, target in WEIGHT_TARGETS.items():
        point = weights_point(workers)
        report.at_most(f"{point}: guests with weights {ratio}, the one farthest from its share",
                       samples.values("weights", point, "off"), target)
    for disk in DISKS:
        for limit, (bound, _) in LIMITS.items():
            report.at_most(f"{disk}: a disk with {limit}={bound}, how far from its limit",
                           samples.values(limit, disk, "off"), LIMIT_TARGET)
    report.table("Requests per second of guests with weights",
                 ["disk", *(f"weight {weight}" for weight in WEIGHTS)],
                 [[point, *(spread(samples.summary("weights", point, f"rate_{weight}"))
                            for weight in WEIGHTS)]
                  for point in map(weights_point, WEIGHT_TARGETS)])
    report.table("Limited disks", ["disk", "operations per second", "bytes per second"],
                 [[disk, spread(samples.summary("iops", disk, "operations")),
                   spread(samples.summary("bps", disk, "bytes_rate"))] for disk in DISKS])


def main(options):
    """Measures and reports."""
    with Bench("fair", options, Defaults(rounds=5, ms=1500)) as bench:
        image = bench.image(IMAGE_MB)
        windowed = bench.instance("window", image)
        unlimited = bench.instance("no-window", image, window=OPEN_WINDOW)
        define_limits(windowed, {"null": "null:1G", "disk1": image})
        by_workers = {workers: bench.instance(f"workers-{workers}", image, workers=workers)
                      for workers in WEIGHT_TARGETS}
        for instance in by_workers.values():
            define_weights(instance, image)
        samples = bench.measure(make_plan(windowed, unlimited, by_workers))
        report = Report(bench, "Fairness", TEXT)
        exercise(report, samples)
        neighbours(report, samples)
        weights_and_limits(report, samples)
        report.write(samples)
