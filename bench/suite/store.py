# SPDX-License-Identifier: MIT
"""xenstore through the system's libxenstore, against a bare server that gets the same messages.

An instance for each number of nodes and of connected domains, all alive at once. A slice of the
bare server goes before and behind each, and tells whether somebody else had the machine.
"""

import os

import plot
from harness import Bench, Defaults, Slice
from processes import Holder, run, spawn, until
from report import Report, spread
from samples import divide, middle

OPERATIONS = {"read": "read", "write": "write", "txn": "transaction", "watch": "watch"}
NODES = (10, 1000, 100_000)
DOMAINS = (1, 100, 1000)
QUICK_NODES, QUICK_DOMAINS = (10, 1000), (1, 10)
DOMAINS_NODES = 1000  # nodes beside the domains
FILL_SECONDS = 300

TEXT = (
    "Operations per second through libxenstore: the bare server (one receive, one send), "
    "ringfenced, and the ratio. A transaction is start, read, write and end; a watch round trip is "
    "a write and its event. Domains are connected and idle, with a watch each, beside "
    f"{DOMAINS_NODES} nodes."
)


class Store:
    """A xenstore daemon, and storebench on it."""

    def __init__(self, bench, socket):
        self._program = bench.programs / "storebench"
        self._environment = {**os.environ, "XENSTORED_PATH": str(socket)}

    def call(self, *words, seconds=60):
        """storebench with these words; its output."""
        return run([self._program, *words], seconds, env=self._environment)

    def rate(self, operation, nodes, ms):
        """Operations per second at random nodes."""
        return float(self.call(operation, nodes, ms))


class BareServer:
    """The barest server that answers as a store does."""

    def __init__(self, bench):
        self.socket = bench.work / "echo"
        self._process = spawn([bench.programs / "storebench", "echo", self.socket])
        until(self.socket.exists, "the bare server")

    def close(self):
        """Ends it."""
        self._process.terminate()
        self._process.wait()


def start_store(bench, name, nodes, domains=0):
    """An instance with that many nodes, and idle domains."""
    instance = bench.instance(name, backend=False)
    store = Store(bench, instance.store_socket)
    bench.tell(f"{name}: making {nodes} nodes", milestone=True)
    store.call("fill", nodes, seconds=FILL_SECONDS)
    if domains:
        bench.tell(f"{name}: making {domains} domains", milestone=True)
        bench.keep(Holder([bench.programs / "storebench", "hold", domains], FILL_SECONDS,
                          instance.environment()))
    return store


def sample(bench, bare, store, operation, nodes):
    """Makes the call for a slice: the bare server, the store, the bare server."""

    def call():
        before = bare.rate(operation, nodes, bench.ms)
        rate = store.rate(operation, nodes, bench.ms)
        after = bare.rate(operation, nodes, bench.ms)
        if not bench.quiet(before, after):
            return None
        return {"operations": rate, "bare_operations": (before + after) / 2}

    return call


def table(report, samples, kind, numbers):
    """Rates for each number, and how they change with it."""
    lines = []
    for number in numbers:
        point = f"{number} {kind}"
        cells = [str(number)]
        for operation in OPERATIONS:
            ours = samples.summary(operation, point, "operations")
            bare = samples.summary(operation, point, "bare_operations")
            ratio = divide(samples.values(operation, point, "operations"),
                           samples.values(operation, point, "bare_operations"))
            report.row(f"{point}: {OPERATIONS[operation]}, to the bare server", ratio)
            cells.append(f"{spread(bare)}; {spread(ours)}; **{middle(ratio) or 0:.2f}**")
        for operation in ("read", "write"):
            first = samples.summary(operation, f"{numbers[0]} {kind}", "operations").median
            ours = samples.summary(operation, point, "operations").median
            cells.append(f"{ours / first:.2f}" if ours and first else "-")
        lines.append(cells)
    report.table(f"By {kind}: bare server; ringfenced; ratio",
                 [kind, *OPERATIONS.values(), "read, to the first line", "write"], lines)
    report.picture(kind, plot.curves(
        f"xenstore by number of {kind}", [str(number) for number in numbers],
        "operations per second",
        {name: [samples.summary(operation, f"{number} {kind}", "operations") for number in numbers]
         for operation, name in OPERATIONS.items()}))


def main(options):
    """Measures and reports."""
    with Bench("store", options, Defaults(rounds=25, ms=30)) as bench:
        all_nodes = QUICK_NODES if bench.quick else NODES
        all_domains = QUICK_DOMAINS if bench.quick else DOMAINS
        bare = Store(bench, bench.keep(BareServer(bench)).socket)
        plan = []
        for number in all_nodes:
            store = start_store(bench, f"nodes-{number}", number)
            plan += [Slice(operation, f"{number} nodes",
                           sample(bench, bare, store, operation, number))
                     for operation in OPERATIONS]
        for number in all_domains:
            store = start_store(bench, f"domains-{number}", DOMAINS_NODES, number)
            plan += [Slice(operation, f"{number} domains",
                           sample(bench, bare, store, operation, DOMAINS_NODES))
                     for operation in OPERATIONS]
        samples = bench.measure(plan)
        report = Report(bench, "xenstore", TEXT)
        table(report, samples, "nodes", all_nodes)
        table(report, samples, "domains", all_domains)
        report.write(samples)
