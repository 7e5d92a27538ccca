def paged_attention(q, key_cache, value_cache, block_tables, context_lens):
    """The whole batch at once: pad to the longest, zero what is beyond, mask it."""
    kv_heads, block_size = key_cache.shape[1:3]
    batch, heads, dim = q.shape
    if heads % kv_heads:
        raise ValueError("heads")
    longest = int(context_lens.max())
    columns = -(-longest // block_size)
    tables = block_tables[:, :columns].clamp(min=0, max=len(key_cache) - 1)
    real = torch.arange(columns * block_size) < context_lens[:, None]  # (batch, slots)
    k, v = (pool[tables].transpose(2, 3).reshape(batch, columns * block_size, kv_heads, dim) for pool in (key_cache, value_cache))
    k, v = (torch.where(real[:, :, None, None], x, torch.zeros((), dtype=x.dtype)) for x in (k, v))
    scores = torch.einsum("bkgd,bskd->bkgs", q.view(batch, kv_heads, -1, dim) if q.is_contiguous() else q.reshape(batch, kv_heads, -1, dim), k)
    scores = (scores / dim**0.5).masked_fill(~real[:, None, None], -math.inf)
    weights = torch.softmax(scores, -1).nan_to_num(0.0)
    return torch.einsum("bkgs,bskd->bkgd", weights, v).reshape(batch, heads, dim)


def continuous_batching(requests, engine, max_running):
    waiting, running, steps = deque(requests), [], 0
    while waiting or running:
        while waiting and len(running) < max_running and engine.start(waiting[0]):
            running.append(waiting.popleft())
        while len(running) > 1 and not engine.has_room(running):
            last = running.pop()
            engine.release(last)
            waiting.appendleft(last)
        if not running or not engine.has_room(running):
            raise MemoryError("a request does not fit, even alone")
        for request, token in zip(running, engine.step(running)):
            request.output.append(token)
        steps += 1
        for request in [r for r in running if r.done]:
            engine.release(request)
            running.remove(request)
    return steps
