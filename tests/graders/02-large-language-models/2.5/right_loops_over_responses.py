def bradley_terry_loss(chosen, rejected):
    if tuple(chosen.shape) != tuple(rejected.shape):
        raise ValueError("shapes")
    zero = torch.zeros_like(chosen)
    return torch.logaddexp(zero, rejected - chosen).mean()


def kl_per_token(policy_logits, reference_logits):
    if policy_logits.shape != reference_logits.shape:
        raise ValueError("shapes")
    p, q = torch.distributions.Categorical(logits=policy_logits), torch.distributions.Categorical(logits=reference_logits)
    return torch.distributions.kl_divergence(p, q)


def group_advantages(rewards, eps=1e-6):
    return torch.stack([(row - row.mean()) / (row.var(correction=0).sqrt() + eps) for row in rewards])


def policy_gradient_loss(log_probs, old_log_probs, advantages, mask, clip_range=0.2):
    if not (log_probs.shape == old_log_probs.shape == mask.shape) or clip_range <= 0:
        raise ValueError("arguments")
    terms = []
    for i in range(len(log_probs)):
        keep = mask[i].bool()
        A = advantages[i].detach()
        A = A if A.ndim == 0 else A[keep]
        ratio = (log_probs[i][keep] - old_log_probs[i][keep].detach()).exp()
        terms.append(-torch.min(ratio * A, ratio.clip(1 - clip_range, 1 + clip_range) * A))
    return torch.cat(terms).mean()
