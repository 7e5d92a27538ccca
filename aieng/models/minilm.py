"""all-MiniLM-L6-v2: texts to unit vectors of 384 numbers, on our own encoder.

A BERT of 6 layers (Wang et al. 2020, "MiniLM", arXiv:2002.10957) trained by sentence-transformers on a billion pairs
of sentences, so that texts of like meaning get vectors with a high cosine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from aieng.models.weights import ensure
from aieng.transformer.encoder import BertConfig, BertEncoder, mean_pool, unit_rows

MAX_TOKENS = 256  # of the model, with [CLS] and [SEP]; what follows is cut off


class MiniLM:
    """Sentence encoder: tokenizer, BERT encoder, mean pooling, unit length.

    Parameters
    ----------
    encoder : BertEncoder
    tokenizer : tokenizers.Tokenizer
        WordPiece, lower-casing. Its padding is switched off and its truncation set to 256 tokens.
    """

    def __init__(self, encoder: BertEncoder, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()  # the file pads everything to 128 tokens; a batch is padded to its longest text here
        tokenizer.enable_truncation(MAX_TOKENS)
        self.encoder = encoder
        self.tokenizer = tokenizer

    @property
    def dim(self) -> int:
        """Length of a vector: 384."""
        return self.encoder.config.hidden_size

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, [CLS] first and [SEP] last, at most 256.

        Raises
        ------
        TypeError
            ``texts`` is one string, or holds something that is none.
        ValueError
            A text is no valid Unicode.
        """
        return [encoding.ids for encoding in self.tokenizer.encode_batch(_as_texts(texts))]

    def tokens(self, text: str) -> list[str]:
        """The word pieces of one text, as text: ``["[CLS]", "light", "dress", "[SEP]"]``."""
        return list(self.tokenizer.encode(_as_texts([text])[0]).tokens)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64, progress: bool = False) -> NDArray[np.float32]:
        """Embed texts.

        Parameters
        ----------
        texts : sequence of str
            n texts. One text goes in a list too, ``encode(["a text"])[0]``: a bare string is refused, because as a
            sequence it would be embedded letter by letter. Text beyond 256 tokens is cut off.
        batch_size : int
            Texts computed at once. Texts of like length share a batch, whatever their order.
        progress : bool
            Show a progress bar.

        Returns
        -------
        ndarray (n, 384), float32
            Rows of length 1, in the order of ``texts``, so that a dot product is a cosine. (0, 384) for no texts.

        Raises
        ------
        TypeError
            ``texts`` is one string, or holds something that is none.
        ValueError
            batch_size below 1, or a text that is no valid Unicode.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1")
        ids = self.tokenize(texts)
        vectors = np.zeros((len(ids), self.dim), dtype=np.float32)
        # Longest first: little padding in each batch, and a batch too large for the memory fails at once.
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        with tqdm(total=len(ids), unit="text", disable=not progress) as bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                vectors[rows] = self._embed([ids[i] for i in rows]).numpy()
                bar.update(len(rows))
        return vectors

    def _embed(self, ids: list[list[int]]) -> torch.Tensor:
        """Unit vectors (batch, 384) of one batch of token ids, the first of which is the longest."""
        input_ids = torch.zeros(len(ids), len(ids[0]), dtype=torch.int64)  # 0 is [PAD]
        attention_mask = torch.zeros_like(input_ids)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = torch.tensor(tokens)
            attention_mask[row, : len(tokens)] = 1
        return unit_rows(mean_pool(self.encoder(input_ids, attention_mask), attention_mask))


def _as_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts is one string; put it in a list: encode([text])[0]")
    texts = list(texts)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{position}] is {type(text).__name__}, expected str")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"texts[{position}] is no valid Unicode (half a surrogate pair): {error}") from error
    return texts


def load_minilm(progress: bool = True) -> MiniLM:
    """Load the encoder from its verified files; fetch them the first time (see ``aieng.models.weights``)."""
    files = ensure("minilm", progress=progress)
    return minilm_from_files(files["model.safetensors"], files["tokenizer.json"], files["config.json"])


def minilm_from_files(weights: Path, tokenizer: Path, config: Path) -> MiniLM:
    """Build the encoder from a safetensors file, a tokenizer.json and a config.json."""
    bert_config = BertConfig.from_dict(json.loads(config.read_text(encoding="utf-8")))
    encoder = BertEncoder(load_file(weights), bert_config)
    return MiniLM(encoder, Tokenizer.from_file(str(tokenizer)))
