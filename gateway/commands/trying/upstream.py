"""A service to stand behind the gateway while one tries it out: it answers with what it gets."""

import json

from aiohttp import web

from gateway.model.upstream import Address


async def serve_sample_upstream() -> tuple[web.AppRunner, Address]:
    """Listen on a free port of the loopback interface. `cleanup()` of the runner stops it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return runner, Address(host, port)


async def _echo(request: web.Request) -> web.Response:
    body = await request.text()
    headers = {name: ", ".join(request.headers.getall(name)) for name in request.headers}
    seen = {"method": request.method, "path": request.raw_path, "headers": headers, "body": body}
    return web.Response(text=json.dumps(seen, indent=2) + "\n", content_type="application/json")
