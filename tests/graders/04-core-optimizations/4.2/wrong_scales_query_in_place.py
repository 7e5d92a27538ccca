def paged_attention(q, key_cache, value_cache, block_tables, context_lens):
    kv_heads, block_size = key_cache.shape[1:3]
    batch, heads, head_dim = q.shape
    if heads % kv_heads:
        raise ValueError("the heads cannot be shared evenly")
    output = torch.zeros_like(q)
    for i, length in enumerate(context_lens.tolist()):
        if length == 0:
            continue
        blocks = block_tables[i, : -(-length // block_size)]
        keys = key_cache[blocks].transpose(0, 1).flatten(1, 2)[:, :length]
        values = value_cache[blocks].transpose(0, 1).flatten(1, 2)[:, :length]
        query = q[i].div_(math.sqrt(head_dim)).reshape(kv_heads, heads // kv_heads, head_dim)
        weights = torch.softmax(query @ keys.mT, dim=-1)
        output[i] = (weights @ values).reshape(heads, head_dim)
    return output


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
