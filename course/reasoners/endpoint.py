"""Any server that speaks OpenAI's protocol (vLLM, Ollama, llama.cpp, ...) as a reasoner, through OpenAI's client."""

import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai

RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)  # answers after which it is worth asking again
AT_ONCE = 8  # requests under way at the same time
LONGEST_WAIT = 30.0  # seconds
TEMPLATE = 32  # tokens that a server may put around a prompt


class EndpointError(RuntimeError):
    """The server did not give what was asked for; the message says what it did instead."""


class Endpoint:
    """generate(prompts, n, max_new, stop) from a server: `Endpoint("http://localhost:11434/v1", "llama3.2:1b")`.

    base_url: up to and with /v1;  model: the name the server knows it by;  key: sent as a bearer token.
    chat: ask for chat/completions, each prompt one message; else for completions, which go on where a prompt ends.
    timeout: seconds without a byte;  retries: how often to ask again after silence, an overload or nonsense, waiting
    1, 2, 4, ... seconds, or as long as the server says.
    budget: tokens that are never exceeded.  Before each request its worst case is set aside, a token for each byte of
    the prompt, n times max_new, and a few that servers add; when that is no longer there, the texts are empty and
    `exhausted` is true.  What the server says it spent replaces the worst case; `tokens` is the sum.
    A server that gives one text at a time is asked n times.  Of a text that ended at a stop string, which the protocol
    cuts off, the first of the stop strings is put back.
    Raises EndpointError when the server stays down, refuses, or keeps sending something else.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        chat: bool = True,
        temperature: float = 0.8,
        timeout: float = 60.0,
        retries: int = 3,
        budget: float = math.inf,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """Raises ValueError for a base_url that is not one of http."""
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url is {base_url!r}; wanted one such as http://localhost:11434/v1.")
        self.path = "chat/completions" if chat else "completions"
        self.url = f"{base_url.rstrip('/')}/{self.path}"
        # its own retries would spend tokens behind the budget's back
        self.client = openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=timeout, max_retries=0)
        self.model, self.chat, self.temperature = model, chat, temperature
        self.timeout, self.retries, self.budget, self.sleep = timeout, retries, budget, sleep
        self.tokens, self.exhausted = 0, False
        self._spending = threading.Lock()

    def __call__(self, prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
        """n texts for each prompt."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda prompt: self._texts(prompt, n, max_new, stop), prompts))

    def _texts(self, prompt: str, n: int, max_new: int, stop: list[str]) -> list[str]:
        texts: list[str] = []
        while len(texts) < n:
            wanted = n - len(texts)
            reply = self._post(self._body(prompt, wanted, max_new, stop), len(prompt.encode()) + wanted * max_new)
            if reply is None:
                return texts + [""] * wanted
            texts += [_text(choice, stop) for choice in reply["choices"]]
        return texts[:n]

    def _spend(self, tokens: int) -> bool:
        """Take tokens from the budget, or give some back; False if they are not there."""
        with self._spending:
            if tokens > 0 and self.tokens + tokens > self.budget:
                self.exhausted = True
                return False
            self.tokens += tokens
            return True

    def _body(self, prompt: str, n: int, max_new: int, stop: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "n": n, "max_tokens": max_new, "temperature": self.temperature}
        if stop:
            body["stop"] = stop
        return body | ({"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt})

    def _post(self, body: dict[str, Any], worst: int) -> dict[str, Any] | None:
        """The server's reply, None where the budget does not allow to ask (again)."""
        trouble = ""
        for attempt in range(self.retries + 1):
            if not self._spend(worst + TEMPLATE):
                return None
            wait = 2.0**attempt
            try:
                reply = _checked(self.client.post(f"/{self.path}", body=body, cast_to=httpx.Response).content)
                self._spend(_usage(reply, worst + TEMPLATE) - worst - TEMPLATE)
                return reply
            except openai.APIStatusError as error:
                self._spend(-worst - TEMPLATE)  # refused, so nothing was computed
                said = error.response
                trouble = f"answered {said.status_code} {said.reason_phrase}: {said.text[:300].strip()}"
                if said.status_code not in RETRIED:
                    raise EndpointError(f"{self.url} {trouble}") from None
                wait = _seconds(said.headers.get("Retry-After"), wait)
            except ValueError as error:
                trouble = f"sent something else than completions: {error}"
            except openai.APITimeoutError:
                trouble = f"was silent for {self.timeout:g} s"
            except openai.APIConnectionError as error:
                trouble = f"cannot be reached: {error.__cause__ or error}"
            if attempt < self.retries:
                self.sleep(min(wait, LONGEST_WAIT))
        raise EndpointError(f"{self.url} {trouble} (asked {self.retries + 1} times)")


def _checked(page: bytes) -> dict[str, Any]:
    """A reply with at least one choice.  Raises ValueError for anything else."""
    try:
        reply = json.loads(page)
    except ValueError:
        raise ValueError(f"{page[:100].decode(errors='replace')!r}") from None
    if not isinstance(reply, dict) or not isinstance(reply.get("choices"), list) or not reply["choices"]:
        raise ValueError(f"{str(reply)[:100]!r} has no choices")
    for choice in reply["choices"]:
        if not isinstance(choice, dict) or not isinstance(choice.get("message", choice), dict):
            raise ValueError(f"{str(choice)[:100]!r} is no choice")
    return reply


def _text(choice: dict[str, Any], stop: list[str]) -> str:
    text = choice["message"].get("content") if "message" in choice else choice.get("text")
    text = text if isinstance(text, str) else ""
    cut_off = stop and text and choice.get("finish_reason") == "stop" and not text.endswith(stop[0])
    return text + stop[0] if cut_off else text


def _usage(reply: dict[str, Any], worst: int) -> int:
    usage = reply.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and total >= 0 else worst


def _seconds(header: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(header)) if header is not None else otherwise
    except ValueError:
        return otherwise
