def top_k_router(x, router, top_k):
    experts = router.shape[0]
    if top_k < 1 or top_k > experts:
        raise ValueError(f"{top_k} of {experts}")
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    logits = torch.einsum("th,eh->te", x, router).to(wide)
    exponentials = (logits - logits.amax(1, keepdim=True)).exp()
    probabilities = exponentials / exponentials.sum(1, keepdim=True)
    chosen = probabilities.argsort(dim=1, descending=True)[:, :top_k]
    weights = torch.softmax(logits.gather(1, chosen), 1)  # the same as dividing by the sum
    return weights, chosen, probabilities


def dispatch(chosen, num_experts):
    flat = chosen.reshape(-1).tolist()
    order = sorted(range(len(flat)), key=lambda i: flat[i])
    return torch.tensor(order, dtype=torch.int64), torch.tensor([flat.count(e) for e in range(num_experts)])


def load_balancing_loss(probabilities, chosen):
    experts = probabilities.shape[1]
    hot = functional.one_hot(chosen, experts).to(probabilities.dtype)  # (tokens, k, experts)
    return (hot.mean(0) * probabilities.mean(0)).sum() * experts


class MoELayer:
    def __init__(self, router, gate, up, down, top_k):
        self.router, self.gate, self.up, self.down, self.top_k = router, gate, up, down, top_k

    def __call__(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen, _ = top_k_router(flat, self.router, self.top_k)
        out = [torch.zeros_like(flat)]
        for e in range(self.router.shape[0]):
            token, place = (chosen == e).nonzero(as_tuple=True)
            if len(token) == 0:
                continue
            h = flat[token]
            gate, up = functional.linear(h, self.gate[e]), functional.linear(h, self.up[e])
            h = functional.linear(gate * gate.sigmoid() * up, self.down[e])
            out.append(torch.zeros_like(flat).index_put((token,), h * weights[token, place, None].to(h.dtype)))
        return torch.stack(out).sum(0).view(x.shape)
