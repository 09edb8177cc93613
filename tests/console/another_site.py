"""A page of another site, and what it tries with the browser of somebody who is signed in to the console."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FORM = """<form method="post" enctype="text/plain" action="{api}/revocations" target="hidden">
  <input name='{{"level":"subject","name":"alice","x":"' value='"}}'></form><iframe name="hidden"></iframe>"""
"""A form needs no permission of the site that it goes to."""

ASKING = """async (api) => {
    const body = JSON.stringify({level: "subject", name: "alice"});
    const asked = [
        ["GET", "/me", {}],
        ["GET", "/config", {mode: "no-cors"}],
        ["POST", "/revocations", {mode: "no-cors", body, headers: {"Content-Type": "text/plain"}}],
        ["POST", "/revocations", {body, headers: {"Content-Type": "application/json"}}],
        ["DELETE", "/subjects/alice/sessions", {}],
    ];
    return Promise.all(asked.map(async ([method, path, more]) => {
        try {
            const answer = await fetch(api + path, {method, credentials: "include", ...more});
            return answer.type + (await answer.text());
        } catch (error) { return error.name; }
    }));
}"""
"""What it could read of each answer, or the error that it got instead."""


@contextmanager
def another_site(html: str) -> Iterator[str]:
    """Serve a page from another origin; yield its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
