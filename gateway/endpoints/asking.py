"""What goes around an endpoint for those who watch: who asks, for the audit log; and what it is part of, for traces."""

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.endpoints.context import Answering, Around, client_address
from gateway.telemetry.audit_asker import ASKER, Asker

if TYPE_CHECKING:
    from gateway.telemetry.trace import Traces


def asking(request_id_header: str, traces: "Traces | None") -> Around:
    """Return what makes known who asks for an answer, and traces it if there are traces."""

    def around(name: str, answer: Answering) -> Answering:
        async def ask(request: web.Request) -> web.Response:
            headers = request.headers
            ASKER.set(Asker(headers.get(request_id_header), client_address(request), endpoint=name))
            if traces is None:
                return await answer(request)
            parent, state = headers.get("traceparent"), headers.get("tracestate")
            return await traces.endpoint(name, parent, state, answer(request), _status)

        return ask

    return around


def _status(response: web.Response) -> int:
    return response.status
