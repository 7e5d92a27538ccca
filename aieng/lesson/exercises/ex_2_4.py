"""2.4 Instruction tuning: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched

hints(
    "2.4",
    "render_chat is string work: one f-string per message, joined. The other two meet in one convention: a label belongs to the token at "
    "its own place, and -100 means \"do not grade\". So the model's output at position i has to be compared with the label at i + 1.",
    "sft_example: labels are -100 for as many tokens as the prompt has, then the response's own ids. Cut both lists alike. sft_loss: "
    "`logits[:, :-1]` against `labels[:, 1:]`, flattened, keeping the places where the label is not -100; one mean over all of them.",
    "render_chat: if the first role is not system, put a system message in front; each message gives "
    "<|im_start|>role⏎content<|im_end|>⏎; at the end perhaps <|im_start|>assistant⏎.\n"
    "sft_example: ids = (prompt + response)[:max_length]; labels = ([-100] * len(prompt) + response)[:max_length]; refuse when no label "
    "is left.\n"
    "sft_loss: shift, then your cross_entropy of 2.2 with ignore_index -100 (or torch's).",
)


def _batch(seed: int, batch: int = 3, tokens: int = 7, vocab: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(vocab, (batch, tokens), generator=generator)
    for row, prompt in enumerate((2, 4, 5)[:batch]):
        labels[row, :prompt] = -100
    return 2 * torch.randn(batch, tokens, vocab, generator=generator), labels


def _want(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


@prop("2.4", "a turn by hand")
def turns(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    hi = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    want = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n"
    got = render_chat(hi)
    expect(isinstance(got, str), f"render_chat returns a str; yours is a {type(got).__name__}.")
    expect(not got.endswith("assistant\n"), "Without add_generation_prompt no open assistant turn belongs at the end.")
    expect(got == want, f"Two messages should render as\n{want!r}\nyours is\n{got!r}")
    got = render_chat(hi, add_generation_prompt=True)
    expect(got == want + "<|im_start|>assistant\n",
           f"add_generation_prompt adds an open assistant turn, header and line break, nothing more; yours ends with {got[-40:]!r}.")


@prop("2.4", "the default system turn")
def default_system(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    asked = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}]
    got = render_chat(asked, default_system="S")
    expect(got.startswith("<|im_start|>system\nS<|im_end|>\n"), f"Without a system message in front, default_system goes there; yours "
                                                                f"begins "
                                                                 f"with {got[:40]!r}.")
    expect(got.count("<|im_start|>system") == 1, "The system turn stands once, before all messages; not before each.")
    own = render_chat([{"role": "system", "content": "Mine"}, *asked], default_system="S")
    expect("S<|im_end|>" not in own and own.count("<|im_start|>system") == 1, "The conversation brings its own system message: add none.")
    expect("system" not in render_chat(asked, default_system=None), "default_system=None puts no system turn in front.")


@prop("2.4", "the same text as SmolLM2's own template")
def own_template(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    from jinja2 import Environment

    # As the GGUF file has it, under tokenizer.chat_template.
    source = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
        "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    template = Environment().from_string(source)
    chat = [{"role": "user", "content": " a\nb "}, {"role": "assistant", "content": ""}, {"role": "user", "content": "{{ x }} <b>"}]
    for prompt in (False, True):
        want, got = template.render(messages=chat, add_generation_prompt=prompt), render_chat(chat, add_generation_prompt=prompt)
        expect(got == want, f"SmolLM2's template gives\n{want!r}\nyours is\n{got!r}\nContent goes in as it is: no stripping, no escaping.")


@prop("2.4", "labels count on the response only")
def labels_of_response(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    got = sft_example([5, 6, 7], [8, 9])
    expect(isinstance(got, tuple) and len(got) == 2, "sft_example returns two lists: input_ids, labels.")
    ids, labels = list(got[0]), list(got[1])
    expect(ids == [5, 6, 7, 8, 9], f"input_ids are prompt and response in a row, [5, 6, 7, 8, 9]; yours: {ids}.")
    expect(labels != [-100, -100, 8, 9, -100], "Your labels are shifted already; sft_loss shifts, and twice is once too often.")
    expect(labels == [-100, -100, -100, 8, 9], f"labels are -100 on the three tokens of the prompt, then 8, 9; yours: {labels}.")
    ids, labels = sft_example([5, 6, 7], [8, 9, 10], max_length=5)
    expect((list(ids), list(labels)) == ([5, 6, 7, 8, 9], [-100, -100, -100, 8, 9]),
           f"max_length=5 cuts both lists at the end; yours: {list(ids)}, {list(labels)}.")


@prop("2.4", "position i is compared with label i + 1")
def shift(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    logits, labels = _batch(1)
    got = sft_loss(logits, labels)
    expect(isinstance(got, Tensor), f"sft_loss returns a tensor with one number; yours is a {type(got).__name__}.")
    expect_shape(got, (), "sft_loss")
    unshifted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    expect(abs(float(got - unshifted)) > 1e-4, "You compared each output with the label at its own place: that asks the model to repeat "
                                               "its "
                                               "input. Output i predicts label i + 1.")
    other = torch.nn.functional.cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten(), ignore_index=-100)
    expect(abs(float(got - other)) > 1e-4, "You shifted the wrong way: output i + 1 against label i. The past would be predicted.")
    per_row = torch.stack([_want(logits[i : i + 1], labels[i : i + 1]) for i in range(3)]).mean()
    expect(abs(float(got - per_row)) > 1e-4, "You averaged each example first and then the examples: take one mean over all response "
                                             "tokens.")
    expect_close(got, _want(logits, labels), "The loss is the mean cross entropy of logits[:, :-1] against labels[:, 1:], -100 left out.",
                 rtol=1e-4)


@prop("2.4", "the first response token counts, the prompt does not")
def who_counts(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    logits, labels = _batch(2, batch=1, tokens=6)
    logits.requires_grad_(True)
    loss = sft_loss(logits, labels)
    expect(loss.requires_grad, "The loss has lost its gradient: stay in torch until it is returned.")
    (grad,) = torch.autograd.grad(loss, logits)
    felt = (grad[0].abs().sum(-1) > 1e-9).tolist()
    expect(felt[1], "The output at the prompt's last token predicts the first response token; yours leaves it out of the loss.")
    expect(not felt[0], "An output that predicts a token of the prompt has a gradient; only those that predict the response should.")
    expect(not felt[5], "The last output predicts nothing that we have; it should have no gradient.")
    expect(felt == [False, True, True, True, True, False],
           f"With a prompt of 2 and a response of 4 tokens the outputs 1 to 4 should have a gradient; yours: {felt}.")


@prop("2.4", "inputs and errors")
def errors(render_chat: Any, sft_example: Any, sft_loss: Any) -> None:
    chat = [{"role": "user", "content": "Hi!"}]
    render_chat(chat)
    expect(chat == [{"role": "user", "content": "Hi!"}], "render_chat changed the list of messages it was given: work on a copy.")
    prompt, response = [1, 2], [3]
    sft_example(prompt, response)
    expect((prompt, response) == ([1, 2], [3]), "sft_example changed one of its lists: work on a copy.")
    logits, labels = _batch(3)
    with untouched(logits=logits, labels=labels):
        sft_loss(logits, labels)
    expect_raises(ValueError, lambda: render_chat([]), "No messages should raise ValueError.")
    expect_raises(ValueError, lambda: sft_example([1, 2], []), "An empty response should raise ValueError: there is nothing to learn from.")
    expect_raises(ValueError, lambda: sft_example([1, 2, 3], [4], max_length=3),
                  "max_length = 3 cuts the whole response off a prompt of 3: raise ValueError.")
