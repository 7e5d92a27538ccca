def top_k_router(x, router, top_k):
    if not 1 <= top_k <= len(router):
        raise ValueError("top_k is out of range")
    logits = x @ router.mT
    logits = logits if logits.dtype == torch.float64 else logits.float()
    probabilities = torch.softmax(logits, dim=-1)
    weights, chosen = probabilities.topk(top_k, dim=-1)
    return weights / weights.sum(-1, keepdim=True), chosen, probabilities


def dispatch(chosen, num_experts):
    flat = chosen.flatten()
    return flat.argsort(stable=True), torch.bincount(flat, minlength=num_experts)


def load_balancing_loss(probabilities, chosen):
    tokens, num_experts = probabilities.shape
    f = torch.bincount(chosen.flatten(), minlength=num_experts) / tokens
    return num_experts * (f * probabilities.mean(dim=0)).sum()


class MoELayer:
    """One choice after the other: all first choices by expert, then all second ones."""

    def __init__(self, router, gate, up, down, top_k):
        self.router, self.gate, self.up, self.down, self.top_k = router, gate, up, down, top_k

    def __call__(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen, _ = top_k_router(flat, self.router, self.top_k)
        out = torch.zeros_like(flat)
        for k in range(self.top_k):
            for e in chosen[:, k].unique().tolist():
                own = (chosen[:, k] == e).nonzero()[:, 0]
                h = flat.index_select(0, own)
                h = functional.silu(h @ self.gate[e].t()) * (h @ self.up[e].t())
                out = out.index_add(0, own, (h @ self.down[e].t()) * weights[own, k].unsqueeze(1).to(h.dtype))
        return out.view_as(x)
