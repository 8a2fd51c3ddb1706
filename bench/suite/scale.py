# SPDX-License-Identifier: MIT
"""Many guests that do nothing: what they cost those that work, in processor time and in memory.

bench/guests.c holds them: each a domain of its own, connected, one sector read.
"""

import time

from harness import Bench, Defaults, Slice
from instance import cpu_seconds, memory_bytes
from processes import BenchError, Holder
from report import Report, number, spread
from samples import add

BUSY, DEPTH = 4, 16  # guests, requests outstanding of each
QUICK_GUESTS = 20
IDLE_SECONDS = 5
SETTLE_SECONDS = 1.5  # until polling has ended and the figures were published
CONNECT_SECONDS = 0.5  # for each guest, at most
IMAGE_MB = 256
DISKS = ("null", "disk1")

THROUGHPUT_TARGET = 0.98
CPU_TARGET = 0.1  # percent of a processor
MEMORY_TARGET = 256  # KiB a guest


class Idle:
    """Guests that do nothing, and what the two processes used before there were any."""

    def __init__(self, bench, instance, count):
        self._pids = (instance.hypervisor_pid, instance.backend_pid)
        before = [memory_bytes(pid) for pid in self._pids]
        bench.tell(f"connecting {count} guests", milestone=True)
        self._holder = bench.keep(Holder([bench.programs / "guests", count, "null"],
                                         30 + CONNECT_SECONDS * count, instance.environment()))
        self.count = int(self._holder.words[0])
        if not self.count:
            raise BenchError("not a single guest could be connected\n" + instance.log_tail())
        time.sleep(SETTLE_SECONDS)
        self.kib = [(memory_bytes(pid) - old) / 1024 / self.count
                    for pid, old in zip(self._pids, before)]

    def cpu_percent(self, seconds):
        """Of a processor, hypervisor and back end, while nobody does anything."""
        before, start = [cpu_seconds(pid) for pid in self._pids], time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - start
        hypervisor, backend = (100 * (cpu_seconds(pid) - old) / elapsed
                               for pid, old in zip(self._pids, before))
        return {"hypervisor_percent": hypervisor, "backend_percent": backend}


def busy(instance, disk):
    """What busy guests read together."""
    results = instance.load_together([{"disk": disk, "depth": DEPTH}] * BUSY)
    return {"rate": sum(result["rate"] for result in results)}


def idle_slice(bench, instance, idle):
    """Processor time of an instance with nothing to do."""
    with instance.turn():
        time.sleep(SETTLE_SECONDS)
        return idle.cpu_percent(1 if bench.quick else IDLE_SECONDS)


def results(report, samples, idle, wanted):
    """Rows and tables."""
    crowd = f"{idle.count} idle guests"
    report.at_least("idle guests that could be connected", idle.count, wanted)
    for disk in DISKS:
        report.at_least(f"{disk}: {BUSY} busy guests beside {crowd}, to without them",
                        samples.ratio(("crowded", disk), ("empty", disk)), THROUGHPUT_TARGET)
    report.at_most(f"processor time with {crowd} and nothing to do",
                   add(samples.values("crowded", "idle", "hypervisor_percent"),
                       samples.values("crowded", "idle", "backend_percent")),
                   CPU_TARGET, unit="% of a processor")
    report.at_most("memory of an idle guest, in hypervisor and back end together", sum(idle.kib),
                   MEMORY_TARGET, unit="KiB")
    report.table(f"Requests per second of {BUSY} busy guests, {DEPTH} outstanding each",
                 ["disk", "alone", f"beside {crowd}"],
                 [[disk, spread(samples.summary("empty", disk)),
                   spread(samples.summary("crowded", disk))] for disk in DISKS])
    report.table("What idle guests cost", ["", "hypervisor", "back end"],
                 [["% of a processor, all together",
                   *(spread(samples.summary("crowded", "idle", f"{who}_percent"),
                            lambda value: f"{value:.3f}") for who in ("hypervisor", "backend"))],
                  ["KiB a guest", *map(number, idle.kib)]])


def main(options):
    """Measures and reports."""
    with Bench("scale", options, Defaults(rounds=9, ms=1000)) as bench:
        count = QUICK_GUESTS if bench.quick else options.guests
        image = bench.image(IMAGE_MB)
        empty = bench.instance("empty", image)
        crowded = bench.instance("crowded", image)
        with crowded.turn():
            idle = Idle(bench, crowded, count)
        plan = [Slice(name, disk, lambda instance=instance, disk=disk: busy(instance, disk))
                for disk in DISKS for name, instance in (("empty", empty), ("crowded", crowded))]
        plan.append(Slice("crowded", "idle", lambda: idle_slice(bench, crowded, idle)))
        samples = bench.measure(plan)
        report = Report(bench, "Many idle guests", TEXT)
        results(report, samples, idle, count)
        report.write(samples)


TEXT = (
    "Two instances with adaptive back ends, one with idle guests: domains of their own, connected, "
    "which read one sector once. Processor time is that of ringfenced and blkback over some "
    "seconds; memory is the growth of their proportional set size (PSS) by the idle guests, "
    "divided by their number."
)
