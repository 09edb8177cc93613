"""Each behaviour that the five source texts describe is there with the preset named after the text.

The numbers R1 to R44 in `test_preset_seed*.py` are those of the list of what the texts want. Where two texts contradict
each other, so do two presets. Here are what all have in common: a client that knows nothing but the guide.
"""

from pathlib import Path

import pytest

from tests.trips.preset_running import (
    DAY,
    PAGE,
    SEEDS,
    access_cookie,
    seed,
)
from tests.trips.running import get
from tests.trips.session_running import (
    SessionGateway,
    json_of,
    set_cookies,
)
from tests.trips.wire import Message


class Phone:
    """A client: it uses its access token; on a 401 it renews and tries once more; when that fails, it logs in."""

    def __init__(self, gate: SessionGateway, seed: str) -> None:
        self._gate = gate
        self._seed = seed
        self._access = self._refresh = ""
        self.logins = self.renewals = 0

    async def get(self) -> int:
        """Return the status of the answer in the end."""
        answer = await self._ask()
        if answer.status == 401 and self._refresh and await self._renew():
            answer = await self._ask()
        if answer.status == 401:
            await self._log_in()
            answer = await self._ask()
        return answer.status

    async def _ask(self) -> Message:
        if self._seed == "seed0":
            answer = await self._gate.ask(get("/api/x", *([access_cookie(self._access)] if self._access else [])))
        else:
            answer = await self._gate.api(self._access or None)
        return self._keep(answer)

    async def _renew(self) -> bool:
        self.renewals += 1
        if self._seed == "seed1":
            answer = self._keep(await self._gate.api(self._refresh))
        elif self._seed == "seed4":
            answer = await self._gate.refresh(self._refresh, access_token=self._access)
        else:
            answer = await self._gate.refresh(self._refresh, PAGE)
        if answer.status == 200 and self._seed != "seed1":
            self._take(answer)
        if answer.status == 401:
            self._access = self._refresh = ""
        return answer.status == 200

    async def _log_in(self) -> None:
        self.logins += 1
        self._take(await self._gate.try_login("alice", PAGE))

    def _take(self, answer: Message) -> None:
        assert answer.status == 200, answer.body
        body, cookies = json_of(answer), set_cookies(answer)
        self._refresh = body["refresh_token"]
        self._access = body.get("access_token") or cookies["__Host-access"]["value"]

    def _keep(self, answer: Message) -> Message:
        """Keep the new tokens that came beside an answer."""
        cookie = set_cookies(answer).get("__Host-access", {}).get("value")
        self._access = answer.one("X-Access-Token") or cookie or self._access
        self._refresh = answer.one("X-Refresh-Token") or self._refresh
        return answer


@pytest.mark.parametrize("name", SEEDS)
async def test_a_client_renews_on_a_401_and_logs_in_only_when_it_must(tmp_path: Path, name: str) -> None:
    """R44, R26, R14"""
    async with seed(int(name[-1]), tmp_path) as gate:
        phone = Phone(gate, name)
        assert await phone.get() == 200
        for number in range(1, 5):
            gate.later(2 * 3600)
            assert await phone.get() == 200
            assert await phone.get() == 200
            assert (phone.logins, phone.renewals) == (1, number)
        gate.later(31 * DAY)
        assert await phone.get() == 200
        assert (phone.logins, phone.renewals) == (2, 5)
