# Stored as (layers, 2, batch, capacity, heads, dim), views transposed; prefill before the loop.
class KVCache:
    def __init__(self, num_layers, batch, num_key_value_heads, head_dim, capacity, dtype=torch.float32):
        self.num_layers, self.capacity, self.length = num_layers, capacity, 0
        self.both = torch.zeros(num_layers, 2, batch, capacity, num_key_value_heads, head_dim, dtype=dtype)

    @property
    def nbytes(self):
        return self.both.nbytes

    def append(self, layer, k, v):
        layers, _, batch, capacity, heads, dim = self.both.shape
        if layer not in range(layers):
            raise ValueError(f"layer {layer} of {layers}")
        if k.shape != v.shape or (*k.shape[:2], k.shape[3]) != (batch, heads, dim):
            raise ValueError(f"{tuple(k.shape)} and {tuple(v.shape)} do not fit")
        if {k.dtype, v.dtype} != {self.both.dtype}:
            raise ValueError("wrong dtype")
        end = self.length + k.shape[2]
        if end > capacity:
            raise ValueError("no room")
        self.both[layer, 0, :, self.length : end] = k.transpose(1, 2)
        self.both[layer, 1, :, self.length : end] = v.transpose(1, 2)
        if layer == layers - 1:
            self.length = end
        return self.both[layer, 0, :, :end].transpose(1, 2), self.both[layer, 1, :, :end].transpose(1, 2)

    def truncate(self, length):
        if length not in range(self.length + 1):
            raise ValueError(f"{length} is not in 0 … {self.length}")
        self.length = length


def generate(model, ids, max_new_tokens, *, stop_ids=()):
    if not len(ids):
        raise ValueError("give a prompt")
    if max_new_tokens == 0:
        return []
    with torch.inference_mode():
        cache = model.new_cache(1, len(ids) + max_new_tokens - 1)
        token = int(torch.argmax(model(torch.tensor([ids]), cache)[:, -1], dim=-1))
        new = []
        while token not in stop_ids:
            new.append(token)
            if len(new) == max_new_tokens:
                break
            token = int(torch.argmax(model(torch.tensor([[token]]), cache)[:, -1], dim=-1))
    return new
