"""The memory intake needs does not grow with the file: a process of its own reads a small and a twelve times larger one."""

from pathlib import Path

from tests.bench.bench_intake import flat, peak_mb, write

SMALL, LARGE = 5_000, 60_000
GROWTH_MB_MAX = 4.0


def test_a_file_twelve_times_as_large_is_read_in_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for records in (SMALL, LARGE):
        path = tmp_path / f"{records}.bson"
        write(path, flat, records)
        peaks.append(peak_mb(path))
    assert (tmp_path / f"{LARGE}.bson").stat().st_size > 25_000_000, "large enough to be seen if it were kept"
    assert peaks[1] - peaks[0] <= GROWTH_MB_MAX
