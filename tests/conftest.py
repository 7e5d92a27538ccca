"""Shared fixtures: every test keeps its progress in a folder of its own and starts with an empty session."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from aieng.lesson import session


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """One worker runs a file's tests, so that what they share is made once; tests that take long are in smaller groups by their marks."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(item.config.rootpath).as_posix()))


@pytest.fixture(scope="session", autouse=True)
def _shell():
    """A shell for `display` to publish to, as in a notebook; without history on disk."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture(autouse=True)
def _own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("AIENG_PROGRESS_DIR", str(tmp_path / "progress"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    session.forget()


@pytest.fixture(scope="session")
def lm():
    """SmolLM2 in float32, from the cache."""
    from aieng.models.smollm2 import smollm2

    return smollm2(progress=False)


TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def free_port():
    """A function that names a port on which nobody listens."""
    return _free_port


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A Llama of 100,000 random weights in transformers' own server: (address, model's name, model, tokenizer)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("served")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                         num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=8192,
                                         eos_token_id=fast.eos_token_id,
                                         bos_token_id=fast.eos_token_id, pad_token_id=fast.eos_token_id,
                                         initializer_range=0.5))  # large, so that the output depends on all of the input
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    port, log = _free_port(), folder / "log.txt"
    with log.open("w") as out:
        command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--device", "cpu", "--host", "127.0.0.1"]
        server = subprocess.Popen([*command, "--port", str(port)], stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if server.poll() is not None:
                pytest.fail(f"transformers serve ended with status {server.returncode}: {log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1", str(folder), model, fast
    finally:
        server.terminate()
        server.wait(20)
