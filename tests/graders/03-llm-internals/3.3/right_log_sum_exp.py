# By the logarithm of the sum; loop over queries.
def softmax(scores, dim=-1):
    total = torch.logsumexp(scores, dim=dim, keepdim=True)
    return torch.exp(scores - torch.where(torch.isinf(total) & (total < 0), torch.zeros_like(total), total))


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"cannot attend from {q.shape} to {k.shape} and {v.shape}")
    factor = 1 / q.shape[-1] ** 0.5 if scale is None else scale
    full = (*q.shape[:-1], k.shape[-2])
    mask = None if mask is None else mask.expand(full)
    rows = []
    for i in range(q.shape[-2]):
        row = (k @ q[..., i, :, None])[..., 0] * factor
        if mask is not None:
            row = row.masked_fill(~mask[..., i, :], float("-inf")) if mask.dtype == torch.bool else row + mask[..., i, :]
        rows.append((softmax(row)[..., None, :] @ v)[..., 0, :])
    return torch.stack(rows, dim=-2)
