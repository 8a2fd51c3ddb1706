# SPDX-License-Identifier: MIT
"""Processes and the working folder: whatever happens to us, nothing stays behind.

Every child runs in a session of its own, so that Ctrl-C reaches us alone and we end it in order;
should we be killed, the kernel tells it (PR_SET_PDEATHSIG). A working folder is locked while its
owner lives; folders that nobody locks are removed by the next run.
"""

import ctypes
import fcntl
import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "ringfence-bench."
PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_SECONDS = 10

_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """A measurement that could not be made; the text says why."""


def _in_child(parent, cpus):
    """What a child does before exec: ends when its parent does, keeps to its processors."""

    def prepare():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)

    return prepare


def spawn(words, cpus=None, **options):
    """Starts a process; the caller ends it with stop()."""
    try:
        return subprocess.Popen(
            [str(word) for word in words],
            start_new_session=True,
            preexec_fn=_in_child(os.getpid(), cpus),
            **options,
        )
    except OSError as error:
        raise BenchError(f"cannot start {words[0]}: {error.strerror}") from error


def stop(process, seconds=STOP_SECONDS):
    """Ends a process of ours, by force if it does not end by itself."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def collect(process, seconds):
    """Waits for a process started with pipes. Its standard output; BenchError if it failed."""
    name = os.path.basename(process.args[0])
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} did not end within {seconds:.0f} s") from error
    finally:
        stop(process, 1)
    if process.returncode:
        raise BenchError(f"{name}: {(err or out or 'no message').strip()}")
    return out


def start_piped(words, cpus=None, env=None):
    """Starts a process whose output is to be had from collect()."""
    return spawn(
        words,
        cpus,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(words, seconds, cpus=None, env=None):
    """Runs a program to its end; its standard output."""
    return collect(start_piped(words, cpus, env), seconds)


class Holder:
    """A process that says "ready", and then holds something until its standard input ends.

    `words`: the rest of what it said.
    """

    def __init__(self, words, seconds, env=None):
        self._process = spawn(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        said = self._process.stdout.readline().decode().split() if readable else []
        if said[:1] != ["ready"]:
            self.close()
            raise BenchError(f"{os.path.basename(words[0])} did not get ready, see its messages")
        self.words = said[1:]

    def close(self):
        """Lets go."""
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        stop(self._process)


def parse_json(text, what):
    """The JSON object in a program's output; fio writes notes before it."""
    try:
        return json.loads(text[text.index("{"):])
    except ValueError as error:
        raise BenchError(f"{what} printed no result: {text.strip()!r}") from error


def until(condition, what, seconds=30.0):
    """Waits for what another process does in a moment."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise BenchError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.01)


def _has_direct_io(folder):
    """Can files there be read past the page cache?"""
    path = folder / "probe"
    path.write_bytes(bytes(4096))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return False
    try:
        with mmap.mmap(-1, 4096) as page:  # aligned, as direct I/O wants it
            return os.preadv(fd, [page], 0) == 4096
    except OSError:
        return False
    finally:
        os.close(fd)
        path.unlink()


def _lock(folder):
    """A descriptor that holds the folder's lock, or None while another one has it."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _remove_stale(parent):
    """Removes working folders whose owners were killed."""
    for folder in parent.glob(PREFIX + "*"):
        try:
            fd = _lock(folder)
            if fd is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(fd)
        except OSError:
            continue


class WorkFolder:
    """A fresh folder on a file system with direct I/O, removed by close()."""

    def __init__(self, parents):
        for parent in parents:
            try:
                parent.mkdir(parents=True, exist_ok=True)
                _remove_stale(parent)
                self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            except OSError:
                continue
            self._fd = _lock(self.path)
            if self._fd is not None and _has_direct_io(self.path):
                return
            self.close()
        names = ", ".join(map(str, parents))
        raise BenchError(f"no folder with direct I/O (O_DIRECT) among {names}: name one in TMPDIR")

    def close(self):
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def make_image(path, size_mb, tell):
    """A new file of random bytes, on the disk and not in the page cache."""
    with open(path, "wb") as image:
        for done in range(size_mb):
            image.write(os.urandom(1 << 20))
            if done % 32 == 0:
                tell(f"making an image, {done} of {size_mb} MiB")
        image.flush()
        tell("waiting for the disk")
        os.fsync(image.fileno())
        os.posix_fadvise(image.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path
