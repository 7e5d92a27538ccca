# One pair of tensors a layer; narrow and copy_.
class KVCache:
    def __init__(self, num_layers, batch, num_key_value_heads, head_dim, capacity, dtype=torch.float32):
        self.num_layers, self.capacity, self.length = num_layers, capacity, 0
        shape = (batch, num_key_value_heads, capacity, head_dim)
        self.store = [(torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)) for _ in range(num_layers)]

    @property
    def nbytes(self):
        return sum(t.numel() * t.element_size() for pair in self.store for t in pair)

    def append(self, layer, k, v):
        if layer < 0 or layer >= self.num_layers:
            raise ValueError(f"no layer {layer}")
        batch, heads, _, dim = self.store[layer][0].shape
        for t in (k, v):
            if t.dim() != 4 or t.size(0) != batch or t.size(1) != heads or t.size(3) != dim or t.size(2) != k.size(2):
                raise ValueError("shape")
            if t.dtype is not self.store[layer][0].dtype:
                raise ValueError("dtype")
        n = k.size(2)
        if self.length + n > self.capacity:
            raise ValueError("full")
        for place, new in zip(self.store[layer], (k, v)):
            place.narrow(2, self.length, n).copy_(new)
        seen = tuple(place.narrow(2, 0, self.length + n) for place in self.store[layer])
        if layer + 1 == self.num_layers:
            self.length += n
        return seen

    def truncate(self, length):
        if length < 0 or length > self.length:
            raise ValueError("out of range")
        self.length = length


def generate(model, ids, max_new_tokens, *, stop_ids=()):
    if len(ids) == 0:
        raise ValueError("empty prompt")
    cache = model.new_cache(1, len(ids) + max_new_tokens)
    out = []
    step = torch.tensor([list(ids)], dtype=torch.int64)
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(step, cache)
        best = logits[0, -1].argmax().item()
        if best in stop_ids:
            return out
        out.append(best)
        step = torch.tensor([[best]])
    return out
