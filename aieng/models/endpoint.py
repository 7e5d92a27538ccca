"""Any language model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, a provider), through the official client.

Three environment variables name it: ``AIENG_ENDPOINT_URL`` (such as http://localhost:8000/v1), ``AIENG_ENDPOINT_MODEL``, and
``AIENG_ENDPOINT_KEY`` where the server wants one.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import openai

URL, MODEL, KEY = "AIENG_ENDPOINT_URL", "AIENG_ENDPOINT_MODEL", "AIENG_ENDPOINT_KEY"

Answer = TypeVar("Answer")


class ChatModel(Protocol):
    """What answers a message: SmolLM2 in this process, or an Endpoint."""

    def chat(self, message: str, max_new_tokens: int = 128) -> str: ...


class EndpointError(RuntimeError):
    """The server could not be used. The text says which server, what happened and what to do."""


class Endpoint:
    """A chat model behind an OpenAI-compatible server.

    Parameters
    ----------
    url : str
        Base address, as a rule ending in ``/v1``.
    model : str
        Its name on that server.
    key : str, optional
        Sent as a bearer token. Never shown.
    timeout : float
        Seconds until an attempt counts as failed.
    retries : int
        Further attempts after a failure that may pass: no connection, a timeout, status 429 or 5xx. Others fail at once.
    longest_wait : float
        Seconds between two attempts at most; a server's Retry-After counts, up to this.

    Raises
    ------
    ValueError
        A url that is no http(s) address, an empty model name, or limits out of range.
    """

    def __init__(
        self, url: str, model: str, key: str | None = None, *, timeout: float = 60.0, retries: int = 2, longest_wait: float = 20.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{URL} is {url!r}; expected an address such as http://localhost:8000/v1")
        if not model:
            raise ValueError(f"no model named: set {MODEL} to a name that the server at {url} knows")
        if timeout <= 0 or retries < 0 or longest_wait < 0:
            raise ValueError(f"timeout={timeout}, retries={retries}, longest_wait={longest_wait}: need timeout > 0, the others 0 or more")
        self.url, self.model, self.retries, self.longest_wait, self.timeout = url, model, retries, longest_wait, timeout
        # The client's own retries are off: they would multiply with ours, and only ours respect longest_wait.
        self._client = openai.OpenAI(base_url=url, api_key=key or "none", timeout=timeout, max_retries=0)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.model!r})"

    def chat(self, message: str, max_new_tokens: int = 128, *, temperature: float = 0.0, system: str | None = None,
             history: Sequence[Mapping[str, str]] = ()) -> str:
        """Answer a message; arguments as for `SmolLM2.chat`. Temperature 0 is greedy.

        Raises
        ------
        EndpointError
            No usable answer after all attempts.
        """
        start = [{"role": "system", "content": system}] if system is not None else []
        messages: Any = [*start, *history, {"role": "user", "content": message}]

        def ask() -> str:
            reply: Any = self._client.chat.completions.create(
                model=self.model, messages=messages, max_tokens=max_new_tokens, temperature=temperature)
            return self._text(reply, lambda: reply.choices[0].message.content)

        return self._attempt(ask)

    def complete(self, prompt: str, max_new_tokens: int = 64, *, temperature: float = 0.0, stop: Sequence[str] = ()) -> str:
        """Continue a text as it stands, where the server offers /completions."""

        def ask() -> str:
            reply: Any = self._client.completions.create(
                model=self.model, prompt=prompt, max_tokens=max_new_tokens, temperature=temperature, stop=list(stop) or None)
            return self._text(reply, lambda: reply.choices[0].text)

        return self._attempt(ask)

    def _text(self, reply: Any, pick: Callable[[], Any]) -> str:
        """The text of a reply; EndpointError where it is none. The client itself checks little: a wrong body comes through as it is."""
        try:
            text = pick()
        except (AttributeError, IndexError, TypeError, KeyError) as error:
            shown = repr(reply)[:160]
            raise EndpointError(f"{self.url} answered something that is no completion: {shown}. Is the address that of the API "
                                "(…/v1)?") from error
        if not isinstance(text, str):
            raise EndpointError(f"{self.url} sent a completion whose text is {text!r}; a string was expected")
        return text

    def _attempt(self, ask: Callable[[], Answer]) -> Answer:
        """Call `ask`, again after failures that may pass, with growing pauses."""
        last = self.retries
        for attempt in range(last + 1):
            try:
                return ask()
            except openai.APIStatusError as error:
                if attempt == last or not (error.status_code == 429 or error.status_code >= 500):
                    raise EndpointError(self._about_status(error, attempt + 1)) from error
                wait = _retry_after(error)
            except openai.APITimeoutError as error:  # a subclass of the next: it has to come first
                if attempt == last:
                    raise EndpointError(f"{self.url} did not answer within {self.timeout:g} s ({attempt + 1} attempts): raise the timeout, "
                                        "ask for fewer tokens, or look whether the server is overloaded") from error
                wait = None
            except openai.APIConnectionError as error:
                if attempt == last:
                    raise EndpointError(f"no connection to {self.url} ({attempt + 1} attempts; {error.__cause__ or error}): is the server "
                                        f"running, and is {URL} right?") from error
                wait = None
            except (openai.APIResponseValidationError, ValueError) as error:
                raise EndpointError(f"{self.url} sent a reply that is no JSON of the OpenAI protocol ({error}): is the address that of the "
                                    "API (…/v1)?") from error
            pause = 0.5 * 2**attempt * (1 + random.random()) if wait is None else wait
            time.sleep(min(pause, self.longest_wait))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _about_status(self, error: openai.APIStatusError, attempts: int) -> str:
        code, said = error.status_code, str(error.message)[:200]
        advice = {
            401: f"set {KEY} to a valid key", 403: f"the key in {KEY} may not use this model",
            404: f"does the server know the model {self.model!r} ({MODEL}), and does the address end in /v1?",
            429: "the server limits the rate: wait, or ask less often",
        }.get(code, "the server's own log says more" if code >= 500 else "the request was refused as it is")
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        return f"{self.url} answered with status {code}{tried}: {said}. What to do: {advice}."


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to wait, where it gives a number."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def endpoint_from_environment() -> Endpoint | None:
    """The endpoint that the environment names, or None where it names none.

    Raises
    ------
    ValueError
        An address without a model name, or one that is none.
    """
    url = os.environ.get(URL, "").strip()
    return Endpoint(url, os.environ.get(MODEL, "").strip(), os.environ.get(KEY) or None) if url else None


def chat_model(local: ChatModel) -> ChatModel:
    """What the environment names, otherwise `local`."""
    return endpoint_from_environment() or local
