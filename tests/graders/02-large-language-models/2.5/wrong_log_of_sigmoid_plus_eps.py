def bradley_terry_loss(chosen, rejected):
    if chosen.shape != rejected.shape:
        raise ValueError(f"chosen {tuple(chosen.shape)} and rejected {tuple(rejected.shape)} must have the same shape")
    return -(torch.sigmoid(chosen - rejected) + 1e-8).log().mean()


def kl_per_token(policy_logits, reference_logits):
    if policy_logits.shape != reference_logits.shape:
        raise ValueError(f"policy {tuple(policy_logits.shape)} and reference {tuple(reference_logits.shape)} must have the same shape")
    policy, reference = policy_logits.log_softmax(dim=-1), reference_logits.log_softmax(dim=-1)
    return (policy.exp() * (policy - reference)).sum(dim=-1)


def group_advantages(rewards, eps=1e-6):
    centred = rewards - rewards.mean(dim=-1, keepdim=True)
    return centred / (rewards.std(dim=-1, correction=0, keepdim=True) + eps)


def policy_gradient_loss(log_probs, old_log_probs, advantages, mask, clip_range=0.2):
    if not log_probs.shape == old_log_probs.shape == mask.shape:
        raise ValueError("log_probs, old_log_probs and mask must have the same shape")
    if clip_range <= 0:
        raise ValueError(f"clip_range is {clip_range}; it must be above 0")
    advantages = advantages.detach()
    if advantages.ndim == 1:
        advantages = advantages[:, None]
    ratio = torch.exp(log_probs - old_log_probs.detach())  # (batch, tokens)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio * advantages, clipped * advantages)[mask].mean()
