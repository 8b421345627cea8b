"""What something costs in a process of its own, as it does whoever runs it as a program."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_KIB = 1_024

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work took of time and of processors, and the most memory that one of its processes held."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def of_each(self, count: int) -> dict[str, float]:
        """The same as it is told, where so many things were done."""
        return {
            "per_second": count / self.seconds,
            "cpu_us": self.cpu_seconds / count * 1e6,
            "peak_mb": round(self.peak_mb),
        }


def cost(work: Callable[..., Result], *arguments: object) -> tuple[Result, Cost]:
    """What the work gave, and its cost.

    The process has begun and imported what it needs when the clock starts. Memory counts with what it began with.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *arguments).result()


def _measured(work: Callable[..., Result], *arguments: object) -> tuple[Result, Cost]:
    cpu, started = _cpu_seconds(), time.perf_counter()
    result = work(*arguments)
    seconds = time.perf_counter() - started
    return result, Cost(seconds, _cpu_seconds() - cpu, _peak_bytes() / 1e6)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    # Not `ru_maxrss` of the process itself: Linux begins that with what its parent held.
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * _KIB
