"""A conversation as the one text that a chat model was trained on, by the model's own template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

Message = Mapping[str, Any]  # {"role": "user", "content": "Hi"}


def render_chat(template: str, messages: Sequence[Message], add_generation_prompt: bool = True, **variables: object) -> str:
    """Fill a chat template.

    Parameters
    ----------
    template : str
        Jinja source, as ``tokenizer.chat_template`` in a GGUF file or ``chat_template`` in tokenizer_config.json.
    messages : sequence of mappings
        Each with "role" ("system", "user", "assistant") and "content".
    add_generation_prompt : bool
        End with the header of the assistant's turn, so that the model answers.
    **variables
        Whatever else the template reads, such as ``bos_token``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        No messages, a message without role or content, or a template that does not compile or refuses them.
    """
    if not messages:
        raise ValueError("messages is empty: a chat has at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f"messages[{i}] is {message!r}; expected a mapping with 'role' and 'content'")
    # A template comes with a file from somewhere: it may format text, and nothing else.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=add_generation_prompt, **variables)
    except TemplateError as error:
        raise ValueError(f"the chat template cannot render these messages: {error}") from error


def _refuse(message: str) -> NoReturn:
    """What templates call as raise_exception("roles must alternate")."""
    raise TemplateError(message)
