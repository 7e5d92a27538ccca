def render_chat(messages, add_generation_prompt=False, default_system=SYSTEM):
    if not messages:
        raise ValueError("a chat has at least one message")
    turns = list(messages)
    if default_system is not None and turns[0]["role"] != "system":
        turns = [{"role": "system", "content": default_system}, *turns]
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>" for turn in turns)
    return text + "<|im_start|>assistant\n" if add_generation_prompt else text


def sft_example(prompt_ids, response_ids, max_length=None):
    input_ids = (list(prompt_ids) + list(response_ids))[:max_length]
    labels = ([-100] * len(prompt_ids) + list(response_ids))[:max_length]
    if all(label == -100 for label in labels):
        raise ValueError(f"no response token among the first {max_length} tokens")
    return input_ids, labels


def sft_loss(logits, labels):
    predictions, wanted = logits[:, :-1], labels[:, 1:]
    counts = wanted != -100
    log_p = predictions[counts].log_softmax(dim=-1)  # (counted, vocab_size)
    return -log_p.gather(-1, wanted[counts][:, None]).mean()
