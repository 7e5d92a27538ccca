"""Reading GGUF: a tiny file written by the gguf package, then cut, changed, and of other kinds."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

from aieng.models.gguf_file import LlamaFile, byte_letters
from aieng.models.smollm2 import smollm2_from_gguf
from aieng.transformer.llama import Llama, LlamaConfig, init_weights

CONFIG = LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                     vocab_size=260, rope_theta=1000.0, max_position_embeddings=32)


def permuted(weight, heads):
    """The row order of GGUF, from that of transformers, as llama.cpp's converter makes it."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write(path, architecture="llama", kind=gguf.GGMLQuantizationType.Q8_0, leave_out=(), pre="smollm", extra=None):
    weights = init_weights(CONFIG, seed=3, std=0.3, requires_grad=False)
    writer = gguf.GGUFWriter(path, architecture)
    c = CONFIG
    for name, value in {"context_length": c.max_position_embeddings, "embedding_length": c.hidden_size, "block_count": c.num_hidden_layers,
                        "feed_forward_length": c.intermediate_size, "head_count": c.num_attention_heads,
                        "head_count_kv": c.num_key_value_heads}.items():
        if name not in leave_out:
            getattr(writer, f"add_{name}")(value)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*(["<s>", "<e>"]), *byte_letters(), "ab", "Ġa"])
    writer.add_token_types([3, 3, *[1] * 258])
    writer.add_token_merges(["a b", "Ġ a"])
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ messages[0].content }}")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, c.num_hidden_layers)
    for name, weight in weights.items():
        data = weight.numpy()
        for part, heads in (("q_proj", c.num_attention_heads), ("k_proj", c.num_key_value_heads)):
            data = permuted(data, heads) if part in name else data
        stem = names.get_name(name.removesuffix(".weight"))
        if stem in leave_out:
            continue
        if data.ndim == 1:
            writer.add_tensor(f"{stem}.weight", data)
        else:
            writer.add_tensor(f"{stem}.weight", gguf.quantize(data, kind), raw_dtype=kind)
    if extra:
        writer.add_tensor(extra, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AIENG_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.F16])
def test_reads_what_was_written(tmp_path, kind):
    path = tmp_path / "tiny.gguf"
    weights = write(path, kind=kind)
    file = LlamaFile(path)
    assert file.config == CONFIG
    rounded = {name: w if w.ndim == 1 else torch.from_numpy(gguf.dequantize(gguf.quantize(w.numpy(), kind), kind))
               for name, w in weights.items()}
    read = {name: packed.dequantize() for name, packed in file.tensors()}
    assert read.keys() == rounded.keys()
    for name, w in rounded.items():
        np.testing.assert_array_equal(read[name], w.numpy(), err_msg=name)
    lm = smollm2_from_gguf(path)
    assert lm.stop_id == 1 and lm.tokenizer.encode("<s>ab a") == [0, 258, 259]
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(lm.model(ids), Llama(CONFIG, rounded)(ids))


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "tiny.gguf"
    write(path)
    whole = path.read_bytes()
    for length in [0, 3, 4, 20, 200, 2000, len(whole) // 2, len(whole) - 40_000, len(whole) - 4000, len(whole) - 64]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="no complete GGUF file"):
            LlamaFile(path)


@pytest.mark.parametrize("content", [b"not a model at all" * 50, b"PK\x03\x04" + bytes(1000), b"GGUF" + b"\xff" * 1000])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no complete GGUF file"):
        smollm2_from_gguf(path)


@pytest.mark.parametrize(("changes", "message"), [
    ({"architecture": "gpt2"}, "architecture 'gpt2'"),
    ({"leave_out": ["block_count"]}, "lacks the field 'llama.block_count'"),
    ({"leave_out": ["blk.1.attn_k"]}, "model.layers.1.self_attn.k_proj.weight"),
    ({"pre": "llama3"}, "pre-tokenizer 'llama3'"),
    ({"extra": "blk.0.attn_q.bias"}, "'blk.0.attn_q.bias' that a Llama has not"),
])
def test_what_is_missing_or_unknown_is_named(tmp_path, changes, message):
    write(tmp_path / "tiny.gguf", **changes)
    with pytest.raises(ValueError, match=message):
        smollm2_from_gguf(tmp_path / "tiny.gguf")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        LlamaFile(tmp_path / "none.gguf")
