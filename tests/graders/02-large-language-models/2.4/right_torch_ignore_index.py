def render_chat(messages, add_generation_prompt=False, default_system=SYSTEM):
    if len(messages) == 0:
        raise ValueError("no messages")
    parts = []
    if messages[0]["role"] != "system" and default_system is not None:
        parts.append("<|im_start|>system\n" + default_system + "<|im_end|>\n")
    for message in messages:
        parts.append("<|im_start|>" + message["role"] + "\n" + message["content"] + "<|im_end|>\n")
    if add_generation_prompt:
        parts.append("<|im_start|>assistant\n")
    return "".join(parts)


def sft_example(prompt_ids, response_ids, max_length=None):
    limit = len(prompt_ids) + len(response_ids) if max_length is None else max_length
    kept = response_ids[: max(limit - len(prompt_ids), 0)]
    if len(kept) == 0:
        raise ValueError("no response")
    return [*prompt_ids, *kept], [-100 for _ in prompt_ids] + [*kept]


def sft_loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
