# SPDX-License-Identifier: MIT
"""Event channel or spinning: the evaluation that Shirole's thesis on driver domains left open.

Its chapter 6 has headings and no figures: results with the event channel, with spinning, copy
overhead, comparison. docs/report/event-or-spin.md is the report; bench/publish.py puts the figures
of a run into it.
"""

import plot
from harness import Bench, Defaults, Slice
from peers import fio_image
from report import Report, microseconds, number, spread
from samples import Summary, add, divide, geometric_mean, middle

POLICIES = ("event", "spin", "iddr", "adaptive")
LOCAL = "local"  # fio on the image itself, without a driver domain
TWO, ONE = "two processors", "one processor"
DEPTHS = {TWO: (1, 4, 32), ONE: (1, 32)}
DISKS = ("null", "disk1")
GAPS_NS = {"null": (10_000, 30_000, 100_000, 1_000_000), "disk1": (100_000, 1_000_000)}
ONE_GAP_NS = 100_000
COPY_SIZES = (512, 4096, 16384, 65536)
COPY_POLICIES = ("event", "spin")
GRANTED, COPIED = "granted", "copied"
IMAGE_MB = 256
REQUEST_BYTES = 512
REQUESTS_MIN = 60  # of a stream in a slice; slices of rare requests last longer

TEXT = (
    "Random reads of 512 bytes through front end and back end, which are processes of their own; "
    "the policy (event, spin, iddr, adaptive) is that of both ends. \"null\" is a disk that takes "
    "no time, so all of its latency is the channel's; \"disk1\" is a file, read past the page "
    "cache. With two processors the scheduler places the processes; with one, both are bound to "
    "it. A stream with a gap thinks (at random, exponentially) before its next request: below 20 us "
    "it computes, which is not counted, above it sleeps. J is mean latency plus processor time of "
    "both processes, per request. \"local\" is fio on the same file, with io_uring."
)


def size_name(size):
    """512 B, 4 KiB."""
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def gap_name(gap_ns):
    """0, 10 us, 1 ms."""
    if gap_ns >= 1_000_000:
        return f"{gap_ns // 1_000_000} ms"
    return f"{gap_ns // 1000} us" if gap_ns else "0"


