def render_chat(messages, add_generation_prompt=False, default_system=SYSTEM):
    if not messages:
        raise ValueError("no messages")
    system = [] if messages[0]["role"] == "system" or default_system is None else [dict(role="system", content=default_system)]
    turn = "<|im_start|>{}\n{}<|im_end|>\n"
    out = ""
    for message in system + list(messages):
        out += turn.format(message["role"], message["content"])
    return out + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def sft_example(prompt_ids, response_ids, max_length=None):
    ids = list(prompt_ids) + list(response_ids)
    labels = [t if i >= len(prompt_ids) else -100 for i, t in enumerate(ids)]
    if max_length is not None:
        ids, labels = ids[:max_length], labels[:max_length]
    if set(labels) <= {-100}:
        raise ValueError("no response token left")
    return ids, labels


def sft_loss(logits, labels):
    vocab = logits.shape[-1]
    shifted = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
    keep = (shifted != -100).reshape(-1)
    rows = logits.reshape(-1, vocab)[keep]
    one_hot = torch.nn.functional.one_hot(shifted.reshape(-1)[keep], vocab).to(rows.dtype)
    return (torch.logsumexp(rows, -1) - (rows * one_hot).sum(-1)).mean()
