# SPDX-License-Identifier: MIT
"""The path without a disk: the null driver against the least that two processes need.

bench/ringbench.c measures both in alternating slices of the same processes. The distance between
two processors of a virtual machine changes while it runs, so a round counts only if what tells it
(a cache line's ping-pong, for events the eventfds' own) was the same before and after. Processes that
are free to move do so at any moment; then every round counts.
"""

from harness import Bench, Defaults, Slice, two_cpus
from processes import BenchError, parse_json
from report import Report, microseconds, number, spread
from samples import Summary, divide

NBD_MS = 300

SPIN, BOUND, FREE = "polling", "asleep, bound to two processors", "asleep, free"

TEXT = (
    "The null driver (a disk that takes no time) through front and back end, against bare "
    "exchanges of two processes: a blkif ring that both poll (Xen's macros, private copy, check, "
    "with or without 512 bytes of data that both sides copy), and eventfds with poll, read and "
    "write. Rounds of bound processes in which the distance of the processors changed by more than a "
    "fifth are left out."
)


def ringbench(bench, instance, wait, cpus):
    """Makes the call for a slice: ringbench on that instance, bound to two processors or not."""
    words = [bench.programs / "ringbench", f"--backend={instance.backend_pid}", f"--wait={wait}",
             "--rounds=1", f"--ms={bench.ms}"]
    if cpus:
        words.append(f"--cpus={cpus[0]},{cpus[1]}")
        instance.pin_backend({cpus[1]})

    def call():
        with instance.turn():
            metrics = parse_json(instance.run(words), "ringbench")
        before, after = metrics.pop("before_ns"), metrics.pop("after_ns")
        if cpus and not bench.quiet(before, after):
            return None
        trips = {name.replace("_1", "_trip_ns"): 1e9 / rate
                 for name, rate in metrics.items() if name.endswith("_1") and rate}
        return {**metrics, **trips, "floor_trip_ns": (before + after) / 2}

    return call


def polling(report, samples):
    """Rows and table of both ends polling."""

    def ratio(ours, theirs):
        return divide(samples.values("ring", SPIN, ours), samples.values("ring", SPIN, theirs))

    report.at_most("spin, 1 outstanding: round trip, to the bare ring's",
                   ratio("null_trip_ns", "bare_trip_ns"), 1.25)
    report.row("the same, to a bare ring without data",
               ratio("null_trip_ns", "bare_nodata_trip_ns"))
    report.at_least("spin, 32 outstanding, one ring, batch calls: rate, to the bare ring's",
                    ratio("null_32", "bare_32"), 0.65)
    report.row("the same, to a bare ring without data", ratio("null_32", "bare_nodata_32"))
    report.at_least("the same, to qemu-storage-daemon's null export over NBD",
                    divide(samples.values("ring", SPIN, "null_32"),
                           samples.values("qemu-storage-daemon", "null")), 10)
    lines = []
    for name, key in (("cache line ping-pong", "floor"), ("bare ring", "bare"),
                      ("bare ring without data", "bare_nodata"), ("null driver", "null")):
        trip = samples.summary("ring", SPIN, f"{key}_trip_ns")
        lines.append([name, spread(trip), spread(samples.summary("ring", SPIN, f"{key}_32")),
                      number(trip.count)])
    nbd = samples.summary("qemu-storage-daemon", "null")
    lines.append(["qemu-storage-daemon, NBD", "", spread(nbd), number(nbd.count)])
    report.table("Both ends polling", ["what", "round trip, 1 outstanding, ns",
                 "requests per second, 32 outstanding", "rounds that count"], lines)


def asleep(report, samples):
    """Rows and table of both ends sleeping."""
    lines = []
    for point, bound in ((BOUND, 1.15), (FREE, 1.3)):
        trips = samples.values("ring", point, "null_trip_ns")
        floor = samples.values("ring", point, "floor_trip_ns")
        report.at_most(f"event, 1 outstanding, {point}: round trip, to bare eventfds'",
                       divide(trips, floor), bound)
        lines.append([point, spread(Summary(floor), microseconds),
                      spread(Summary(trips), microseconds), number(Summary(floor).count)])
    report.table("Both ends asleep", ["processes", "bare eventfds, round trip, us",
                 "null driver, round trip, us", "rounds that count"], lines)


def main(options):
    """Measures and reports."""
    with Bench("ring", options, Defaults(rounds=24, ms=50)) as bench:
        cpus = two_cpus()
        if not cpus:
            raise BenchError("needs two processors")
        spin = bench.instance("spin", policy="spin")
        bound = bench.instance("event-bound", policy="event")
        free = bench.instance("event-free", policy="event")
        daemon = bench.storage_daemon("null")
        nbd_ms = bench.ms if bench.quick else NBD_MS
        samples = bench.measure([
            Slice("ring", SPIN, ringbench(bench, spin, "spin", cpus)),
            Slice("qemu-storage-daemon", "null",
                  lambda: daemon.fio(bench, ms=nbd_ms, bs=512, rw="randread", iodepth=32)),
            Slice("ring", BOUND, ringbench(bench, bound, "event", cpus)),
            Slice("ring", FREE, ringbench(bench, free, "event", None)),
        ])
        report = Report(bench, "The path without a disk", TEXT)
        polling(report, samples)
        asleep(report, samples)
        report.write(samples)
