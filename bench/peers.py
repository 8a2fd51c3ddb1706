# SPDX-License-Identifier: MIT
"""What Ringfence is compared with: fio on the image itself, and qemu-storage-daemon over NBD."""

import os
import subprocess

from processes import BenchError, parse_json, run, spawn, stop, until

SOCKET_PATH_MAX = 107  # sun_path of unix(7), with its NUL
NULL_BYTES = 1 << 30


def fio(bench, ms=None, warmup_ms=None, **job):
    """A job of fio; its options as keywords. Requests per second, processor time of each.

    Without time stamps of single requests, since our load takes none either.
    """
    ms = ms or bench.ms
    warmup_ms = bench.warmup_ms if warmup_ms is None else warmup_ms
    words = ["fio", "--name=peer", "--output-format=json", "--time_based", "--norandommap",
             "--randrepeat=0", "--group_reporting", "--gtod_reduce=1",
             f"--runtime={ms}ms", f"--ramp_time={warmup_ms}ms"]
    for name, value in job.items():
        words.append(f"--{name}" if value is True else f"--{name}={value}")
    seconds = 30 + 2 * (ms + warmup_ms) / 1000
    result = parse_json(run(words, seconds), "fio")
    measured = result["jobs"][0]
    rate = measured["read"]["iops"]
    if not rate:
        raise BenchError("fio read nothing: " + " ".join(words))
    cpu_percent = measured["usr_cpu"] + measured["sys_cpu"]
    return {"rate": rate, "cpu_ns": cpu_percent / 100 * 1e9 / rate}


def fio_image(bench, image, **job):
    """fio on an image past the page cache."""
    return fio(bench, filename=str(image).replace(":", "\\:"), direct=1, **job)


class StorageDaemon:
    """qemu-storage-daemon that exports an image (or null, without one) over NBD."""

    def __init__(self, bench, name, image=None):
        self._socket = bench.work / f"{name}.nbd"
        if len(os.fsencode(self._socket)) >= SOCKET_PATH_MAX:
            raise BenchError(f"{self._socket} is too long for a socket: name a folder in TMPDIR")
        if image:
            node = f"driver=file,filename={image},cache.direct=on,aio=io_uring,read-only=on"
        else:
            node = f"driver=null-co,size={NULL_BYTES},read-zeroes=off"
        self._log = bench.work / f"{name}.qemu.log"
        with open(self._log, "wb") as log:
            self._process = spawn(
                ["qemu-storage-daemon", "--blockdev", node + ",node-name=disk",
                 "--nbd-server", f"addr.type=unix,addr.path={self._socket}",
                 "--export", "type=nbd,id=export,node-name=disk,name=disk,writable=off"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(self._is_ready, "qemu-storage-daemon")
        except BenchError:
            self.close()
            raise

    def _is_ready(self):
        if self._process.poll() is not None:
            raise BenchError("qemu-storage-daemon: " + self._log.read_text(errors="replace"))
        return self._socket.exists()

    def fio(self, bench, **job):
        """A job of fio on the export."""
        uri = f"nbd+unix:///disk?socket={self._socket}"
        return fio(bench, ioengine="nbd", uri=uri, thread=True, **job)

    def close(self):
        """Ends the daemon."""
        stop(self._process)
