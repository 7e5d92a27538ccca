"""2.1 measured: what merges buy, whether the learner's tokenizer is SmolLM2's, and what text costs how many tokens."""

from __future__ import annotations

import time
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from aieng.data.corpus import load_corpus
from aieng.figures.language import bars, curves
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.text.bpe import BPETokenizer, smollm_pieces
from aieng.text.bpe_training import vocabulary_of

# The same sentence in several languages, and what is no sentence at all. Our own translations.
SAMPLES = {
    "English": "The old library opens at nine and closes when the last reader has gone home.",
    "German": "Die alte Bibliothek öffnet um neun und schließt, wenn der letzte Leser nach Hause gegangen ist.",
    "French": "La vieille bibliothèque ouvre à neuf heures et ferme quand le dernier lecteur est rentré chez lui.",
    "Finnish": "Vanha kirjasto avataan yhdeksältä ja suljetaan, kun viimeinen lukija on lähtenyt kotiin.",
    "Greek": "Η παλιά βιβλιοθήκη ανοίγει στις εννέα και κλείνει όταν φύγει ο τελευταίος αναγνώστης.",
    "Japanese": "古い図書館は九時に開き、最後の読者が家に帰ると閉まります。",
    "Python": "def mean(values):\n    return sum(values) / len(values) if values else 0.0",
    "numbers": "3.14159 2.71828 1.41421 1.61803 299792458 6.02214076",
    "emoji": "🙂📚🕘🚪🏠 🙂📚🕘🚪🏠",
}
ODDITIES = (
    "", " ", "\n\n\n", "\t\tx", "a" * 60, "    indented", "don't we'll they've "
                                                          "I'd", "naïve café déjà vu", "ÅÄÖ åäö ß ẞ", "Ωμέγα", "猫がマットに座った。",
    "한국어 문장", "שלום עולם", "مرحبا بالعالم", "🙂👩‍👩‍👧🏳️‍🌈", "x²+y²=z² ½ Ⅷ "
                                                          "٣", "1234567890", "v2.0.1-rc3",
    "https://example.org/a?b=c&d=%20e", "C:\\temp\\file.txt",
    "SELECT * FROM t WHERE "
    "a<>'b';", "if(x){return!y;}//z", "\u00a0non\u2003breaking", "e\u0301 (combining)", "ALLCAPS and CamelCaseWords", "ﬁ ligature",
    "\x00\x01\x7f", "…—–‘’“”", "$5.00 €6,50 £7", "a\u200bb", "one  two   three", "trailing space ", " leading",
)


def pieces(text: str) -> list[bytes]:
    """A text cut by SmolLM2's rule, as bytes."""
    return [piece.encode() for piece in smollm_pieces(text)]


def their_tokenizer(tokenizer: BPETokenizer) -> Tokenizer:
    """The tokenizers library with the same vocabulary and merges: an independent program to compare ids with."""
    names = dict(zip([token for token in vocabulary_of([])], sorted(pre_tokenizers.ByteLevel.alphabet())))

    def name(token: bytes) -> str:
        return "".join(names[bytes([byte])] for byte in token)

    vocabulary = {name(token): i for token, i in tokenizer.vocabulary.items()}
    theirs = Tokenizer(models.BPE(vocabulary, [(name(a), name(b)) for a, b in tokenizer.merges]))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return theirs


