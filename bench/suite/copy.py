# SPDX-License-Identifier: MIT
"""What moving the data costs: grants mapped for each request, copied, or mapped for good."""

import plot
from harness import Bench, Defaults, Slice
from report import Report, microseconds, number, spread
from samples import Summary, add

MODES = ("persistent", "map", "copy")  # values of blkback's --grants
SIZES = (512, 4096, 16384, 65536, 262144, 1048576)
DISKS = ("null", "disk1")
DEPTH = 8
IMAGE_MB = 500

TEXT = (
    f"Random reads, {DEPTH} outstanding, into granted buffers, adaptive at both ends; the back end "
    "maps a guest's pages once and keeps them (persistent), maps and unmaps them for each request "
    "(map), or copies by the hypervisor (copy). On the null driver the data path is all there is."
)


def size_name(size):
    """512 B, 4 KiB, 1 MiB."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} B"


def point_name(disk, size):
    """One load."""
    return f"{disk}, {size_name(size)}"


def modes_of(bench, report):
    """What this back end can do, as options of an instance by mode."""
    if bench.blkback_offers("grants"):
        return {mode: {"grants": mode} for mode in MODES}
    for mode in MODES[1:]:
        report.row(f"grants={mode}", None, why_not="this blkback has no option --grants")
    return {"persistent": {}}


def cpu(samples, mode, point):
    """Processor time of both processes, ns per request."""
    return add(samples.values(mode, point, "cpu_ns"),
               samples.values(mode, point, "backend_cpu_ns"))


def megabytes(samples, mode, point, size):
    """MB per second."""
    return [None if rate is None else rate * size / 1e6 for rate in samples.values(mode, point)]


def results(report, samples, modes):
    """Tables and pictures, and how the modes compare."""
    for disk in DISKS:
        lines = []
        for size in SIZES:
            point = point_name(disk, size)
            cells = [size_name(size)]
            for mode in modes:
                cells += [spread(Summary(megabytes(samples, mode, point, size))),
                          spread(Summary(cpu(samples, mode, point)), microseconds)]
            lines.append(cells)
            for mode in list(modes)[1:]:
                report.row(f"{point}: {mode}'s rate, to persistent's",
                           samples.ratio((mode, point), ("persistent", point)))
        header = ["size"]
        for mode in modes:
            header += [f"{mode}: MB/s", "CPU, us per request"]
        report.table(f"{disk}: throughput, processor time of both processes", header, lines)
        report.picture(disk, plot.curves(
            f"{disk}: processor time of both processes, by size of a request",
            [size_name(size) for size in SIZES], "ns per request",
            {mode: [Summary(cpu(samples, mode, point_name(disk, size))) for size in SIZES]
             for mode in modes}, logarithmic=True))
    largest = samples.summary("persistent", point_name("null", SIZES[-1]), "max_request_bytes")
    report.note(f"The largest request that goes over the ring in one piece has "
                f"{number(largest.median)} bytes; larger ones travel in parts.")


def main(options):
    """Measures and reports."""
    with Bench("copy", options, Defaults(rounds=7, ms=400)) as bench:
        report = Report(bench, "Mapping and copying", TEXT)
        modes = modes_of(bench, report)
        image = bench.image(IMAGE_MB)
        instances = {mode: bench.instance(mode, image, **more) for mode, more in modes.items()}

        def call(mode, disk, size):
            return lambda: instances[mode].load(disk=disk, size=size, depth=DEPTH)

        samples = bench.measure([Slice(mode, point_name(disk, size), call(mode, disk, size))
                                 for disk in DISKS for size in SIZES for mode in modes])
        results(report, samples, modes)
        report.write(samples)
