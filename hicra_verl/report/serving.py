"""`hicra report --serve` and `--watch`: a report for a browser on this machine, written again while its runs go on."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from hicra_verl.analysis.runs import load_runs
from hicra_verl.errors import HicraError
from hicra_verl.local_server import IDLE_S, LocalHandler, LocalServer
from hicra_verl.report.build import Progress, check_place, write_report

_PIECE = re.compile(r"plotly\.js|data/[a-z]+(?:/[0-9]+){0,2}\.js")


class ServingError(HicraError):
    """A port that cannot be had."""


class _Handler(LocalHandler):
    server: _Server
    policy = "frame-ancestors 'none'"  # the rest is in the page, which must be safe without a server, too

    def do_GET(self) -> None:
        """The page, or a piece of a folder; no other file of it."""
        name = self.path.partition("?")[0].split("/", 2)[-1]
        page = self.server.output
        if not self.is_ours():
            self.answer(404, "not found")
        elif name in ("", "index.html"):
            self._file(page / "index.html" if page.is_dir() else page, "text/html")
        elif page.is_dir() and _PIECE.fullmatch(name):
            self._file(page / name, "text/javascript")
        else:
            self.answer(404, "not found")

    def _file(self, path: Path, kind: str) -> None:
        try:
            content = path.read_bytes()
        except OSError:  # of a report that is being written anew
            self.answer(404, "not found")
            return
        self.answer(200, content, kind)


class _Server(LocalServer):
    def __init__(self, output: Path, port: int) -> None:
        self.output = output
        super().__init__(_Handler, port)


@contextmanager
def serving(output: Path, port: int = 0) -> Iterator[str]:
    """Serve a report to browsers on this machine.

    Args:
        output: the page or the folder.
        port: 0 for any free one.

    Yields:
        The address, which holds a random token: no other page in the browser can read the report.

    Raises:
        ServingError: if the port cannot be had.
    """
    try:
        server = _Server(output, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServingError(f"--port {port}: {reason}", remedy="--port 0 takes any free one") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.shutdown()
        server.server_close()


State = frozenset[tuple[Path, int, int]]


def state_of(words: Sequence[str]) -> State:
    """The files of runs with their sizes and times: what changes when a run goes on."""
    files = {file for run in load_runs(words) for file in run.sources}
    return frozenset((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def present(
    words: Sequence[str],
    output: Path,
    grams: str | None,
    title: str,
    *,
    every_s: int | None = None,
    port: int | None = None,
    told: Callable[[str], None],
    progress: Progress = lambda what, done, total: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Write a report; serve it, and write it again whenever its runs have changed, until the process is interrupted.

    Args:
        words: see ``write_report``.
        output: the same.
        grams: the same.
        title: the same.
        every_s: seconds between two looks at the runs; None to write once. What has not changed is not read again.
        port: where to serve it, 0 for any free port; None not to.
        told: called with what happened, in words; also with what was wrong, if that may be right at the next look.
        progress: see ``write_report``.
        goes_on: asked before each look.

    Raises:
        HicraError: if the port cannot be had, or the report cannot be written the first time.
    """
    with ExitStack() as stack:
        check_place(output)
        address = None if port is None else stack.enter_context(serving(output, port))
        kept = None
        if every_s is not None:
            kept = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hicra_report_")))
        write = partial(write_report, words, output, grams, title, kept=kept, watch=every_s, progress=progress)
        seen = state_of(words)
        told(f"{output}: {write()}")
        if address is not None:
            told(f"open {address} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            while (every_s is not None or port is not None) and goes_on():
                time.sleep(every_s or IDLE_S)
                if every_s is not None:
                    try:
                        now = state_of(words)
                        if now != seen:
                            told(f"{output}: {write()}")
                            seen = now
                    except HicraError as error:
                        told(str(error))
