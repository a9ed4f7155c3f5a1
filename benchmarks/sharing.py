"""What sharing an encoder's pass among its candidates saves: the ratio of the two ways, in one run.

python -m benchmarks.sharing [--pictures N]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from appliance import seeds
from appliance.demo import draw_part
from appliance.detectors import installed
from appliance.pictures import Pictures
from appliance.threads import use_threads
from benchmarks.machine import machine
from engines.packs import load_installed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=32, help="pictures to score (%(default)s)")
    count = parser.parse_args().pictures
    encoders = load_installed([], device="auto", threads=use_threads(0)).encoders
    detectors = installed(encoders).detectors
    photos = [draw_part(seeds.stream(0, "bench", i)) for i in range(count)]
    fitted = [detector.fit(Pictures(photos, aspect=1.0), seed=0) for detector in detectors]

    def embed() -> None:
        pictures = Pictures(photos, aspect=1.0)
        for encoder in encoders:
            pictures.outputs(encoder)

    def shared() -> None:
        pictures = Pictures(photos, aspect=1.0)
        for detector in fitted:
            detector.score(pictures)

    def apart() -> None:
        for detector in fitted:
            detector.score(Pictures(photos, aspect=1.0))

    bare, together, alone = (_seconds(work) for work in (embed, shared, apart))
    print(f"{' '.join(sys.argv)}\n{machine()}\n")
    print(f"{len(detectors)} candidates of {len(encoders)} encoders, {count} pictures of 256 x 256")
    print(f"bare embedding, once per encoder      {1000 * bare / count:7.1f} ms a picture")
    print(f"all candidates sharing it             {together / bare:7.2f} times that")
    print(f"every candidate embedding for itself  {alone / bare:7.2f} times that")
    return 0


def _seconds(work: Callable[[], None]) -> float:
    """The fastest of three: what disturbs a measurement makes it slower only."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
