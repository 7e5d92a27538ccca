# einsum, nan_to_num and where.
def softmax(scores, dim=-1):
    shifted = scores - torch.max(scores, dim=dim, keepdim=True).values
    e = torch.where(torch.isnan(shifted), torch.zeros_like(scores), torch.exp(shifted))
    total = torch.sum(e, dim=dim, keepdim=True)
    return torch.nan_to_num(e / total, nan=0.0)


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if q.size(-1) != k.size(-1):
        raise ValueError("q and k have different head_dim")
    if k.size(-2) != v.size(-2):
        raise ValueError("as many values as keys are needed")
    if scale is None:
        scale = q.size(-1) ** -0.5
    scores = torch.einsum("...qd,...kd->...qk", q, k) * scale
    if mask is not None and mask.dtype == torch.bool:
        scores = torch.where(mask, scores, torch.tensor(float("-inf"), dtype=scores.dtype))
    elif mask is not None:
        scores = scores + mask
    return torch.einsum("...qk,...kv->...qv", softmax(scores, dim=-1), v)
