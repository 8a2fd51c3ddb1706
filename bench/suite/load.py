# SPDX-License-Identifier: MIT
"""Polling or sleeping: latency and processor time under every load from busy to nearly idle.

J, what is to be small, is the mean latency plus the processor time of a request in both processes:
a nanosecond of waiting and a nanosecond of computing count the same.
"""

import plot
from harness import POLICIES, Bench, Defaults, Slice
from report import Report, microseconds, spread
from samples import Summary, add, divide, geometric_mean, middle

GAPS_NS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
MANY_DEPTHS = {4: (0, 10_000, 100_000, 1_000_000), 16: (0, 100_000, 1_000_000),
               64: (0, 1_000_000)}
DISKS = ("null", "disk1")
SINGLE_DEPTHS = (1, 16)
IMAGE_MB = 256
REQUESTS_MIN = 60  # of a stream in a slice; slices of rare requests last longer

J_TARGET, J_MEAN_TARGET = 1.25, 1.10
BUSY_LATENCY_TARGET = 1.10  # null, no gaps: to spin
IDLE_CPU_TARGET, IDLE_GAP_NS = 1.15, 1_000_000  # from that gap on: to event
SINGLE_TARGET = 0.8  # one processor: rate, to event's

TEXT = (
    "Streams that read 512 bytes, then think for the given time (fixed, or random with an "
    "exponential distribution), then read again; the policy is that of both ends. Thinking below "
    "20 us computes, which is not counted as processor time; longer thinking sleeps. J is mean "
    "latency plus processor time of both processes, per request. \"Better of spin and event\" is "
    "the one with the smaller median J there."
)


def gap_name(gap_ns):
    """0, 3 us, 10 ms."""
    if gap_ns == 0:
        return "0"
    if gap_ns < 1_000_000:
        return f"{gap_ns // 1000} us"
    return f"{gap_ns // 1_000_000} ms"


class Point:
    """One load."""

    def __init__(self, disk, depth, gap_ns, random):
        self.disk, self.depth, self.gap_ns, self.random = disk, depth, gap_ns, random
        kind = "" if gap_ns == 0 else " random" if random else " fixed"
        self.name = f"{disk}, {depth} outstanding, gap {gap_name(gap_ns)}{kind}"

    def options(self, bench):
        """For blkbench."""
        ms = max(bench.ms, 0 if bench.quick else REQUESTS_MIN * self.gap_ns // 1_000_000)
        return {"disk": self.disk, "depth": self.depth, "think": self.gap_ns or None,
                "think_random": self.random, "ms": ms, "latencies": True}


def all_points():
    """One stream: every gap; several: some, at random."""
    points = []
    for disk in DISKS:
        points.append(Point(disk, 1, 0, False))
        points += [Point(disk, 1, gap, random) for random in (False, True) for gap in GAPS_NS]
        for depth, gaps in MANY_DEPTHS.items():
            points += [Point(disk, depth, gap, gap > 0) for gap in gaps]
    return points


def single_name(disk, depth):
    """Both ends on one processor, no gaps."""
    return f"one processor, {disk}, {depth} outstanding"


def make_plan(bench, points, instances, singles):
    """Every load for each policy, one after the other."""

    def call(instance, policy, options):
        return lambda: instance.load(wait=policy, **options)

    plan = [Slice(policy, point.name, call(instances[policy], policy, point.options(bench)))
            for point in points for policy in POLICIES]
    plan += [Slice(policy, single_name(disk, depth),
                   call(singles[policy], policy, {"disk": disk, "depth": depth}))
             for disk in DISKS for depth in SINGLE_DEPTHS for policy in POLICIES]
    return plan


class Figures:
    """J and processor time, computed from the samples."""

    def __init__(self, samples):
        self._samples = samples

    def latency(self, policy, point):
        """Mean latency in ns."""
        return self._samples.values(policy, point.name, "mean_ns")

    def cpu(self, policy, point):
        """Processor time of client and back end in ns per request."""
        return add(self._samples.values(policy, point.name, "cpu_ns"),
                   self._samples.values(policy, point.name, "backend_cpu_ns"))

    def cost(self, policy, point):
        """J in ns."""
        return add(self.latency(policy, point), self.cpu(policy, point))

    def cost_ratio(self, point):
        """J of adaptive to that of the better of the others, and which that is."""
        best = min(("spin", "event"), key=lambda policy: middle(self.cost(policy, point)) or 0)
        return divide(self.cost("adaptive", point), self.cost(best, point)), best


def rows(report, figures, points, samples):
    """Targets."""
    ratios = []
    for point in points:
        ratio, best = figures.cost_ratio(point)
        ratios.append(middle(ratio))
        report.at_most(f"{point.name}: adaptive's J, to the better's ({best})", ratio, J_TARGET)
    report.at_most("adaptive's J, to the better's: geometric mean of all these",
                   geometric_mean(ratios), J_MEAN_TARGET)
    for point in points:
        if point.disk == "null" and point.gap_ns == 0:
            report.at_most(f"{point.name}: adaptive's latency, to spin's",
                           divide(figures.latency("adaptive", point),
                                  figures.latency("spin", point)), BUSY_LATENCY_TARGET)
        if point.gap_ns >= IDLE_GAP_NS:
            report.at_most(f"{point.name}: adaptive's processor time, to event's",
                           divide(figures.cpu("adaptive", point), figures.cpu("event", point)),
                           IDLE_CPU_TARGET)
    for disk in DISKS:
        for depth in SINGLE_DEPTHS:
            name = single_name(disk, depth)
            for policy in ("spin", "adaptive"):
                report.at_least(f"{name}: {policy}'s rate, to event's",
                                samples.ratio((policy, name), ("event", name)), SINGLE_TARGET)


def tables(report, figures, points, samples):
    """Latency and processor time for each load, curves over the gaps."""
    header = ["load"]
    for policy in POLICIES:
        header += [f"{policy}: latency", "CPU"]
    lines = []
    for point in points:
        cells = [point.name]
        for policy in POLICIES:
            cells += [spread(Summary(figures.latency(policy, point)), microseconds),
                      spread(Summary(figures.cpu(policy, point)), microseconds)]
        lines.append(cells)
    report.table("Mean latency and processor time of both processes, us per request", header, lines)
    lates = [[point.name, *(spread(samples.summary(policy, point.name, "late_ns"), microseconds)
                            for policy in POLICIES)] for point in points if point.gap_ns]
    report.table("How late requests went out after thinking, us", ["load", *POLICIES], lates)
    for disk in DISKS:
        curve = [point for point in points
                 if point.disk == disk and point.depth == 1 and (point.random or not point.gap_ns)]
        report.picture(disk, plot.curves(
            f"{disk}, one stream: latency plus processor time, by random gap",
            [gap_name(point.gap_ns) for point in curve], "J, ns per request",
            {policy: [Summary(figures.cost(policy, point)) for point in curve]
             for policy in POLICIES}, logarithmic=True))


def main(options):
    """Measures and reports."""
    with Bench("load", options, Defaults(rounds=5, ms=400)) as bench:
        image = bench.image(IMAGE_MB)
        instances = {policy: bench.instance(policy, image, policy=policy) for policy in POLICIES}
        singles = {policy: bench.instance(f"{policy}-single", image, cpus={bench.first_cpu()},
                                          policy=policy) for policy in POLICIES}
        points = all_points()
        samples = bench.measure(make_plan(bench, points, instances, singles))
        report = Report(bench, "Polling and sleeping", TEXT)
        figures = Figures(samples)
        rows(report, figures, points, samples)
        tables(report, figures, points, samples)
        report.write(samples)
