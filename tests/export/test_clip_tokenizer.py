"""CLIP's tokenizer for the box gives open_clip's token ids."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("open_clip")

from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer

from engines.text import prepared
from export.clip_tokenizer import CONTEXT, VOCABULARY, build_tokenizer

PHOTOS = (
    "a photo of {}", "a cropped photo of {}", "a dark photo of {}", "a photo of {} for inspection",
    "a photo of {} for viewing", "a bright photo of {}", "a close-up photo of {}", "a blurry photo of {}",
)  # fmt: skip
SIZED = ("a photo of a small {}", "a photo of a large {}")
TEMPLATES = (*PHOTOS, *(photo.replace("{}", "a {}") for photo in PHOTOS), *SIZED, "{}", "{} flower")
NAMES = (
    "gear", "bolt", "something", "some", "metal nut", "Transistor", "HAZELNUT", "pcb_v2",
    "part #4711-B/2", "M8×1.25", "±0.05 mm", "½-inch", "3/8\" drive", "1234567890", "v1.2.3", "50%",
    "100 °C", "R&D", "A&B;", "&", "<gear>", "[gear]", "{gear}", "gear\tbox", "gear\nbox", " gear  box ",
    "gear\u00a0box", "gear\u3000box", "gear\u2028box", "gear\r\nbox", "gear\x0bbox", "gear\x1fbox",
    "worker's glove", "workers' gloves", "it’s a gear", "“gear”", "‘gear’", "don't", "we'll've", "I'M",
    "'ſ", "o'clock", "''s", "d'd", "Schraube geprüft", "STRASSE", "Straße", "Ångström",
    "A\u030angstro\u0308m", "café", "cafe\u0301", "naïve", "İstanbul", "ΟΔΟΣ", "ΣΑΣ ΣΑΣ'Α Σ", "Σ.",
    "ΑΣ\u0301", "болт", "БОЛТ", "ボルト", "ﾎﾞﾙﾄ", "螺栓", "나사", "ＢＯＬＴ", "ｂｏｌｔ１", "برغي",
    "בורג", "สกรู", "पेंच", "ĳzer", "oﬃce ﬂow", "ŉ", "ǆ", "№5", "Ⅷ", "ⅷ", "①", "x²", "µm", "😀", "👍🏽",
    "👨‍👩‍👧", "🇩🇪", "☃", "→", "∅", "€5", "\ufeffgear", "ge\u00adar", "ge\u200bar", "ge\u200dar",
    "\x1b[31mgear\x1b[0m", "\x85", "\x93gear\x94", "\ud800", "\ud83d\ude00", "caf\udce9", "a\u0345b",
    "\ufffd", "\U000e0067", "&amp;", "R&amp;D", "&lt;gear&gt;", "&eacute;", "&#233;", "&#xE9;",
    "&quot;gear&quot;", "&ldquo;gear&rdquo;", "&amp;amp;", "&amp;amp;amp;lt;", "&nbsp;", "&nosuch;",
    "&copy 2026", "&hearts;", "<start_of_text>", "gear <end_of_text> box", "<END_OF_TEXT>",
    "<|endoftext|>", "", " ", "gear " * 73, "gear " * 74, "gear " * 75, "gear " * 76, "gear " * 200,
    "x" * 400, "é" * 200, "!" * 300, "1" * 80,
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen", "zero\x00byte", "\\n",
    "a" + "\u0301" * 30,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    build_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


@pytest.fixture(scope="module")
def original() -> Callable[[Sequence[str]], list[list[int]]]:
    simple = SimpleTokenizer()
    return lambda texts: simple(list(texts)).tolist()


def _differing(
    texts: Sequence[str], tokenizer: Tokenizer, original: Callable[[Sequence[str]], list[list[int]]]
) -> list[str]:
    found = [tokenizer.encode(prepared(text)).ids for text in texts]
    return [text for text, ids, wanted in zip(texts, found, original(texts), strict=True) if ids != wanted]


def test_prompts_get_the_same_ids(tokenizer: Tokenizer, original: Callable[..., list[list[int]]]) -> None:
    """Every template of the zero-shot detector with every name, usual or not, has open_clip's ids."""
    texts = [template.format(name) for template in TEMPLATES for name in NAMES]
    assert len(texts) > 2000
    assert _differing(texts, tokenizer, original) == []


