"""The texts of zero-shot prompts: what a good part is called beside what anything else would be.

Fung, Qiu, Li, Rudolph, Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data, 2023,
arXiv 2310.10461, A.5: ten templates, each with the class's name and with "something" in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PLACE = "{}"  # where the name stands


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTexts:
    """Two texts that a photo is compared with. `slug` names the prompt in candidates' names."""

    slug: str
    normal: str
    abnormal: str

    def filled(self, *, normal: str, abnormal: str) -> PromptTexts:
        """With these words in the texts' places."""
        return PromptTexts(
            slug=self.slug,
            normal=self.normal.replace(PLACE, normal),
            abnormal=self.abnormal.replace(PLACE, abnormal),
        )


# In the order of the publication, whose default choice is the first.
TEMPLATES = (
    PromptTexts(slug="photo", normal="a photo of a {}", abnormal="a photo of {}"),
    PromptTexts(slug="cropped", normal="a cropped photo of a {}", abnormal="a cropped photo of {}"),
    PromptTexts(slug="dark", normal="a dark photo of a {}", abnormal="a dark photo of {}"),
    PromptTexts(
        slug="for_inspection",
        normal="a photo of a {} for inspection",
        abnormal="a photo of {} for inspection",
    ),
    PromptTexts(
        slug="for_viewing", normal="a photo of a {} for viewing", abnormal="a photo of {} for viewing"
    ),
    PromptTexts(slug="bright", normal="a bright photo of a {}", abnormal="a bright photo of {}"),
    PromptTexts(slug="close_up", normal="a close-up photo of a {}", abnormal="a close-up photo of {}"),
    PromptTexts(slug="blurry", normal="a blurry photo of a {}", abnormal="a blurry photo of {}"),
    PromptTexts(slug="small", normal="a photo of a small {}", abnormal="a photo of a small {}"),
    PromptTexts(slug="large", normal="a photo of a large {}", abnormal="a photo of a large {}"),
)
SLUGS = tuple(template.slug for template in TEMPLATES)


def published_prompts(part_name: str, part_noun: str | None) -> Iterator[PromptTexts]:
    """The ten for this part. With a noun: "a photo of a daisy flower" and "a photo of some flower"."""
    named = part_name if part_noun is None else f"{part_name} {part_noun}"
    unnamed = "something" if part_noun is None else f"some {part_noun}"
    for template in TEMPLATES:
        yield template.filled(normal=named, abnormal=unnamed)
