"""The endpoint against a real OpenAI-compatible server on loopback (`transformers serve`), and against servers that misbehave."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from aieng.models.endpoint import KEY, MODEL, URL, Endpoint, EndpointError, chat_model, endpoint_from_environment


def greedy_text(model, tokenizer, prompt: str, tokens: int) -> str:
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False)
    return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def test_chat_is_what_the_served_model_says(served):
    url, name, model, tokenizer = served
    endpoint = Endpoint(url, name)
    said = endpoint.chat("Hello", 12, system="Be brief.")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert said == greedy_text(model, tokenizer, prompt, 12) != ""
    assert endpoint.chat("Hello", 12, system="Be brief.") == said
    assert len(endpoint.chat("Hello", 3)) < len(said)


def test_history_reaches_the_server(served):
    url, name, model, tokenizer = served
    turns = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]
    prompt = tokenizer.apply_chat_template([*turns, {"role": "user", "content": "Three"}], tokenize=False, add_generation_prompt=True)
    said = Endpoint(url, name).chat("Three", 12, history=turns)
    assert said == greedy_text(model, tokenizer, prompt, 12) != Endpoint(url, name).chat("Three", 12)


def test_complete_continues_a_text(served):
    url, name, model, tokenizer = served
    assert Endpoint(url, name).complete("Once upon", 10) == greedy_text(model, tokenizer, "Once upon", 10)


def test_environment_names_the_server(served, monkeypatch):
    url, name, _, _ = served
    monkeypatch.setenv(URL, url)
    monkeypatch.setenv(MODEL, name)
    monkeypatch.setenv(KEY, "secret-key")
    found = endpoint_from_environment()
    assert found is not None and found.chat("Hi", 4) and "secret-key" not in repr(found)


def test_unknown_address_of_a_real_server(served):
    url, name, _, _ = served
    with pytest.raises(EndpointError, match="404"):
        Endpoint(url.replace("/v1", "/nothing"), name).chat("Hi", 4)


# --- servers that misbehave -----------------------------------------------------------------------------------------------

GOOD = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m",
                   "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}]})


@contextmanager
def misbehaving(*replies):
    """A server that gives these (status, headers, body, delay) one after the other, the last one for ever; yields (url, requests seen)."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, body, delay = replies[min(len(seen), len(replies) - 1)]
            seen.append(self.path)
            time.sleep(delay)
            try:
                self.send_response(status)
                for key, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body.encode())
            except (BrokenPipeError, ConnectionResetError):
                seen.append("client left")

        def log_message(self, *_):
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def quick_endpoint(url: str, **options) -> Endpoint:
    return Endpoint(url, "m", **{"timeout": 5.0, "retries": 2, "longest_wait": 0.02} | options)


def test_rate_limit_is_waited_for_and_then_answered():
    with misbehaving((429, {"retry-after": "0"}, "{}", 0), (429, {}, "{}", 0), (200, {}, GOOD, 0)) as (url, seen):
        assert quick_endpoint(url).chat("Hi") == "fine"
        assert len(seen) == 3


def test_rate_limit_that_stays_ends_after_the_attempts():
    with misbehaving((429, {"retry-after": "3600"}, '{"error": {"message": "slow down"}}', 0)) as (url, seen):
        begin = time.perf_counter()
        with pytest.raises(EndpointError, match=r"429 \(3 attempts\).*slow down.*wait"):
            quick_endpoint(url).chat("Hi")
        assert len(seen) == 3 and time.perf_counter() - begin < 5  # an hour was asked for; longest_wait is the bound


def test_server_errors_are_tried_again_and_wrong_keys_are_not():
    with misbehaving((503, {}, "{}", 0), (200, {}, GOOD, 0)) as (url, seen):
        assert quick_endpoint(url).chat("Hi") == "fine" and len(seen) == 2
    with misbehaving((401, {}, "{}", 0)) as (url, seen):
        with pytest.raises(EndpointError, match=KEY):
            quick_endpoint(url).chat("Hi")
        assert len(seen) == 1


def test_a_slow_server_times_out():
    with misbehaving((200, {}, GOOD, 1.0)) as (url, _), pytest.raises(EndpointError, match=r"did not answer within 0\.2 s"):
        quick_endpoint(url, timeout=0.2, retries=1).chat("Hi")


def test_nobody_listens(free_port):
    with pytest.raises(EndpointError, match=r"no connection.*is the server running"):
        quick_endpoint(f"http://127.0.0.1:{free_port()}/v1", retries=1).chat("Hi")


@pytest.mark.parametrize("body", [
    "not json at all", "", "[]", "{}", '{"choices": []}', '{"choices": null}', '{"choices": [{"message": null}]}',
    '{"choices": [{"message": {"content": null}}]}', '{"choices": [{"message": {"content": 5}}]}', "<html>login</html>",
])
def test_a_malformed_reply_is_an_error_that_says_so(body):
    with misbehaving((200, {}, body, 0)) as (url, seen):
        with pytest.raises(EndpointError, match=r"protocol|no completion|string was expected"):
            quick_endpoint(url).chat("Hi")
        assert len(seen) == 1


def test_a_web_page_in_place_of_the_api():
    with misbehaving((200, {"content-type": "text/html"}, "<html>login</html>", 0)) as (url, _), pytest.raises(EndpointError, match="/v1"):
        quick_endpoint(url).chat("Hi")


@pytest.mark.parametrize("arguments", [
    {"url": "localhost:8000", "model": "m"}, {"url": "", "model": "m"}, {"url": "ftp://x/v1", "model": "m"},
    {"url": "http://x/v1", "model": ""},
    {"url": "http://x/v1", "model": "m", "timeout": 0}, {"url": "http://x/v1", "model": "m", "retries": -1},
])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError):
        Endpoint(**arguments)


def test_without_environment_the_local_model_answers(monkeypatch):
    monkeypatch.delenv(URL, raising=False)
    local = object()
    assert endpoint_from_environment() is None and chat_model(local) is local
    monkeypatch.setenv(URL, "http://127.0.0.1:1/v1")
    monkeypatch.delenv(MODEL, raising=False)
    with pytest.raises(ValueError, match=MODEL):
        endpoint_from_environment()
