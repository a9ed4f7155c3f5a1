"""What is judged of a threshold on new parts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.new_parts import GENERATORS, held, main


def test_anomalies_from_the_smallest_size_on_are_judged_apart() -> None:
    """Strictly above the threshold is found, the size itself is included; nothing said is nothing held."""
    scores, sizes = np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 9.0, 10.0, 12.0])
    one = held(scores, sizes, 2.0, {"found": 0.7, "smallest_px": 9.0})
    assert (one.said, one.found, one.found_from_there) == (0.7, 0.5, pytest.approx(2 / 3))
    assert held(scores, sizes, 2.0, {"found": 0.7, "smallest_px": None}).found_from_there is None
    assert held(scores, sizes, 2.0, {"found": 0.7, "smallest_px": 13.0}).found_from_there is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_seed_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Drawn, calibrated and judged: shares between 0 and 1, by generator."""
    assert main(["--photos", "20", "--seeds", "1", "--new", "12", "--anomalies", "12"]) == 0
    row = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert all(0 <= float(cell) <= 1 for cell in row[2:8])
    assert all(name in GENERATORS for name in row[8].split()[::4])
