"""Chat rendering against transformers' apply_chat_template, with SmolLM2's template and stranger ones."""

from __future__ import annotations

import pytest

from aieng.text.chat_template import render_chat

CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi  \n"}],
    [{"role": "user", "content": "{{ 1 + 1 }} {% if %}"}, {"role": "assistant", "content": "é🙂"}, {"role": "user", "content": "<b>&</b>"}],
]
INDENTED = """{%- for message in messages %}
    {% if message.role == 'user' %}
        {{- bos_token + message.content }}
    {% endif %}
{% endfor %}
{{ messages[-1].content | trim }}
"""


@pytest.fixture(scope="module")
def theirs():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models

    return transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>")


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("which", ["smollm2", "indented"])
def test_equals_transformers(lm, theirs, chat, add_generation_prompt, which):
    template = lm.chat_template if which == "smollm2" else INDENTED
    expected = theirs.apply_chat_template(chat, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt)
    assert render_chat(template, chat, add_generation_prompt, bos_token="<s>") == expected


def test_smollm2s_own_form(lm):
    assert render_chat(lm.chat_template, CHATS[1]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi  \n<|im_end|>\n<|im_start|>assistant\n")
    assert lm.tokenizer.decode(lm.chat_ids(CHATS[0])).startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")


@pytest.mark.parametrize(("template", "messages", "message"), [
    ("", [], "messages is empty"),
    ("", [{"role": "user"}], r"messages\[0\] is"),
    ("", ["Hi"], "expected a mapping"),
    ("{% for %}", CHATS[0], "cannot render"),
    ("{{ raise_exception('roles must alternate') }}", CHATS[0], "roles must alternate"),
    ("{{ messages.__class__.__mro__ }}", CHATS[0], "cannot render"),
    ("{{ messages.append(1) }}", CHATS[0], "cannot render"),
])
def test_errors(template, messages, message):
    with pytest.raises(ValueError, match=message):
        render_chat(template, messages)
