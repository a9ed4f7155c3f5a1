"""appliance/prompt_texts.py: the publication's ten prompts, word for word."""

from __future__ import annotations

import pytest

from appliance.prompt_texts import SLUGS, TEMPLATES, published_prompts

HAZELNUT = [
    ("photo", "a photo of a hazelnut", "a photo of something"),
    ("cropped", "a cropped photo of a hazelnut", "a cropped photo of something"),
    ("dark", "a dark photo of a hazelnut", "a dark photo of something"),
    ("for_inspection", "a photo of a hazelnut for inspection", "a photo of something for inspection"),
    ("for_viewing", "a photo of a hazelnut for viewing", "a photo of something for viewing"),
    ("bright", "a bright photo of a hazelnut", "a bright photo of something"),
    ("close_up", "a close-up photo of a hazelnut", "a close-up photo of something"),
    ("blurry", "a blurry photo of a hazelnut", "a blurry photo of something"),
    ("small", "a photo of a small hazelnut", "a photo of a small something"),
    ("large", "a photo of a large hazelnut", "a photo of a large something"),
]
DAISY = [
    ("photo", "a photo of a daisy flower", "a photo of some flower"),
    ("cropped", "a cropped photo of a daisy flower", "a cropped photo of some flower"),
    ("dark", "a dark photo of a daisy flower", "a dark photo of some flower"),
    ("for_inspection", "a photo of a daisy flower for inspection", "a photo of some flower for inspection"),
    ("for_viewing", "a photo of a daisy flower for viewing", "a photo of some flower for viewing"),
    ("bright", "a bright photo of a daisy flower", "a bright photo of some flower"),
    ("close_up", "a close-up photo of a daisy flower", "a close-up photo of some flower"),
    ("blurry", "a blurry photo of a daisy flower", "a blurry photo of some flower"),
    ("small", "a photo of a small daisy flower", "a photo of a small some flower"),
    ("large", "a photo of a large daisy flower", "a photo of a large some flower"),
]


@pytest.mark.parametrize(
    ("name", "noun", "expected"), [("hazelnut", None, HAZELNUT), ("daisy", "flower", DAISY)]
)
def test_texts_are_those_of_the_publication(
    name: str, noun: str | None, expected: list[tuple[str, str, str]]
) -> None:
    """Ten pairs in its order, the default choice first; with a noun the abnormal text keeps the noun."""
    found = [(prompt.slug, prompt.normal, prompt.abnormal) for prompt in published_prompts(name, noun)]
    assert found == expected


def test_a_name_is_put_in_as_it_is() -> None:
    """A part called by braces or signs of formats is no template."""
    first = next(published_prompts("{} {0} %s", None))
    assert (first.normal, first.abnormal) == ("a photo of a {} {0} %s", "a photo of something")


def test_slugs_name_ten_prompts() -> None:
    """Each once."""
    assert len(set(SLUGS)) == len(TEMPLATES) == 10