class Point:
    """One load."""

    def __init__(self, processors, disk, depth, gap_ns=0):
        self.processors, self.disk, self.depth, self.gap_ns = processors, disk, depth, gap_ns
        gap = f", gap {gap_name(gap_ns)}" if gap_ns else ""
        self.short = f"{disk}, {depth}{gap}"
        self.name = f"{processors}: {disk}, {depth} outstanding{gap}"

    def options(self, bench):
        """For blkbench."""
        ms = max(bench.ms, 0 if bench.quick else REQUESTS_MIN * self.gap_ns // 1_000_000)
        return {"disk": self.disk, "depth": self.depth, "think": self.gap_ns or None,
                "think_random": self.gap_ns > 0, "ms": ms, "size": REQUEST_BYTES,
                "latencies": True}


def busy_points(processors):
    """Requests one after the other, without gaps."""
    return [Point(processors, disk, depth) for disk in DISKS for depth in DEPTHS[processors]]


def gap_points(disk):
    """One stream, from no gap to long ones."""
    return [Point(TWO, disk, 1)] + [Point(TWO, disk, 1, gap) for gap in GAPS_NS[disk]]


def all_points():
    """Every load once."""
    gaps = [point for disk in DISKS for point in gap_points(disk) if point.gap_ns]
    return busy_points(TWO) + gaps + busy_points(ONE) + [Point(ONE, "null", 1, ONE_GAP_NS)]


def local_points():
    """What fio does, too: the disk without gaps."""
    return [point for processors in (TWO, ONE) for point in busy_points(processors)
            if point.disk != "null"]


def copy_point(size, how):
    """A size of requests, into granted memory or copied out of it."""
    return f"null, 1 outstanding, {size_name(size)}, {how}"


def load_slices(bench, instances):
    """Every load for each policy, one after the other."""

    def call(policy, point):
        instance = instances[point.processors, policy]
        return lambda: instance.load(wait=policy, **point.options(bench))

    return [Slice(policy, point.name, call(policy, point))
            for point in all_points() for policy in POLICIES]


def local_slices(bench, image):
    """fio under the loads that it can have."""

    def call(point):
        job = {"rw": "randread", "bs": REQUEST_BYTES, "ioengine": "io_uring",
               "iodepth": point.depth}
        if point.processors == ONE:
            job["cpus_allowed"] = bench.first_cpu()
        return lambda: fio_image(bench, image, **job)

    return [Slice(LOCAL, point.name, call(point)) for point in local_points()]


def copy_slices(instances):
    """The same requests with and without a copy in the front end."""

    def call(policy, size, how):
        return lambda: instances[TWO, policy].load(
            wait=policy, disk="null", depth=1, size=size, copy=how == COPIED, latencies=True)

    return [Slice(policy, copy_point(size, how), call(policy, size, how))
            for size in COPY_SIZES for policy in COPY_POLICIES for how in (GRANTED, COPIED)]


class Figures:
    """What follows from the samples."""

    def __init__(self, samples):
        self.samples = samples

    def value(self, policy, point, metric):
        """A metric of blkbench."""
        return self.samples.values(policy, point.name, metric)

    def cpu(self, policy, point):
        """Processor time of client and back end in ns per request."""
        return add(self.value(policy, point, "cpu_ns"),
                   self.value(policy, point, "backend_cpu_ns"))

    def cost(self, policy, point):
        """J in ns."""
        return add(self.value(policy, point, "mean_ns"), self.cpu(policy, point))

    def to_best(self, points, figure):
        """For each policy, the figure to the smallest of the four, as medians by point."""
        ratios = {policy: [] for policy in POLICIES}
        for point in points:
            medians = {policy: middle(figure(policy, point)) for policy in POLICIES}
            best = min((value for value in medians.values() if value), default=None)
            for policy, value in medians.items():
                ratios[policy].append(value / best if value and best else None)
        return ratios


# ---- rows ----


def compare(report, figures, point):
    """Event against spinning under one load: latency, rate, processor time."""
    for what, figure in (("latency", lambda policy: figures.value(policy, point, "mean_ns")),
                         ("rate", lambda policy: figures.value(policy, point, "rate")),
                         ("processor time", lambda policy: figures.cpu(policy, point))):
        report.row(f"{point.name}: spin's {what}, to event's",
                   divide(figure("spin"), figure("event")))


def rows(report, figures):
    """The comparison in figures; no targets: whatever comes out is the answer."""
    for point in (Point(TWO, "null", 1), Point(TWO, "null", 32), Point(TWO, "disk1", 1),
                  Point(ONE, "null", 1), Point(TWO, "null", 1, 1_000_000)):
        compare(report, figures, point)
    for policy in POLICIES:
        for processors in (TWO, ONE):
            points = [point for point in all_points() if point.processors == processors]
            ratios = figures.to_best(points, figures.cost)[policy]
            report.row(f"{processors}, all loads: {policy}'s J, to the best of the four at each "
                       "(geometric mean)", geometric_mean(ratios))


# ---- tables and pictures ----


def load_table(report, figures, title, points):
    """Everything about some loads."""
    lines = []
    for point in points:
        for policy in POLICIES:
            summary = figures.samples.summary
            lines.append([
                point.short, policy,
                spread(summary(policy, point.name, "mean_ns"), microseconds),
                spread(summary(policy, point.name, "p99_ns"), microseconds),
                spread(summary(policy, point.name, "rate")),
                spread(summary(policy, point.name, "cpu_ns"), microseconds),
                spread(summary(policy, point.name, "backend_cpu_ns"), microseconds)])
    report.table(title, ["load, outstanding", "policy", "mean latency, us", "p99, us",
                         "requests/s", "CPU of the client, us", "of the back end, us"], lines)


def local_table(report, figures):
    """What isolation costs on a disk."""
    lines = []
    for point in local_points():
        for who in (LOCAL, *POLICIES):
            cpu = (figures.value(LOCAL, point, "cpu_ns") if who == LOCAL
                   else figures.cpu(who, point))
            ratio = figures.samples.ratio((who, point.name), (LOCAL, point.name))
            lines.append([point.name, who, spread(figures.samples.summary(who, point.name)),
                          number(middle(ratio)), spread(Summary(cpu), microseconds)])
    report.table("The disk local, and isolated in a driver domain",
                 ["load", "driver", "requests/s", "to local", "CPU in all, us per request"], lines)


def copy_table(report, figures):
    """What the copy between the domains costs."""
    lines = []
    for size in COPY_SIZES:
        for policy in COPY_POLICIES:
            granted, copied = copy_point(size, GRANTED), copy_point(size, COPIED)
            values = figures.samples.values
            more = [b - a if a is not None and b is not None else None
                    for a, b in zip(values(policy, granted, "mean_ns"),
                                    values(policy, copied, "mean_ns"))]
            lines.append([
                size_name(size), policy,
                spread(figures.samples.summary(policy, granted, "mean_ns"), microseconds),
                spread(figures.samples.summary(policy, copied, "mean_ns"), microseconds),
                spread(Summary(more), microseconds),
                number(middle(divide(values(policy, copied, "mean_ns"),
                                     values(policy, granted, "mean_ns"))))])
    report.table("Copy overhead: null, one outstanding, two processors, mean latency",
                 ["request", "policy", "granted, us", "copied, us", "the copy, us", "ratio"], lines)


def best_table(report, figures):
    """Who is how far from the best, load by load."""
    lines = []
    ratios = figures.to_best(all_points(), figures.cost)
    for place, point in enumerate(all_points()):
        lines.append([point.name, *(number(ratios[policy][place]) for policy in POLICIES)])
    report.table("J, to the best of the four policies under that load",
                 ["load", *POLICIES], lines)


def pictures(report, figures):
    """Curves over gaps and depths, a line for each policy."""

    def curves(title, points, ylabel, figure, logarithmic=True, labels=None):
        return plot.curves(title, labels or [point.short for point in points], ylabel,
                           {policy: [Summary(figure(policy, point)) for point in points]
                            for policy in POLICIES}, logarithmic=logarithmic)

    def latency(policy, point):
        return figures.value(policy, point, "mean_ns")

    def rate(policy, point):
        return divide(figures.value(policy, point, "rate"),
                      figures.value("event", point, "rate"))

    gaps = gap_points("null")
    labels = [gap_name(point.gap_ns) for point in gaps]
    report.picture("latency", curves("null, one stream: mean latency by random gap", gaps,
                                     "ns per request", latency, labels=labels))
    report.picture("cpu", curves("null, one stream: processor time of both ends by random gap",
                                 gaps, "ns per request", figures.cpu, labels=labels))
    for processors, name in ((TWO, "two"), (ONE, "one")):
        report.picture(name, curves(f"{processors}, no gaps: rate, to event's",
                                    busy_points(processors), "ratio", rate))
    report.picture("copy", plot.curves(
        "null, one outstanding: mean latency by size", [size_name(size) for size in COPY_SIZES],
        "ns per request",
        {f"{policy}, {how}": [figures.samples.summary(policy, copy_point(size, how), "mean_ns")
                              for size in COPY_SIZES]
         for policy in COPY_POLICIES for how in (GRANTED, COPIED)}, logarithmic=True))


def tables(report, figures):
    """In the order of the thesis' chapter."""
    copy_table(report, figures)
    load_table(report, figures, "Two processors, no gaps", busy_points(TWO))
    load_table(report, figures, "Two processors, gaps",
               [point for disk in DISKS for point in gap_points(disk) if point.gap_ns])
    load_table(report, figures, "One processor",
               busy_points(ONE) + [Point(ONE, "null", 1, ONE_GAP_NS)])
    local_table(report, figures)
    best_table(report, figures)


def main(options):
    """Measures and reports."""
    with Bench("event-or-spin", options, Defaults(rounds=7, ms=300)) as bench:
        image = bench.image(IMAGE_MB)
        instances = {}
        for policy in POLICIES:
            instances[TWO, policy] = bench.instance(policy, image, policy=policy)
            instances[ONE, policy] = bench.instance(f"{policy}-one", image,
                                                    cpus={bench.first_cpu()}, policy=policy)
        samples = bench.measure(load_slices(bench, instances) + local_slices(bench, image) +
                                copy_slices(instances))
        report = Report(bench, "Event channel or spinning", TEXT)
        figures = Figures(samples)
        rows(report, figures)
        tables(report, figures)
        pictures(report, figures)
        report.write(samples)
