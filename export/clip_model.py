"""Which CLIP: its open_clip configuration, and what is known of published weights of it.

Only models whose text tower reads the tokens of CLIP's own tokenizer are taken: 77 tokens, 49408 ids.
open_clip also has models with tokenizers of Hugging Face (SigLIP, XLM-R) and captioning ones (CoCa); they are
refused.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.factory import get_model_config
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from export.backbones.random_weights import seeded
from export.clip_tokenizer import CONTEXT, VOCABULARY
from export.errors import UsageError

OPENAI = "openai"
OWN = "own"  # the tag of weights that nobody published
QUICKGELU = "-quickgelu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipModel:
    """A CLIP before it has weights. `config` is open_clip's: `embed_dim`, `vision_cfg`, `text_cfg` …"""

    name: str
    tag: str
    config: Mapping[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def published_model(name: str, tag: str | None) -> ClipModel:
    """A model of open_clip's list as the weights `tag` want it; None: as OpenAI's, if there are such.

    Whether GELU is the quick one is said by the tag, or with the tag "own" by the model's name. UsageError if
    there is no such model or tag, or the model has other tokens.
    """
    name = name.replace("/", "-")  # OpenAI writes ViT-B/16
    if name not in open_clip.list_models():  # open_clip itself would look for other names in the network
        close = [known for known in open_clip.list_models() if _alike(known, name)]
        hint = f"Near it: {', '.join(close)}. " if close else ""
        raise UsageError(
            f"model {name!r}: open_clip does not know it. {hint}Give one of its "
            f"{len(open_clip.list_models())} models, or your own configuration with --model-config."
        )
    config = get_model_config(name)
    check_supported(config, name)
    if tag is None:
        tag = OPENAI if get_pretrained_cfg(name, OPENAI) else OWN
    published = _published(name, tag)
    if tag != OWN:
        config["quick_gelu"] = bool(published.get("quick_gelu", False))
    return ClipModel(
        name=name,
        tag=tag,
        config=config,
        mean=tuple(published.get("mean", OPENAI_DATASET_MEAN)),
        std=tuple(published.get("std", OPENAI_DATASET_STD)),
    )


def own_model(path: Path, name: str) -> ClipModel:
    """A model from a JSON file: open_clip's configuration, or an `open_clip_config.json` with `model_cfg` and
    `preprocess_cfg`.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--model-config {path}: not a JSON file that can be read ({error}).") from error
    if not isinstance(raw, dict):
        raise UsageError(f"--model-config {path}: holds a {type(raw).__name__}, wanted is an object.")
    config, preprocess = raw.get("model_cfg", raw), raw.get("preprocess_cfg", {})
    if not _is_config(config) or not isinstance(preprocess, dict):
        raise UsageError(
            f"--model-config {path}: wanted are embed_dim and the objects vision_cfg and text_cfg, as in "
            f"open_clip's model_configs, found {sorted(config) if isinstance(config, dict) else config!r}."
        )
    check_supported(config, str(path))
    return ClipModel(
        name=name,
        tag=OWN,
        config=config,
        mean=_triple(preprocess.get("mean", OPENAI_DATASET_MEAN), path, "mean"),
        std=_triple(preprocess.get("std", OPENAI_DATASET_STD), path, "std"),
    )


def check_supported(config: Mapping[str, Any], name: str) -> None:
    """UsageError for a model whose texts CLIP's tokenizer does not serve."""
    text = config["text_cfg"]
    reasons = [
        ("multimodal_cfg" in config, "it writes captions (CoCa)"),
        (text.get("hf_model_name"), f"its text tower is {text.get('hf_model_name')} of Hugging Face"),
        (text.get("hf_tokenizer_name"), f"its tokenizer is {text.get('hf_tokenizer_name')} of Hugging Face"),
        ("siglip" in name.lower(), "SigLIP has a tokenizer of its own"),
        (text.get("tokenizer_kwargs"), f"its tokenizer has options {text.get('tokenizer_kwargs')}"),
        (text.get("context_length", CONTEXT) != CONTEXT, f"context_length {text.get('context_length')}"),
        (text.get("vocab_size", VOCABULARY) != VOCABULARY, f"vocab_size {text.get('vocab_size')}"),
    ]
    found = [reason for applies, reason in reasons if applies]
    if found:
        raise UsageError(
            f"model {name}: {'; '.join(found)}. Text engines are made of models with CLIP's own tokenizer, "
            f"{CONTEXT} tokens and {VOCABULARY} ids (ViT-B-16, ViT-L-14, RN50 …). For its image tower alone "
            "use goodparts-export encoder."
        )


def build_clip(config: Mapping[str, Any], name: str, *, seed: int) -> nn.Module:
    """The model as it is initialised for training, in eval mode. UsageError if open_clip cannot build it."""
    options = copy.deepcopy(dict(config))
    custom = options.pop("custom_text", False)
    options["vision_cfg"] = {**options["vision_cfg"], "timm_model_pretrained": False}  # never downloads
    try:
        with seeded(seed):
            model: nn.Module = (CustomTextCLIP if custom else CLIP)(**options)
    except (TypeError, ValueError, AssertionError, RuntimeError, ZeroDivisionError, KeyError) as error:
        raise UsageError(
            f"model {name}: open_clip cannot build it: {error}. Correct its settings."
        ) from error
    return model.eval()


def _published(name: str, tag: str) -> Mapping[str, Any]:
    if tag == OWN:
        return {}
    found: Mapping[str, Any] = get_pretrained_cfg(name, tag)
    if not found:
        base = name.removesuffix(QUICKGELU)
        tags = sorted({*list_pretrained_tags_by_model(name), *list_pretrained_tags_by_model(base)})
        raise UsageError(
            f"--pretrained {tag}: open_clip knows no such weights of {name}, but "
            f"{', '.join(tags) or 'none'}. For weights of your own say --pretrained {OWN}."
        )
    return found


def _triple(value: Any, path: Path, key: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--model-config {path}: {key} is {value!r}, wanted are three numbers.") from error
    return first, second, third


def _is_config(config: Any) -> bool:
    return (
        isinstance(config, dict)
        and isinstance(config.get("vision_cfg"), dict)
        and isinstance(config.get("text_cfg"), dict)
        and "embed_dim" in config
    )


def _alike(known: str, name: str) -> bool:
    return known.lower().replace("-", "").startswith(name.lower().replace("-", "").replace("_", "")[:6])
