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
    def __init__(self, router, gate, up, down, top_k):
        self.router, self.gate, self.up, self.down, self.top_k = router, gate, up, down, top_k

    def __call__(self, x):
        tokens = x.flatten(0, 1)
        weights, chosen, _ = top_k_router(tokens, self.router, self.top_k)
        order, counts = dispatch(chosen, len(self.router))
        rows = order // self.top_k
        shares = weights.flatten()[order].to(x.dtype)
        output = torch.zeros_like(tokens)
        for e, (own, share) in enumerate(zip(rows.split(counts.tolist()), shares.split(counts.tolist()))):
            part = tokens[own]
            part = (functional.silu(part @ self.gate[e].mT) * (part @ self.up[e].mT)) @ self.down[e].mT
            output = output.index_add(0, own, part * share[:, None])
        return output.reshape(x.shape)
