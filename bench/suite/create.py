# SPDX-License-Identifier: MIT
"""How long `ringfence create` and `destroy` take, and what many domains one after the other leave.

A process domain with one disk, and one without; beside them, in the same rounds, what it costs to
start a program at all.
"""

import os
import time

from harness import Bench, Defaults, Slice
from instance import memory_bytes
from report import Report, number, spread
from samples import middle

CREATE_TARGET = 50  # ms, from the command's start to its end, when the domain's program runs
LEFT_DESCRIPTORS_TARGET = 0
LEFT_MEMORY_TARGET = 64  # KiB, of all of them together
IN_SLICE, QUICK_IN_SLICE = 20, 2
LIVES, QUICK_LIVES = 1000, 5
WARM_UP = 400  # lives, until tables and pools have their size
IMAGE_MB = 32

TEXT = (
    "A process domain that sleeps, from a configuration file: `create` from the start of the command "
    "until it ends, which is when the domain's program runs and the back end has the disk; `destroy` "
    "until the domain and its processes are gone. \"A program\" is `ringfence --version`, to say "
    "what starting any takes."
)

DISK = "disk = [ 'format=raw, vdev=xvda, access=ro, backend=blkback, target={image}' ]\n"


class Domains:
    """Creates and destroys the domain of a configuration file."""

    def __init__(self, bench, instance, image):
        self._instance = instance
        self._command = bench.bin / "ringfence"
        self._pid = instance.hypervisor_pid
        self._files = {}
        for point, disk in (("no disk", ""), ("one disk", DISK.format(image=image))):
            path = bench.work / f"{point.replace(' ', '-')}.cfg"
            path.write_text("name = \"bench\"\ntype = \"process\"\nkernel = \"/bin/sleep\"\n"
                            "extra = \"100000\"\n" + disk, encoding="ascii")
            self._files[point] = path

    def _timed(self, *words):
        start = time.monotonic_ns()
        self._instance.run([self._command, *words])
        return time.monotonic_ns() - start

    def program(self, count):
        """What starting the command takes."""
        return {"program_ns": middle([self._timed("--version") for _ in range(count)])}

    def live(self, point, count):
        """So many lives of a domain, one after the other: medians."""
        created, destroyed = [], []
        with self._instance.turn():
            for _ in range(count):
                created.append(self._timed("create", "--quiet", self._files[point]))
                destroyed.append(self._timed("destroy", "bench"))
        return {"create_ns": middle(created), "destroy_ns": middle(destroyed)}

    def holds(self):
        """Descriptors and KiB of the hypervisor."""
        return len(os.listdir(f"/proc/{self._pid}/fd")), memory_bytes(self._pid) / 1024


def milliseconds(value):
    """Nanoseconds as milliseconds."""
    return "-" if value is None else number(value / 1e6)


def many(bench, domains, report):
    """Many lives: how fast, and what is left of them."""
    lives = QUICK_LIVES if bench.quick else LIVES
    domains.live("one disk", 1 if bench.quick else WARM_UP)
    bench.tell(f"{lives} domains, one after the other", milestone=True)
    descriptors, kib = domains.holds()
    start = time.monotonic()
    domains.live("one disk", lives)
    seconds = time.monotonic() - start
    now_descriptors, now_kib = domains.holds()
    what = f"of the hypervisor after {lives} domains, to before"
    report.row(f"{lives} domains created and destroyed, one after the other", lives / seconds,
               unit="per second")
    report.at_most(f"descriptors {what}", now_descriptors - descriptors, LEFT_DESCRIPTORS_TARGET)
    report.at_most(f"memory {what}", now_kib - kib, LEFT_MEMORY_TARGET, unit="KiB")


def main(options):
    """Measures and reports."""
    with Bench("create", options, Defaults(rounds=9, ms=1)) as bench:
        image = bench.image(IMAGE_MB)
        instance = bench.instance("create")
        domains = Domains(bench, instance, image)
        count = QUICK_IN_SLICE if bench.quick else IN_SLICE
        points = ("one disk", "no disk")
        plan = [Slice("domain", point, lambda point=point: domains.live(point, count))
                for point in points]
        plan.append(Slice("program", "alone", lambda: domains.program(count)))
        samples = bench.measure(plan)
        report = Report(bench, "Creating domains", TEXT)
        report.at_most("create to running, process domain with one disk",
                       [value and value / 1e6
                        for value in samples.values("domain", "one disk", "create_ns")],
                       CREATE_TARGET, unit="ms")
        many(bench, domains, report)
        report.table("Milliseconds", ["", "create", "destroy"],
                     [[point, *(spread(samples.summary("domain", point, f"{what}_ns"), milliseconds)
                                for what in ("create", "destroy"))] for point in points] +
                     [["a program", spread(samples.summary("program", "alone", "program_ns"),
                                           milliseconds), ""]])
        report.write(samples)
