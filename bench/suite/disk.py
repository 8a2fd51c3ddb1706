# SPDX-License-Identifier: MIT
"""A disk behind Ringfence against the same disk without it: fio on the image, and NBD."""

import plot
from harness import POLICIES, Bench, Defaults, Slice
from peers import fio_image
from report import Report, number, spread
from samples import Summary, divide, middle

SIZES = (512, 4096)
DEPTHS = (1, 4, 16, 64)
THREADS = (4, 16, 64)
IMAGE_MB = 500
SEQUENTIAL_BYTES = 1 << 20
SEQUENTIAL_DEPTH = 4

# At least this part of fio's rate, by depth; adaptive is compared with the other two.
TARGETS = {"spin": (1.3, 1.1, 1.0, 0.92), "event": (0.80, 0.80, 0.80, 0.88)}
ADAPTIVE_TARGET = 0.9
SEQUENTIAL_TARGETS = {"zero copy": 0.97, "bounced": 0.8}
THREAD_TARGETS = {"adaptive": (0.95, 0.95, 0.95), "event": (0.70, 0.75, 0.75)}
SLOWEST_TARGET = 0.8

RAW, NBD = "fio io_uring", "qemu-storage-daemon NBD"
JOBS = "fio psync jobs"

TEXT = (
    f"Reads of a fresh image of {IMAGE_MB} MiB, all by O_DIRECT: fio reads the file itself, "
    "qemu-storage-daemon exports it over NBD on a Unix socket (with fio as its client), and "
    "clients in domains of their own read it through ring and back end. A policy (spin, event, adaptive) "
    "is that of both ends. Sequential reads and, unless said otherwise, threads use adaptive."
)


def random_point(size, depth):
    """Asynchronous random reads."""
    return f"{size} B, {depth} outstanding"


def threads_point(threads):
    """Blocking random reads of 512 bytes."""
    return f"{threads} threads"


def make_plan(bench, image, instances, daemon):
    """Every slice of a round; competitors follow each other."""

    def raw(**job):
        return lambda: fio_image(bench, image, **job)

    def nbd(**job):
        return lambda: daemon.fio(bench, **job)

    def ours(policy, **load):
        return lambda: instances[policy].load(wait=policy, **load)

    plan = []
    for size in SIZES:
        for depth in DEPTHS:
            point, job = random_point(size, depth), {"bs": size, "iodepth": depth, "rw": "randread"}
            plan.append(Slice(RAW, point, raw(ioengine="io_uring", **job)))
            plan += [Slice(policy, point, ours(policy, size=size, depth=depth))
                     for policy in POLICIES]
            plan.append(Slice(NBD, point, nbd(**job)))
    for threads in THREADS:
        point = threads_point(threads)
        plan.append(Slice(JOBS, point, raw(ioengine="psync", numjobs=threads, bs=512,
                                           rw="randread")))
        plan += [Slice(policy, point, ours(policy, threads=threads))
                 for policy in THREAD_TARGETS]
    sequential = {"size": SEQUENTIAL_BYTES, "depth": SEQUENTIAL_DEPTH, "sequential": True}
    plan.append(Slice(RAW, "sequential", raw(ioengine="io_uring", bs=SEQUENTIAL_BYTES,
                                             iodepth=SEQUENTIAL_DEPTH, rw="read")))
    plan.append(Slice("zero copy", "sequential", ours("adaptive", **sequential)))
    plan.append(Slice("bounced", "sequential", ours("adaptive", copy=True, **sequential)))
    return plan


def random_rows(report, samples):
    """Asynchronous random reads against their targets."""
    for size in SIZES:
        for at, depth in enumerate(DEPTHS):
            point = random_point(size, depth)
            for policy, bounds in TARGETS.items():
                report.at_least(f"{point}, {policy}, to {RAW}",
                                samples.ratio((policy, point), (RAW, point)), bounds[at])
            best = max(TARGETS, key=lambda name, at_point=point:
                       middle(samples.values(name, at_point)) or 0)
            report.at_least(f"{point}, adaptive, to the better of spin and event ({best})",
                            samples.ratio(("adaptive", point), (best, point)), ADAPTIVE_TARGET)


def other_rows(report, samples):
    """Sequential reads and blocking threads against their targets."""
    for kind, bound in SEQUENTIAL_TARGETS.items():
        report.at_least(f"sequential, 1 MiB, {SEQUENTIAL_DEPTH} outstanding, {kind}, to {RAW}",
                        samples.ratio((kind, "sequential"), (RAW, "sequential")), bound)
    for policy, bounds in THREAD_TARGETS.items():
        for bound, threads in zip(bounds, THREADS):
            point = threads_point(threads)
            report.at_least(f"{point} on one ring, {policy}, to as many {JOBS}",
                            samples.ratio((policy, point), (JOBS, point)), bound)
    for threads in THREADS:
        point = threads_point(threads)
        shares = divide(samples.values("adaptive", point, "least"),
                        samples.values("adaptive", point, "most"))
        report.at_least(f"{point} on one ring, adaptive: the slowest, to the fastest", shares,
                        SLOWEST_TARGET)


def tables(report, samples):
    """Requests per second of everybody, and how we compare with NBD."""
    everybody = (RAW, *POLICIES, NBD)
    for size in SIZES:
        lines = []
        for depth in DEPTHS:
            point = random_point(size, depth)
            lines.append([str(depth), *(spread(samples.summary(who, point)) for who in everybody),
                          number(middle(samples.ratio(("adaptive", point), (NBD, point))))])
        report.table(f"{size}-byte random reads, requests per second",
                     ["outstanding", *everybody, "adaptive to NBD"], lines)
        report.picture(str(size), plot.curves(
            f"{size}-byte random reads, by requests outstanding", [str(d) for d in DEPTHS],
            "requests per second",
            {who: [samples.summary(who, random_point(size, depth)) for depth in DEPTHS]
             for who in everybody}))
    everybody = (JOBS, *THREAD_TARGETS)
    report.table("512-byte random reads, blocking threads, requests per second",
                 ["threads", *everybody],
                 [[str(threads), *(spread(samples.summary(who, threads_point(threads)))
                                   for who in everybody)] for threads in THREADS])
    megabytes = [[who, spread(Summary([None if rate is None else rate * SEQUENTIAL_BYTES / 1e6
                                       for rate in samples.values(who, "sequential")]))]
                 for who in (RAW, *SEQUENTIAL_TARGETS)]
    report.table("Sequential reads of 1 MiB, MB per second", ["who", "MB/s"], megabytes)


def main(options):
    """Measures and reports."""
    with Bench("disk", options, Defaults(rounds=5, ms=600)) as bench:
        image = bench.image(IMAGE_MB)
        instances = {policy: bench.instance(policy, image, policy=policy) for policy in POLICIES}
        daemon = bench.storage_daemon("image", image)
        samples = bench.measure(make_plan(bench, image, instances, daemon))
        report = Report(bench, "The disk", TEXT)
        random_rows(report, samples)
        other_rows(report, samples)
        tables(report, samples)
        report.write(samples)
