"""Where synthetic anomalies lie between good photos and real anomalies, in an encoder's eyes.

For the picture of the paper's Figure 6: the closest out-class, tasks that are told without a fault left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.auroc import auroc
from appliance.decode import decode
from appliance.photo_files import PhotoFile
from appliance.pictures import Pictures
from appliance.replay.task import Task
from appliance.replay.unit import Neighbourhood, Unit
from appliance.report.pictures import saved_anomalies
from engines.encoder import Encoder

Floats = npt.NDArray[np.float32]


def neighbourhood_of(
    unit: Unit,
    task: Task,
    encoders: Sequence[Encoder],
    judged: Pictures,
    places: Mapping[Path, int],
    folder: Path,
) -> Neighbourhood | None:
    """In the eyes of the encoder whose pooled candidate ranks best; `folder` holds the saved anomalies.

    None where no encoder has one, or where it tells the closest out-class without a fault.
    """
    pooled = {f"{encoder.name}/pooled": encoder for encoder in encoders}
    ranked = sorted((row for row in unit.candidates if row.name in pooled), key=lambda row: row.rank)
    if not ranked:
        return None
    name = ranked[0].name
    row, encoder = unit.names.index(name), pooled[name]
    told = {out: auroc(scores[row], unit.good[row]) for out, scores in unit.anomalous.items()}
    closest = min(told, key=lambda out: (told[out], out))
    if told[closest] == 1:
        return None

    def seen(files: Sequence[PhotoFile]) -> Floats:
        return _embeddings(judged, encoder, [places[file.path] for file in files])

    return Neighbourhood(
        encoder=encoder.name,
        out_class=closest,
        auroc=told[closest],
        normal=seen(task.good),
        real=seen(task.anomalous[closest]),
        synthetic=_synthetic(folder, encoder, judged.aspect),
    )


def _synthetic(folder: Path, encoder: Encoder, aspect: float) -> dict[str, Floats]:
    saved = saved_anomalies(folder)
    pictures = Pictures([decode((folder / one.file).read_bytes()) for one in saved], aspect=aspect)
    rows = {
        name: [row for row, one in enumerate(saved) if one.generator == name]
        for name in dict.fromkeys(one.generator for one in saved)
    }
    return {name: _embeddings(pictures, encoder, mine) for name, mine in rows.items()}


def _embeddings(pictures: Pictures, encoder: Encoder, rows: Sequence[int]) -> Floats:
    return np.stack([pictures.encoded(encoder, row)["embedding"] for row in rows])
