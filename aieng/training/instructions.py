"""Instruction tuning's data: a conversation as text with marked turns, and an example that counts on the answer only.

Source: Ouyang et al. 2022, "Training language models to follow instructions with human feedback" (arXiv:2203.02155), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aieng.training.losses import IGNORE

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def render_chat(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = False, default_system: str | None = SYSTEM) -> str:
    """A conversation in the form that SmolLM2 was tuned on (ChatML).

    Parameters
    ----------
    messages : sequence of {"role": ..., "content": ...}
        Each becomes ``<|im_start|>role``, a line break, the content, ``<|im_end|>``, a line break.
    add_generation_prompt : bool
        End with ``<|im_start|>assistant`` and a line break, so that what the model says next is its answer.
    default_system : str or None
        Content of the system turn that is put in front where the first message is not one; None puts none.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        No messages.
    """
    if not messages:
        raise ValueError("messages is empty: a chat has at least one message")
    turns = list(messages)
    if default_system is not None and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": default_system})
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    return text + "<|im_start|>assistant\n" if add_generation_prompt else text


def sft_example(prompt_ids: Sequence[int], response_ids: Sequence[int], max_length: int | None = None) -> tuple[list[int], list[int]]:
    """One training example: all ids, and labels that count on the response only.

    Parameters
    ----------
    prompt_ids, response_ids : sequence of int
        The rendered chat up to the assistant's turn; the answer with its end token.
    max_length : int, optional
        Longer examples are cut at the end.

    Returns
    -------
    input_ids, labels : two lists of equal length
        labels[i] belongs to input_ids[i] (the shift by one is the loss's business); -100 on the prompt.

    Raises
    ------
    ValueError
        No label would count: the response is empty, or max_length cuts all of it off.
    """
    input_ids = [*prompt_ids, *response_ids][:max_length]
    if len(input_ids) <= len(prompt_ids):
        raise ValueError(f"a prompt of {len(prompt_ids)} and a response of {len(response_ids)} tokens, cut to {max_length}: "
                         "nothing of the response is left to learn from")
    return input_ids, [IGNORE] * len(prompt_ids) + input_ids[len(prompt_ids):]