def _characters(keep: Callable[[str], bool]) -> list[str]:
    assigned = (chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs"))
    return [character for character in assigned if keep(character)]


def _is_old(character: str) -> bool:
    """Marks that Unicode got lately are put into another order; see `test_where_ids_differ`."""
    return not unicodedata.combining(character) or ord(character) < 0x600


POOLS = {
    "every character": _is_old,
    "ascii": lambda character: character < "\x7f" and character != "&",
    "greek": lambda character: "\u0370" <= character <= "\u03ff" or character in " '.Σ\u0301",
    "cyrillic": lambda character: "\u0400" <= character <= "\u052f",
    "kana and full width": lambda character: (
        "\u3000" <= character <= "\u30ff" or "\uff00" <= character <= "\uffef"
    ),
    "signs": lambda character: unicodedata.category(character)[0] in "PSZ",
    "digits": lambda character: unicodedata.category(character)[0] == "N",
    "capitals": lambda character: unicodedata.category(character) in ("Lu", "Lt") and character > "\u0250",
    "marks": lambda character: "\u0300" <= character <= "\u036f" or character in "aeouAEOU Σ",
    "quotes": lambda character: character in "'’‘“”\"ʼsStTlLvVeE dm",
}


@pytest.mark.parametrize("pool", POOLS)
def test_random_texts_get_the_same_ids(
    pool: str, tokenizer: Tokenizer, original: Callable[..., list[list[int]]]
) -> None:
    """A thousand random texts of each kind of characters have open_clip's ids."""
    rng = random.Random(0)
    characters = [character for character in _characters(POOLS[pool]) if character < "\U000f0000"]
    texts = ["".join(rng.choices(characters, k=rng.randrange(40))) for _ in range(1000)]
    assert _differing(texts, tokenizer, original) == []


def test_every_letter_and_digit_gets_the_same_ids(
    tokenizer: Tokenizer, original: Callable[..., list[list[int]]]
) -> None:
    """Between two letters, each character but the ideographs and syllables has open_clip's ids."""
    characters = _characters(
        lambda character: not "\u3400" <= character <= "\ud7ff" and character < "\U00017000"
    )
    assert len(characters) > 15_000
    assert _differing([f"a{character}b" for character in characters], tokenizer, original) == []


def test_long_texts_keep_their_end(tokenizer: Tokenizer) -> None:
    """A text that is too long is cut before its end token, which stays last."""
    start, end = tokenizer.token_to_id("<start_of_text>"), tokenizer.token_to_id("<end_of_text>")
    ids = tokenizer.encode("gear " * 200).ids
    assert len(ids) == CONTEXT and ids[0] == start and ids[-1] == end and end not in ids[:-1]
    assert (start, end) == (VOCABULARY - 2, VOCABULARY - 1)


@pytest.mark.parametrize(
    "text",
    [
        "cafÃ© au lait",  # decoded with the wrong encoding, which ftfy repairs
        "P&EACUTE;REZ",  # an entity in capitals
        "<b> &ldquo;gear&rdquo;",  # with a "<" ftfy leaves entities, so no quote is made straight
        "&#147gear",  # as it leaves an entity without its semicolon
        "gear!<end_of_text>",  # a sign before a special token takes its "<"
        "\u0898a\u0301\u0898\u0334",  # `tokenizers` orders marks by an older Unicode
    ],
)
def test_where_ids_differ(text: str, tokenizer: Tokenizer, original: Callable[..., list[list[int]]]) -> None:
    """These texts are cleaned otherwise than open_clip does; docs/export.md says so."""
    assert _differing([text], tokenizer, original) == [text]


def test_the_file_alone_serves_other_programs(
    tmp_path: Path, tokenizer: Tokenizer, original: Callable[..., list[list[int]]]
) -> None:
    """Without engines.text only entities of HTML and lone surrogates are left to the caller."""
    texts = [name for name in NAMES if prepared(name) == name]
    found = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert len(texts) > 100 and found == original(texts)
