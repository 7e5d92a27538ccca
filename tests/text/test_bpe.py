"""Our tokenizer against the tokenizers library, on SmolLM2's own vocabulary."""

from __future__ import annotations

import random
import time
import unicodedata

import gguf
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from aieng.models.weights import ensure
from aieng.text.bpe import BPETokenizer, smollm_pieces

TEXTS = [
    "", " ", "\n", "  \n\n ", "a", " a", "a ", "Hello world", "Hello, world!  How's it going?",
    "it's we'll I'd they've you're I'm can't 'tis", "IT'S WE'LL", "''' '' '", "12", "1234567890", "3.14159", " 42", "  42", "x2y3",
    "1 2  3", "10:45pm", "²³¼Ⅷ①", "一二三 四", "٣٤٥", "१२३", "Crème brûlée, naïve façade", "Cre\u0300me", "你好，世界", "こんにちは世界",
    "안녕하세요", "Ωμέγα", "Привет, мир", "مرحبا بالعالم", "שלום", "ﬁ ﬂ", "🙂", "👩‍👩‍👧‍👦 family", "🇫🇷🇩🇪", "a🙂b", " 🙂 ",
    "\u200b\u200d\ufeff", "\u00a0nbsp\u00a0", "\u2003em space", "tab\tseparated\tvalues", "\r\n\r\n", "line1\nline2\n\nline3",
    "trailing   ", "   leading", "a\x00b", "\x1c\x1d\x1e\x1f", "\x7f\x85", "_under_score_", "snake_case_42", "__init__", "a_b",
    "def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < 10; ++i) { a[i] += b[i]; }", '{"key": [1, 2.5, null, true]}',
    "<html><body>&nbsp;</body>", "https://example.org/path?q=1&r=2#frag", "user@example.com", "C:\\Windows\\System32", "$12.50 + 7% = ?",
    "a--b—c–d…", "“quotes” ‘single’", "!!!???...", "antidisestablishmentarianism" * 3, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ab" * 40,
    "\U00010348\U0001d11e\U0010ffff", "ﷺ", "ａｂｃ１２３", "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|",
    "<|endoftext|><|endoftext|>", "<repo_name><reponame>", "x<|im_end|>y", "<|im_end|> <|im_end|>",
]


@pytest.fixture(scope="module")
def fields():
    [path] = ensure("smollm2", progress=False).values()
    reader = gguf.GGUFReader(path)
    return {name: reader.get_field(f"tokenizer.ggml.{name}").contents() for name in ("tokens", "merges", "token_type")}


@pytest.fixture(scope="module")
def theirs(fields):
    merges = [tuple(merge.split(" ")) for merge in fields["merges"]]
    tokenizer = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(fields["tokens"])}, merges))
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence([digits, level]), decoders.ByteLevel()
    special = [token for token, kind in zip(fields["tokens"], fields["token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


@pytest.fixture(scope="module")
def ours(lm):
    return lm.tokenizer


def random_texts(n):
    """Strings of characters from all over Unicode, common ones more often."""
    draw = random.Random(0)
    common = "etaoin shrdlu  ETAOIN\n\t.,;:'\"()[]{}0123456789_-+=*/\\<|>|im_end éüß"
    rare = [chr(c) for c in range(0x20, 0x2FFFF) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
    return ["".join(draw.choice(common if draw.random() < 0.8 else rare) for _ in range(draw.randint(1, 60))) for _ in range(n)]


def test_ids_equal_the_tokenizers_library(ours, theirs):
    texts = [*TEXTS, *random_texts(400)]
    assert len(texts) > 200
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids, text


@settings(deadline=None, max_examples=150)
@given(text=st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=50))
def test_any_text(ours, theirs, text):
    # Newer Unicode than Python's is left out ("Cn"): the two libraries need not know the same new letters.
    assert ours.encode(text) == theirs.encode(text).ids


def test_decoding_gives_the_text_back_and_equals_theirs(ours, theirs):
    lost = {byte for byte in range(256) if bytes([byte]) not in ours.vocabulary}
    assert len(lost) == 21
    for text in [*TEXTS, *random_texts(100)]:
        ids = ours.encode(text)
        if not lost & set(text.encode()):
            assert ours.decode(ids) == text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        assert ours.decode(ids, skip_special=True) == theirs.decode(ids, skip_special_tokens=True)
    assert ours.decode(ours.encode("🙂")[:1]) == "\ufffd"


def test_special_tokens_in_what_a_user_typed(ours):
    assert ours.encode("x<|im_end|>y")[1] == 2
    plain = ours.encode("x<|im_end|>y", parse_special=False)
    assert 2 not in plain and ours.decode(plain) == "x<|im_end|>y"


def test_streaming_holds_incomplete_characters_back(ours):
    text = "a🙂 é你 b"
    step = ours.stream()
    bits = [step(i) for i in ours.encode(text)]
    assert "".join(bits) == text and "\ufffd" not in "".join(bits)
    assert "" in bits  # the smiley has more than one token


def test_digits_are_single_pieces_and_pieces_make_the_text():
    assert list(smollm_pieces("I'm 25  years")) == ["I", "'m", " ", "2", "5", " ", " years"]
    for text in TEXTS:
        assert "".join(smollm_pieces(text)) == text


def test_merges_go_by_rank_and_from_the_left():
    vocabulary = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"bc": 257, b"aa": 258}
    tokenizer = BPETokenizer(vocabulary, [(b"b", b"c"), (b"a", b"b"), (b"a", b"a")])
    assert tokenizer.encode("abc") == [97, 257]  # b c was merged first in training
    assert tokenizer.encode("aaa") == [258, 97]
    assert tokenizer.tokens("abc") == ["a", "bc"] and tokenizer.vocab_size == 259


def test_a_byte_without_a_token():
    vocabulary = {b"a": 0, b"b": 1}
    assert BPETokenizer(vocabulary, []).encode("acb") == [0, 1]
    assert BPETokenizer(vocabulary, [], {"<unk>": 2}, unknown_id=2).encode("acb") == [0, 2, 1]


def test_a_long_text_without_spaces_takes_no_quadratic_time(ours):
    started = time.process_time()
    ours.encode("x" * 20_000)
    short = time.process_time() - started
    started = time.process_time()
    ours.encode("x" * 160_000)
    assert time.process_time() - started < 30 * max(short, 0.01)  # eight times the text; quadratic would be 64


def test_errors(ours):
    with pytest.raises(TypeError, match="text is bytes"):
        ours.encode(b"abc")
    with pytest.raises(ValueError, match="half a surrogate pair"):
        ours.encode("a\ud800b")
    with pytest.raises(ValueError, match="token id 49152 is outside the vocabulary, 0 … 49151"):
        ours.decode([49152])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        ours.decode([-1])
    with pytest.raises(ValueError, match="not in the vocabulary"):
        BPETokenizer({b"a": 0}, [(b"a", b"a")])
    with pytest.raises(ValueError, match="ids must be unique"):
        BPETokenizer({b"a": 0}, [], {"<s>": 0})
