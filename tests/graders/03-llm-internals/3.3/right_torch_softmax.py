# torch's softmax with rows of NaN set to 0.
def softmax(scores, dim=-1):
    out = torch.softmax(scores, dim=dim)
    return torch.where(torch.isneginf(scores).all(dim=dim, keepdim=True), 0.0, out)


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError("shapes do not fit")
    scores = torch.matmul(q, k.transpose(-2, -1))
    scores = scores / math.sqrt(q.shape[-1]) if scale is None else scores * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(mask.logical_not(), float("-inf"))
        scores = scores + mask
    return torch.matmul(softmax(scores), v)
