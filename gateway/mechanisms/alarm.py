"""Alarms to a webhook: one signed POST for every session that ended as stolen.

The body is JSON; `X-Gateway-Signature: t=<Unix seconds>,v1=<hex>` is an HMAC-SHA256 over `<t>.<body>` with the secret
of the file, so that the receiver knows who sent it, and when. An alarm is sent up to five times until an answer of
2xx; what waits is bounded.
"""

import asyncio
import hmac
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from gateway.mechanisms.base import FetchFailed, Post
from gateway.model.clock import Clock
from gateway.model.session import SessionOver

ATTEMPTS = 5
FIRST_PAUSE = 1.0
"""Seconds between the first two attempts; each pause is twice the one before."""
MOST = 1000
"""How many may wait."""

_TIMEOUT = 5.0
_ANSWER_BYTES = 64 * 1024


class Alarms:
    """`results` counts `ok`, `failed` and `dropped`."""

    def __init__(
        self,
        url: str,
        secret: bytes,
        post: Post,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.results = Counter(ok=0, failed=0, dropped=0)
        self._url = url
        self._secret = secret
        self._post = post
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[bytes] = deque()
        self._has_news = asyncio.Event()

    def adapt(self, url: str, secret: bytes, post: Post) -> None:
        """Send to another receiver, or with another secret, from now on: also what waits already."""
        self._url, self._secret, self._post = url, secret, post

    def send(self, event: SessionOver) -> None:
        """Put an alarm into the queue; the oldest is dropped when it is full."""
        if len(self._waiting) >= MOST:
            self._waiting.popleft()
            self.results["dropped"] += 1
        self._waiting.append(_body(event))
        self._has_news.set()

    async def keep_sending(self) -> None:
        """Send what is in the queue, for ever."""
        while True:
            await self._has_news.wait()
            while self._waiting:
                self.results[await self._sent(self._waiting.popleft())] += 1
            self._has_news.clear()

    async def _sent(self, body: bytes) -> str:
        pause = FIRST_PAUSE
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(pause)
                pause *= 2
            try:
                answer = await self._post(
                    self._url, body, self._headers(body), timeout_s=_TIMEOUT, max_bytes=_ANSWER_BYTES
                )
            except FetchFailed:
                continue
            if 200 <= answer.status < 300:
                return "ok"
        return "failed"

    def _headers(self, body: bytes) -> dict[str, str]:
        now = int(self._clock())
        signature = hmac.new(self._secret, b"%d." % now + body, sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Gateway-Signature": f"t={now},v1={signature}"}


def _body(event: SessionOver) -> bytes:
    session = event.session
    alarm: dict[str, Any] = {
        "event": "refresh_token_reuse",
        "reason": event.reason.value,
        "session": session.sid,
        "subject": session.subject,
        "client_id": session.client_id,
        "distance": event.distance,
        "address": event.address,
        "at": None if session.ended is None else session.ended.at_ms // 1000,
    }
    return json.dumps(alarm).encode()