@experiment
def tokens_against_merges(train_bpe: Any, encode: Any, *, characters: int = 30_000, merges: int = 240) -> Finding:
    """Tokens per word of unseen text against the number of merges learned.

    The numbers: `merges` (list), `per_word`, `seconds` of training, `longest` (the longest token learned).
    """
    if quick():
        characters, merges = 8_000, 60
    texts = load_corpus().texts
    text = " ".join(texts)[:characters]
    unseen = " ".join(texts[-60:])
    begin = time.perf_counter()
    learned = train_bpe(pieces(text), merges)
    seconds = time.perf_counter() - begin
    counts = [0, *sorted({merges // 12, merges // 6, merges // 3, 2 * merges // 3, merges})]
    words = len(unseen.split())
    per_word = [len(encode(pieces(unseen), learned[:n], vocabulary_of(learned[:n]))) / words for n in counts]
    longest = max((a + b for a, b in learned), key=len).decode("utf-8", errors="replace")
    who = whose(train_bpe, encode)
    return Finding(
        f"{who.capitalize()} tokenizer learned {len(learned)} merges from {len(text):,} characters in {seconds:.2g} s. A word of text "
        f"that it had not seen takes {per_word[0]:.2f} tokens as bytes and {per_word[-1]:.2f} with all merges; its longest token is "
        f"{longest!r}. The first merges save most: they join the commonest pairs.",
        curves("Merges shorten text, with falling "
               "returns", "merges learned", "tokens per word of unseen text", counts, {f"{who} BPE": per_word}),
        {"merges": counts, "per_word": per_word, "seconds": seconds, "longest": longest})


@experiment
def same_ids_as_the_library(encode: Any, decode: Any, tokenizer: BPETokenizer, *, sentences: int = 200) -> Finding:
    """The learner's encode and decode on SmolLM2's own vocabulary, beside the tokenizers library.

    The numbers: `same` of `strings`, `seconds`.
    """
    if quick():
        sentences = 40
    texts = load_corpus().texts
    strings = [*texts[:: max(1, len(texts) // sentences)][:sentences], *ODDITIES, *SAMPLES.values()]
    theirs = their_tokenizer(tokenizer)
    begin = time.perf_counter()
    different, lost = [], []
    for text in strings:
        ids = encode(pieces(text), tokenizer.merges, tokenizer.vocabulary)
        if list(ids) != theirs.encode(text).ids:
            different.append(text)
        if decode(ids, tokenizer.vocabulary) != text:
            lost.append(text)
    seconds = time.perf_counter() - begin
    verdict = (f"The ids are identical to the tokenizers library's on all {len(strings)} strings, and every string comes back"
               if not different and not lost else
               f"{len(different)} of {len(strings)} strings got other ids than the tokenizers library gives, {len(lost)} did not come "
               f"back; the "
               f"first: {(different + lost)[0][:60]!r}")
    return Finding(
        f"With SmolLM2's own {len(tokenizer.vocabulary):,} tokens and {len(tokenizer.merges):,} merges: {verdict}. They are sentences, "
        f"code, "
        f"numbers, emoji and eight scripts; {whose(encode, decode)} functions took {seconds:.2g} s.",
        data={"same": len(strings) - len(different), "strings": len(strings), "came_back": len(strings) - len(lost), "seconds": seconds})


@experiment
def tokens_per_word(encode: Any, tokenizer: BPETokenizer) -> Finding:
    """What the same sentence costs in several languages, and what code, numbers and emoji cost, with SmolLM2's vocabulary.

    The numbers: {name: tokens per character} and `ratio` of Greek to English.
    """
    count = {name: len(encode(pieces(text), tokenizer.merges, tokenizer.vocabulary)) for name, text in SAMPLES.items()}
    per_character = {name: count[name] / len(text) for name, text in SAMPLES.items()}
    ratio = count["Greek"] / count["English"]
    return Finding(
        f"The English sentence takes {count['English']} tokens, the German one {count['German']}, the Greek one {count['Greek']} "
        f"({ratio:.1f} times as many for the same meaning). A vocabulary is bought with the text that it was learned from: what that text "
        f"lacked is spelled out in bytes, and costs time, money and room in the context. Digits stand alone by SmolLM2's rule, so "
        f"numbers take {per_character['numbers']:.2f} tokens a character.",
        bars("What a character costs", "tokens per character", list(per_character), {"SmolLM2's vocabulary": list(per_character.values())}),
        {**per_character, "ratio": ratio})
