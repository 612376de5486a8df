"""Worker processes for algebra, with a time limit that holds.

Some answers send a computer algebra system into an endless loop inside C code, or into all of the memory. A signal
cannot stop the one and an exception does not survive the other; ending the process stops both. The pool is pebble's.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
from concurrent.futures import BrokenExecutor, Future, TimeoutError
from contextlib import AbstractContextManager

from hicra_verl.errors import HicraError
from hicra_verl.grading import algebra

DEFAULT_LIMIT_S = 5.0  # ours
MOST_WORKERS = 256  # ours


class GradingError(HicraError):
    """Nothing can be graded here, whatever the answer; the message says why."""


class GradingPool(AbstractContextManager["GradingPool"]):
    """Compares answers in worker processes; safe to share between threads.

    Args:
        workers: processes.
        limit_s: seconds one comparison may take before its process is ended and replaced.

    Raises:
        GradingError: if math-verify or pebble is not installed.
    """

    def __init__(self, workers: int = 1, limit_s: float = DEFAULT_LIMIT_S) -> None:
        for name in ("math_verify", "pebble"):
            if importlib.util.find_spec(name) is None:
                raise GradingError(f'{name} is not installed, and grading needs it: pip install "hicra-verl[recipes]"')
        from pebble import ProcessPool

        self.limit_s = limit_s
        # A new interpreter, not a fork: the caller may be a Ray worker or hold an accelerator.
        self._pool = ProcessPool(
            max_workers=workers, initializer=algebra.prepare, context=multiprocessing.get_context("spawn")
        )

    def submit(self, given: str, expected: str) -> Future[str]:
        """Start a comparison; ask ``outcome`` for what came of it."""
        future: Future[str] = self._pool.schedule(algebra.compare, args=[given, expected], timeout=self.limit_s)
        return future

    @staticmethod
    def outcome(future: Future[str]) -> str:
        """``equivalent``, ``different``, ``unparsed``, ``timed_out``, or ``failed`` (an error, or the process died).

        Raises:
            GradingError: if no worker can start; otherwise every answer would count as wrong.
        """
        from pebble import ProcessExpired

        try:
            return future.result()
        except TimeoutError:
            return "timed_out"
        except BrokenExecutor as error:
            raise GradingError(
                "no grading process can start; what it wrote to stderr above says why (a script that grades needs "
                '`if __name__ == "__main__":`)'
            ) from error
        except (Exception, ProcessExpired):  # whatever the algebra raised concerns this answer alone
            return "failed"

    def close(self) -> None:
        """End the workers; comparisons still waiting are dropped."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def __exit__(self, *_: object) -> None:
        self.close()


_shared: tuple[int, GradingPool] | None = None


def shared_pool() -> GradingPool:
    """This process's pool, made on first use (and anew after a fork). ``HICRA_GRADING_WORKERS`` sets its size, 1.

    Raises:
        GradingError: if that is no number of processes; a pool of none would wait for ever.
    """
    global _shared
    if _shared is None or _shared[0] != os.getpid():
        asked = os.environ.get("HICRA_GRADING_WORKERS") or "1"
        workers = int(asked) if re.fullmatch("[0-9]{1,4}", asked) else 0
        if not 1 <= workers <= MOST_WORKERS:
            remedy = f"give a whole number from 1 to {MOST_WORKERS}, or leave it out"
            raise GradingError(f"HICRA_GRADING_WORKERS={asked}: no number of processes", remedy=remedy)
        _shared = (os.getpid(), GradingPool(workers))
    return _shared[1]
