# SPDX-License-Identifier: MIT
"""What every benchmark stands on: options, a working folder, interleaved rounds, progress.

    with Bench("name", options, Defaults(rounds=5, ms=500)) as bench:
        image = bench.image(500)
        instance = bench.instance("spin", policy="spin")
        samples = bench.measure([Slice("ours", "depth 1", lambda: instance.load(depth=1)), ...])
        report = Report(bench, "title", "text")
        report.at_least("what", samples.ratio(...), 0.9)
        report.write(samples)

Whatever a Bench made is ended and removed when the block is left, by Ctrl-C or a signal as well.
"""

import os
import signal
import sys
import time
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path

from instance import Instance
from peers import StorageDaemon
from processes import WorkFolder, make_image, run
from samples import Samples

# One measurement of a round: call() returns numbers by metric, or None if the round is dropped.
Slice = namedtuple("Slice", "series point call")

# What holds unless the command line says otherwise; ms of each slice.
Defaults = namedtuple("Defaults", "rounds ms")

POLICIES = ("event", "spin", "adaptive")
QUICK_MS = 40
DISTURBED = 1.2
QUICK_IMAGE_MB = 32
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def two_cpus():
    """Two processors that we may use, of different cores if there are such; None with only one."""
    allowed = sorted(os.sched_getaffinity(0))

    def core(cpu):
        folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            return tuple((folder / name).read_text(encoding="ascii")
                         for name in ("physical_package_id", "core_id"))
        except OSError:
            return cpu

    others = [cpu for cpu in allowed[1:] if core(cpu) != core(allowed[0])] or allowed[1:]
    return (allowed[0], others[0]) if others else None


class Bench:
    """One run of one benchmark."""

    def __init__(self, name, options, defaults):
        self.name = name
        self.quick = options.quick
        self.rounds = options.rounds or (1 if self.quick else defaults.rounds)
        self.ms = options.ms or (QUICK_MS if self.quick else defaults.ms)
        self.warmup_ms = max(1, self.ms // 10)
        self.root = Path(__file__).resolve().parent.parent
        self.bin = Path(os.environ.get("RF_BIN", self.root / "bin"))
        self.programs = Path(os.environ.get("RF_BENCH", self.root / "build" / "bench"))
        self.out = self.root / "bench" / "out"
        self._stack = ExitStack()
        self._line_open = False

    def __enter__(self):
        folders = [self.programs, Path(os.environ.get("TMPDIR", "/tmp")), Path("/var/tmp")]
        with ExitStack() as stack:
            stack.callback(self.tell, "")
            folder = WorkFolder(folders)
            stack.callback(folder.close)
            self.work = folder.path
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        # A second Ctrl-C is not to leave half of it behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING_SIGNALS}
        try:
            self._stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # ---- what a benchmark works with ----

    def keep(self, thing):
        """Closes thing when the benchmark ends."""
        self._stack.callback(thing.close)
        return thing

    def image(self, size_mb):
        """A fresh image of random bytes: files that nobody touched lately may be slow."""
        path = self.work / "disk1.img"
        return make_image(path, QUICK_IMAGE_MB if self.quick else size_mb, self.tell)

    def instance(self, name, image=None, **options):
        """An instance of our own, paused; its disks are "null" and, with an image, "disk1"."""
        self.tell(f"starting {name}")
        instance = self.keep(Instance(self, name, **options))
        if image:
            instance.define("disk1", image)
        if instance.backend_pid:
            instance.pause()
        return instance

    def storage_daemon(self, name, image=None):
        """qemu-storage-daemon with that image, or a null device."""
        return self.keep(StorageDaemon(self, name, image))

    @staticmethod
    def first_cpu():
        """The processor for measurements on a single one."""
        return min(os.sched_getaffinity(0))

    def blkback_offers(self, option):
        """Does this blkback have an option of that name?"""
        return f"--{option}" in run([self.bin / "blkback", "--help"], 10)

    # ---- rounds ----

    def measure(self, plan):
        """All slices of the plan, round by round, each second round backwards. Samples."""
        samples = Samples(self.rounds)
        started = time.monotonic()
        for number in range(self.rounds):
            left = ""
            if number:
                seconds = (time.monotonic() - started) / number * (self.rounds - number)
                left = f", about {seconds / 60:.0f} min left"
            for done, piece in enumerate(plan if number % 2 == 0 else reversed(plan)):
                self.tell(f"round {number + 1} of {self.rounds}{left}: {done + 1} of {len(plan)}, "
                          f"{piece.series}, {piece.point}", milestone=done == 0)
                samples.add(number, piece.series, piece.point, piece.call())
        return samples

    def quiet(self, before, after):
        """Was the machine the same before and after a slice, by a yardstick measured then?"""
        return self.quick or max(before, after) <= DISTURBED * min(before, after)

    def tell(self, text, milestone=False):
        """Progress: a line that is overwritten on a terminal; else only milestones."""
        if sys.stderr.isatty():
            line = f"{self.name}: {text}"[:self._columns() - 1] if text else ""
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
        elif milestone:
            print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    @staticmethod
    def _columns():
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except OSError:
            return 80
