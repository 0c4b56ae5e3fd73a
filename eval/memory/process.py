"""What the kernel says of a process: its memory, and when it was started."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SLOPE_LIMIT: Final = 2.0
"""MB per 1,000 incidents: a service that runs for a year and sees 50,000 would gain 100 MB."""
_MB: Final = 1024 * 1024
_CPU_TIMES: Final = slice(11, 13)
_START_TIME: Final = 19
"""Their places in /proc/<pid>/stat, after the name in brackets (proc(5), fields 14, 15 and 22)."""


def rss_mb(pid: int) -> float | None:
    """Resident memory; None if the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGESIZE") / _MB


def cpu_s(pid: int) -> float:
    """CPU time so far, its own and the system's for it; 0 if the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[_CPU_TIMES])) / os.sysconf("SC_CLK_TCK")


def started_s(pid: int) -> float:
    """When it was started, in seconds since the machine was, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One look: how many incidents had ended, and the memory of the process."""

    ended: int
    rss_mb: float


@dataclass(frozen=True)
class Course:
    """A process's memory over a run. It is flat if the last two thirds of the incidents cost next to nothing."""

    start_mb: float
    third_mb: float
    two_thirds_mb: float
    end_mb: float
    peak_mb: float
    slope_mb_per_1000: float

    @property
    def flat(self) -> bool:
        return self.slope_mb_per_1000 < SLOPE_LIMIT


def course(samples: Sequence[Sample], incidents: int) -> Course:
    """Sum samples up; there is at least one. The slope is that of the least squares over the last two thirds."""
    late = [each for each in samples if each.ended >= incidents / 3]
    slope = 0.0
    if len({each.ended for each in late}) > 1:
        slope = 1000 * statistics.linear_regression([each.ended for each in late], [each.rss_mb for each in late]).slope
    at = [next((each for each in samples if each.ended >= incidents * part / 3), samples[-1]) for part in (1, 2)]
    return Course(
        start_mb=round(samples[0].rss_mb, 1),
        third_mb=round(at[0].rss_mb, 1),
        two_thirds_mb=round(at[1].rss_mb, 1),
        end_mb=round(samples[-1].rss_mb, 1),
        peak_mb=round(max(each.rss_mb for each in samples), 1),
        slope_mb_per_1000=round(slope, 2),
    )
