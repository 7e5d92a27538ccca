def bradley_terry_loss(chosen, rejected):
    raise NotImplementedError


def kl_per_token(policy_logits, reference_logits):
    raise NotImplementedError


def group_advantages(rewards, eps=1e-6):
    raise NotImplementedError


def policy_gradient_loss(log_probs, old_log_probs, advantages, mask, clip_range=0.2):
    raise NotImplementedError
