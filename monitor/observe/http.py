"""HTTP: `/metrics`, `/healthz`, `/readyz`. Reads what it is given; nothing can be written through it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.errors import ConfigError, Problem
from monitor.observe.metrics import Exporter
from monitor.observe.readiness import Readiness

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "shadow-monitor",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

LINE_LIMIT = 4096
"""Bytes of a request line, and of a header."""

HEADERS_LIMIT = 64
KEEPALIVE_S = 75.0
"""Longer than a common scrape interval, so that a scraper keeps its connection."""

SHUTDOWN_S = 0.5
"""How long the end of the daemon waits for requests under way."""


async def serve(
    host: str,
    port: int,
    exporter: Exporter,
    readiness: Readiness,
    *,
    bound: Callable[[str], object] = lambda url: None,
) -> None:
    """Listen until cancelled.

    Args:
        port: 0: any free port.
        bound: told the address, `http://host:port`, once requests are answered.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    # One thread: scrapes queue up behind each other, never beside the event loop's work.
    with ThreadPoolExecutor(1, thread_name_prefix="metrics") as renderer:
        runner = web.AppRunner(
            application(exporter, readiness, renderer),
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=0,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=HEADERS_LIMIT,
            shutdown_timeout=SHUTDOWN_S,
        )
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise _unusable(host, port, error) from error
            bound(_url(host, runner.addresses[0][1]))
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def application(exporter: Exporter, readiness: Readiness, renderer: ThreadPoolExecutor) -> web.Application:
    """The routes; `renderer` makes the metrics page."""

    async def metrics(request: web.Request) -> web.Response:
        render = partial(exporter.render, request.headers.get("Accept", ""))
        body, content_type = await asyncio.get_running_loop().run_in_executor(renderer, render)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return _json(200, {"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = readiness.reasons()
        return _json(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    app = web.Application(middlewares=[_refuse_bodies])
    app.on_response_prepare.append(_secure)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


@web.middleware
async def _refuse_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.body_exists:
        response = web.Response(status=413, text="no request body is read here\n")
        response.force_close()
        return response
    return await handler(request)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body) + b"\n", content_type="application/json")


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    where, why = _url(host, port), error.strerror or str(error)
    key, remedy = "http.host", "Set an address of this machine, such as 127.0.0.1."
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        key, remedy = "http.port", "End what listens there, or set another port (0: any free one)."
    return ConfigError([Problem("configuration", key, f"cannot listen on {where}: {why}.", remedy)])
