# SPDX-License-Identifier: MIT
"""An instance of Ringfence for a benchmark alone: hypervisor, back end, disks, loads on them."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from contextlib import contextmanager, suppress

from processes import BenchError, collect, parse_json, run, spawn, start_piped, stop, until

CALL_SECONDS = 30
START_SECONDS = 20
PACKET_BYTES = 65536

_libc = ctypes.CDLL(None, use_errno=True)


def cpu_seconds(pid):
    """Processor time that all threads of a process used so far (clock_getcpuclockid(3))."""
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise BenchError(f"process {pid} is gone")
    return time.clock_gettime(clock.value)


def memory_bytes(pid):
    """Proportional share of the memory that a process has mapped: shared pages count in part."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise BenchError(f"/proc/{pid}/smaps_rollup has no Pss")


def _options(values):
    """Command line options: {"start_at": 5, "copy": True} is --start-at=5 --copy."""
    words = []
    for name, value in values.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return words


class Instance:
    """ringfenced and blkback with options of its own; close() ends them.

    Several may be alive at once. A back end that polls takes a processor also when it has nothing
    to do, so all but the one that is being measured are to be paused.
    """

    def __init__(self, bench, name, hypervisor_options=(), cpus=None, **options):
        self.name = name
        self._bench = bench
        self._cpus = cpus
        self._folder = bench.work / name
        self._folder.mkdir(mode=0o700)
        self._folder_fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._log = bench.work / f"{name}.log"
        with open(self._log, "wb") as log:
            self._hypervisor = spawn(
                [bench.bin / "ringfenced", *hypervisor_options],
                cpus,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.backend_pid = None
        try:
            until(self._is_ready, f"the hypervisor of {name}", START_SECONDS)
            if options.pop("backend", True):
                self._start_backend(options)
        except BenchError:
            self.close()
            raise

    def environment(self):
        """For programs that are to find this instance."""
        return {**os.environ, "RINGFENCE_RUN": str(self._folder)}

    @property
    def hypervisor_pid(self):
        """Process number of ringfenced."""
        return self._hypervisor.pid

    @property
    def store_socket(self):
        """Domain 0's xenstore socket."""
        return self._folder / "xenstored" / "socket"

    # ---- the control socket (docs/protocol/control.md) ----

    def _connect(self):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(CALL_SECONDS)
        try:
            # Through the folder's descriptor: its path may be longer than a socket's may be.
            control.connect(f"/proc/self/fd/{self._folder_fd}/control")
        except OSError:
            control.close()
            raise
        return control

    def _is_ready(self):
        if self._hypervisor.poll() is not None:
            raise BenchError(f"ringfenced ended:\n{self.log_tail()}")
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def control(self, verb, **arguments):
        """One request to the hypervisor; the text of its reply."""
        words = [verb]
        for key, value in arguments.items():
            many = value if isinstance(value, list) else [value]
            words += [f"{key}={one}" for one in many]
        text, more = "", 1
        with self._connect() as control:
            control.send(b"".join(word.encode() + b"\0" for word in words))
            while more:
                packet = control.recv(PACKET_BYTES)
                if len(packet) < 8:
                    raise BenchError(f"{verb}: the hypervisor hung up\n{self.log_tail()}")
                status, more = struct.unpack("=iI", packet[:8])
                text += packet[8:].decode()
        if status:
            raise BenchError(f"{verb}: {text.strip()}\n{self.log_tail()}")
        return text

    def _start_backend(self, options):
        program = self._bench.bin / "blkback"
        self.control("driver-start", name="blkback", program=program, arg=_options(options))
        self.define("null", "null:1G")
        for line in self.control("domain-list").splitlines():
            fields = dict(field.split("=", 1) for field in line.split())
            if fields["name"] == "blkback":
                self.backend_pid = int(fields["pid"])

    def define(self, disk, target, **share):
        """A disk that loads may name; read-only, so instances can share an image.

        `share`: its weight and limits (docs/protocol/control.md).
        """
        self.control("disk-define", name=disk, target=target, backend="blkback", **share)

    def log_tail(self):
        """The end of the instance's log, for error messages."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])

    # ---- turns ----

    def pin_backend(self, cpus):
        """Binds all threads of the back end to these processors."""
        for thread in os.listdir(f"/proc/{self.backend_pid}/task"):
            os.sched_setaffinity(int(thread), cpus)

    def _signal_backend(self, number):
        try:
            os.kill(self.backend_pid, number)
        except ProcessLookupError as error:
            raise BenchError(f"blkback of {self.name} ended:\n{self.log_tail()}") from error

    def pause(self):
        """Stops the back end until it is its turn."""
        self._signal_backend(signal.SIGSTOP)

    @contextmanager
    def turn(self):
        """The back end runs, and is paused again afterwards."""
        self._signal_backend(signal.SIGCONT)
        try:
            yield self
        finally:
            self.pause()

    # ---- loads ----

    def start_load(self, **options):
        """Starts blkbench with these options (instance.turn() must be on); see finish_load."""
        defaults = {"ms": self._bench.ms, "warmup": self._bench.warmup_ms,
                    "backend": self.backend_pid}
        words = [self._bench.programs / "blkbench", *_options({**defaults, **options})]
        return start_piped(words, self._cpus, self.environment())

    def finish_load(self, process):
        """What blkbench measured."""
        seconds = CALL_SECONDS + 2 * (self._bench.ms + self._bench.warmup_ms) / 1000
        return parse_json(collect(process, seconds), "blkbench")

    def load(self, **options):
        """One load alone."""
        with self.turn():
            return self.finish_load(self.start_load(**options))

    def load_together(self, loads):
        """Several loads, given by their options, that begin and end at the same time."""
        with self.turn():
            start = time.monotonic_ns() + 500_000_000 + 100_000_000 * len(loads)
            processes = [self.start_load(start_at=start, **options) for options in loads]
            try:
                return [self.finish_load(process) for process in processes]
            finally:
                for process in processes:
                    stop(process, 1)

    def run(self, words, seconds=CALL_SECONDS):
        """Another program on this instance; its standard output."""
        return run(words, seconds, self._cpus, self.environment())

    def close(self):
        """Ends the instance; a paused back end is resumed, so that it can end in order."""
        if self._hypervisor.poll() is None and self.backend_pid:
            with suppress(BenchError):
                self._signal_backend(signal.SIGCONT)
        stop(self._hypervisor)
        os.close(self._folder_fd)
