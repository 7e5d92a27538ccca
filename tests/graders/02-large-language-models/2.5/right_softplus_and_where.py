def bradley_terry_loss(chosen, rejected):
    if chosen.shape != rejected.shape:
        raise ValueError("shapes")
    return torch.nn.functional.softplus(rejected - chosen).mean()


def kl_per_token(policy_logits, reference_logits):
    if policy_logits.shape != reference_logits.shape:
        raise ValueError("shapes")
    log_p = policy_logits - policy_logits.logsumexp(-1, keepdim=True)
    log_q = reference_logits - reference_logits.logsumexp(-1, keepdim=True)
    return torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)


def group_advantages(rewards, eps=1e-6):
    mean = rewards.mean(1, keepdim=True)
    variance = ((rewards - mean) ** 2).mean(1, keepdim=True)
    return (rewards - mean) / (variance.sqrt() + eps)


def policy_gradient_loss(log_probs, old_log_probs, advantages, mask, clip_range=0.2):
    if log_probs.shape != old_log_probs.shape or log_probs.shape != mask.shape:
        raise ValueError("shapes")
    if clip_range <= 0:
        raise ValueError("clip_range")
    A = advantages.detach()
    A = A.view(-1, 1).expand_as(log_probs) if A.ndim == 1 else A
    ratio = (log_probs[mask] - old_log_probs.detach()[mask]).exp()
    A = A[mask]
    worse = torch.where(A >= 0, ratio.clamp(max=1 + clip_range), ratio.clamp(min=1 - clip_range))
    return -(worse * A).mean()
