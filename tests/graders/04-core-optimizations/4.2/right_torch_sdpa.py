def paged_attention(q, key_cache, value_cache, block_tables, context_lens):
    blocks_total, kv_heads, block_size, dim = key_cache.shape
    if q.shape[1] % kv_heads != 0:
        raise ValueError(f"{q.shape[1]} heads, {kv_heads} key-value heads")
    rows = []
    for i in range(len(q)):
        n = int(context_lens[i])
        if not n:
            rows.append(torch.zeros(q.shape[1:], dtype=q.dtype))
            continue
        places = torch.arange(n)
        block, offset = block_tables[i, places // block_size], places % block_size
        k, v = key_cache[block, :, offset].transpose(0, 1), value_cache[block, :, offset].transpose(0, 1)
        rows.append(functional.scaled_dot_product_attention(q[i][:, None], k, v, enable_gqa=True)[:, 0])
    return torch.stack(rows)


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
