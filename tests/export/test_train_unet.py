"""The UNet's training as its command line has it."""

from __future__ import annotations

import shlex

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from export.embedded.train_unet import UnetTraining, command_of, parser, settings_of


@pytest.mark.parametrize("bf16", [False, True])
def test_the_command_of_a_manifest_trains_the_same_again(bf16: bool) -> None:
    """Whatever was set on the command line is in the command that the weights keep."""
    settings = UnetTraining(steps=700, seed=3, pictures=50, bf16=bf16)
    arguments = shlex.split(command_of(settings))[3:]
    assert settings_of(parser().parse_args([*arguments, "--out", "unet.pt"])) == settings
