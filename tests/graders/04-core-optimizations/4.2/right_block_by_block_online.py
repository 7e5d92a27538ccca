def paged_attention(q, key_cache, value_cache, block_tables, context_lens):
    """A running maximum and sum over blocks; nothing is gathered."""
    kv_heads, block_size = key_cache.shape[1:3]
    group, rest = divmod(q.shape[1], kv_heads)
    if rest:
        raise ValueError("heads")
    out = torch.zeros_like(q)
    for i in range(q.shape[0]):
        left, query = int(context_lens[i]), q[i].unflatten(0, (kv_heads, group)) / q.shape[2] ** 0.5
        top = torch.full((kv_heads, group, 1), -math.inf, dtype=q.dtype)
        total, mixed = torch.zeros_like(top), torch.zeros_like(query)
        for block in block_tables[i].tolist():
            if left <= 0:
                break
            k, v = key_cache[block, :, :left], value_cache[block, :, :left]
            scores = query @ k.mT
            new = torch.maximum(top, scores.amax(-1, keepdim=True))
            p = (scores - new).exp()
            total = total * (top - new).exp() + p.sum(-1, keepdim=True)
            mixed = mixed * (top - new).exp() + p @ v
            top, left = new, left - block_size
        if int(context_lens[i]):
            out[i] = (mixed / total).flatten(0, 1)
    return out


def continuous_batching(requests, engine, max_running):
    queue, active, count = list(requests), [], 0
    while queue or active:
        while queue and len(active) < max_running:
            if not engine.start(queue[0]):
                break
            active.append(queue.pop(0))
        while not engine.has_room(active) and len(active) > 1:
            queue.insert(0, active.pop())
            engine.release(queue[0])
        if not active or not engine.has_room(active):
            raise MemoryError
        tokens = engine.step(active)
        count += 1
        still = []
        for position, request in enumerate(active):
            request.output.append(tokens[position])
            if request.done:
                engine.release(request)
            else:
                still.append(request)
        active = still
    return count
