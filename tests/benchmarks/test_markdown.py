"""Blocks of a document are replaced alone, by whom they belong to."""

from __future__ import annotations

import pytest

from appliance.errors import UsageError
from benchmarks.markdown import between, figure, table, with_blocks

DOCUMENT = (
    "# Title\n<!-- replay: drawn regret -->\nold\n<!-- end -->\n"
    "\n<!-- replay: other -->\nkept\n<!-- end -->\n"
)


def test_only_the_named_block_changes() -> None:
    text = with_blocks(DOCUMENT, "replay", {"drawn regret": "new"})
    assert text == DOCUMENT.replace("old", "new")
    assert with_blocks(text, "replay", {"drawn regret": "new"}) == text


def test_blocks_of_another_writer_stay() -> None:
    """Names are a writer's own."""
    assert with_blocks(DOCUMENT, "ablation", {"drawn regret": "new"}) == DOCUMENT
    both = DOCUMENT + "<!-- ablation: drawn regret -->\nours\n<!-- end -->\n"
    assert with_blocks(both, "ablation", {"drawn regret": "new"}) == both.replace("ours", "new")


@pytest.mark.parametrize("after", ["", "<!-- ablation: other -->\ntext\n<!-- end -->\n"])
def test_a_block_without_an_end_is_refused(after: str) -> None:
    """It would swallow what follows, another writer's block too."""
    with pytest.raises(UsageError, match="does not end"):
        with_blocks(f"<!-- replay: drawn regret -->\ntext\n{after}", "replay", {"drawn regret": "new"})


def test_figures_have_three_digits_and_a_real_minus() -> None:
    assert [figure(value) for value in (0.9731, 1.0, -0.012)] == [".973", "1.000", "−.012"]
    assert between(-0.022, 0.029) == "−.022 to .029"


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
