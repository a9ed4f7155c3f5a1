"""The other side of `benchmarks.anomalib_speed`: anomalib's PatchCore, in an environment that has it.

Run by that benchmark as a script; imports nothing of Goodparts. Arguments: an .npz with `train` and `test`
[N, H, W, 3] uint8, the backbone's weights, the share of patches that the coreset keeps, the threads. Fits,
then answers each line `score N` on its standard input with the scores of all test photos, N at a time, as a
line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
import torchvision
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from safetensors.torch import load_file

LAYERS = ("features.7", "features.12")  # the ends of fire5 and fire9, strides 8 and 16
MEAN, STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
FIT_BATCH = 16


def main() -> None:
    photos_path, weights, ratio, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    photos = np.load(photos_path, allow_pickle=False)
    model = fitted(photos["train"], weights, float(ratio))
    tell({"rows": len(model.memory_bank), "dims": model.memory_bank.shape[1]})
    for line in sys.stdin:
        tell(answer(model, photos["test"], batch=int(line.split()[1])))


def fitted(train: np.ndarray, weights: str, ratio: float) -> PatchcoreModel:
    backbone = torchvision.models.squeezenet1_1(weights=None)
    backbone.load_state_dict(load_file(weights))
    model = PatchcoreModel(layers=LAYERS, backbone=backbone, pre_trained=False)
    model.train()
    with torch.no_grad():
        for batch in batches(train, FIT_BATCH):
            model(batch)
        model.subsample_embedding(ratio)
    return model.eval()


def answer(model: PatchcoreModel, test: np.ndarray, *, batch: int) -> dict[str, object]:
    wall, processor = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        scores = torch.cat([model(inputs).pred_score.reshape(-1) for inputs in batches(test, batch)])
    return {
        "scores": scores.tolist(),
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
    }


def batches(photos: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    """[size, 3, H, W] as the backbone takes them."""
    for start in range(0, len(photos), size):
        image = torch.from_numpy(photos[start : start + size]).float() / 255
        yield ((image - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def tell(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
