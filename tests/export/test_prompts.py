"""From an exported CLIP to verdicts on the box: prompts compete, and a run scores without their texts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from appliance.decode import decode  # noqa: E402
from appliance.pictures import resize  # noqa: E402
from appliance.prompt_texts import SLUGS  # noqa: E402
from export.clip import load_clip  # noqa: E402
from export.clip_model import own_model  # noqa: E402
from tests.export.tiny_clip import export_clip, write_config  # noqa: E402
from tests.small_runs import (  # noqa: E402
    ALL_EMBEDDED,
    LIGHT,
    ROOT,
    Run,
    calibrate,
    csv_rows,
    finish,
    start,
    write_settings,
)

SCHEMA = json.loads((ROOT / "appliance" / "result.schema.json").read_text(encoding="utf-8"))
NAME = "clip-tiny"
OWN = {"name": "scratched", "normal": "a photo of a flawless {}", "abnormal": "a photo of a scratched {}"}
NAMES = {f"{NAME}/prompt_{slug}" for slug in (*SLUGS, "scratched")}
SIDE = 32  # pixels of a picture that the tiny CLIP sees
# Neither the package for texts nor any of the export's is there.
_BOX = """
import sys
for name in ("tokenizers", "torch", "open_clip", "export"):
    sys.modules[name] = None
from appliance.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def run(good_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("prompts")
    engines = {"device": "cpu", "threads": 1, "folders": [str(export_clip(folder))]}
    detectors = {"prompts": [OWN], "exclude": [*ALL_EMBEDDED, "*/patches*", "*/cells*", "ensemble"]}
    settings = write_settings(
        folder / "clip.yaml", LIGHT, engines=engines, detectors=detectors, part_name="hazelnut"
    )
    return calibrate(good_photos, folder / "run", settings)


@pytest.fixture(scope="module")
def scored(run: Run) -> list[dict[str, str]]:
    """`goodparts score --all` of every good photo, on a box that has only the image engine left."""
    shutil.rmtree(run.folder.parent / "out" / "text")
    arguments = ["score", "--result", run.folder, "--all", "--format", "csv", "--images", run.images]
    said = finish(start(*arguments, command=(sys.executable, "-c", _BOX)))
    assert said.code == 0, said.err
    return csv_rows(said)


def test_eleven_prompts_compete(run: Run) -> None:
    """The ten and the own one, with their texts, beside the same encoder's pooled candidate."""
    result = run.result
    jsonschema.validate(result, SCHEMA)
    rows: dict[str, Any] = {row["name"]: row for row in result["candidates"]}
    assert rows.keys() == NAMES | {f"{NAME}/pooled", "gabor/pooled"}
    assert [row["error"] for row in rows.values()] == [None] * len(rows)
    assert rows[f"{NAME}/prompt_for_inspection"]["texts"] == {
        "normal": "a photo of a hazelnut for inspection",
        "abnormal": "a photo of something for inspection",
    }
    assert rows[f"{NAME}/prompt_scratched"]["texts"]["abnormal"] == "a photo of a scratched hazelnut"
    assert {row["kind"] for row in result["software"]["engines"]} == {"unet", "encoder", "text"}
    assert result["warnings"] == []


def test_a_run_scores_on_a_box_without_tokenizers(run: Run, scored: list[dict[str, str]]) -> None:
    """Every candidate of every photo."""
    assert len(scored) == 16 * len(run.result["candidates"])
    assert {row["detector"] for row in scored} == {row["name"] for row in run.result["candidates"]}
    assert [row["error"] for row in scored] == [""] * len(scored)


@pytest.mark.parametrize(
    ("slug", "texts"),
    [
        ("photo", ("a photo of a hazelnut", "a photo of something")),
        ("small", ("a photo of a small hazelnut", "a photo of a small something")),
        ("scratched", ("a photo of a flawless hazelnut", "a photo of a scratched hazelnut")),
    ],
)
def test_scores_are_those_of_open_clip(
    run: Run, scored: list[dict[str, str]], tmp_path: Path, slug: str, texts: tuple[str, str]
) -> None:
    """From the photo's file and the words to the score, the box gives what PyTorch and open_clip give."""
    from open_clip.tokenizer import SimpleTokenizer

    model = own_model(write_config(tmp_path), "tiny")
    network = load_clip(model, checkpoint=None, seed=1).network
    found = {row["path"]: float(row["score"]) for row in scored if row["detector"] == f"{NAME}/prompt_{slug}"}
    pictures = np.stack([resize(decode(Path(path).read_bytes()), SIDE, SIDE) for path in found]) / 255.0
    pixels = (pictures - np.array(model.mean)) / np.array(model.std)
    with torch.no_grad():
        images = network.encode_image(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float())
        normal, abnormal = network.encode_text(SimpleTokenizer()(list(texts)))
    cosine = torch.nn.functional.cosine_similarity
    expected = cosine(images, abnormal[None]) - cosine(images, normal[None])
    # The embeddings agree to 1e-5 of their size; scores are differences of two cosines near each other.
    np.testing.assert_allclose(list(found.values()), expected.numpy(), atol=1e-5)
    assert np.ptp(list(found.values())) > 1e-3  # photos differ by far more than that
