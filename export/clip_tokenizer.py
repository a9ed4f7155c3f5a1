"""CLIP's tokenizer for the `tokenizers` package, from the vocabulary that open_clip brings.

open_clip cleans a text with ftfy and `html.unescape`, lowers it, splits it by a pattern and merges byte pairs
(Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
arXiv:2103.00020v1). Everything but two of these steps is in the file that is made here: entities of HTML are
resolved by `engines.text` before the tokenizer sees the text, and text that was decoded with the wrong
encoding ("Ã©" for "é") is not repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ftfy.chardata import CONTROL_CHARS, LIGATURES, WIDTH_MAP
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

CONTEXT = 77
VOCABULARY = 49408
START, END = "<start_of_text>", "<end_of_text>"
PADDING_ID = 0  # open_clip fills up with zeros, which is also the id of "!"

# What open_clip's pattern says, of a text in lower case; only "ſ" still matches "s" without regard to case.
_WORDS = r"'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}\u0345]+"
_SPACES = r"[\t-\r\x1c-\x20\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"  # str.split's
# Python lowers a capital sigma at the end of a word to "ς", a lowering letter by letter to "σ".
_CASED, _SKIPPED = r"[\p{Cased}&&[^\p{Case_Ignorable}]]", r"\p{Case_Ignorable}*"
_FINAL_SIGMA = f"(?<={_CASED}{_SKIPPED})Σ(?!{_SKIPPED}{_CASED})"
_CONTROLS = "[" + "".join(rf"\x{{{code:x}}}" for code in CONTROL_CHARS) + "]"
_TERMINAL_ESCAPE = r"\x1b\[[\d;]*[a-zA-Z]"


def build_tokenizer() -> Tokenizer:
    """A tokenizer that gives CONTEXT ids for any text: start, the text's, end, zeros. A longer text is cut
    before its end token.
    """
    source = SimpleTokenizer()
    tokenizer = Tokenizer(_model(source))
    tokenizer.normalizer = normalizers.Sequence([*_repairs(), *_lowering()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=True) for token in (START, END)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(START, source.sot_token_id), (END, source.eot_token_id)],
    )
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(length=CONTEXT, pad_id=PADDING_ID, pad_token="!")  # noqa: S106 (no password)
    return tokenizer


def _model(source: SimpleTokenizer) -> models.BPE:
    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    assert len(source.encoder) == VOCABULARY
    return models.BPE(vocab=source.encoder, merges=merges, end_of_word_suffix="</w>")


def _repairs() -> Iterator[normalizers.Normalizer]:
    """What ftfy does to single characters, in its order."""
    yield from _replacements((chr(code), _windows_1252(code)) for code in range(0x80, 0xA0))
    yield from _replacements((chr(code), text) for code, text in LIGATURES.items())
    yield from _replacements((chr(code), text) for code, text in WIDTH_MAP.items())
    yield normalizers.Replace(Regex("[\u201c-\u201f]"), '"')
    yield normalizers.Replace(Regex("[\u02bc\u2018-\u201b]"), "'")
    yield normalizers.Replace(Regex(_TERMINAL_ESCAPE), "")
    yield normalizers.Replace(Regex(_CONTROLS), "")
    yield normalizers.NFC()


def _lowering() -> Iterator[normalizers.Normalizer]:
    yield normalizers.Replace(Regex(_SPACES), " ")
    yield normalizers.Strip()
    yield normalizers.Replace(Regex(_FINAL_SIGMA), "ς")
    yield normalizers.Lowercase()


def _replacements(pairs: Iterable[tuple[str, str]]) -> Iterator[normalizers.Normalizer]:
    return (normalizers.Replace(character, text) for character, text in pairs)


def _windows_1252(code: int) -> str:
    """What a control character of Latin-1 stands for where text came from Windows; itself where nothing."""
    return bytes([code]).decode("cp1252", errors="replace").replace("\ufffd", chr(code))
