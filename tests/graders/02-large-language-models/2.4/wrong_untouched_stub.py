def render_chat(messages, add_generation_prompt=False, default_system=SYSTEM):
    raise NotImplementedError


def sft_example(prompt_ids, response_ids, max_length=None):
    raise NotImplementedError


def sft_loss(logits, labels):
    raise NotImplementedError
