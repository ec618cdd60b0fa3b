"""HTTP on a real loopback socket: health, readiness, metrics; read only, hardened, off the event loop."""

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from watched_desk import Clock, WatchedDesk, group

from monitor.errors import ConfigError
from monitor.observe.http import serve
from monitor.observe.metrics import Exporter
from monitor.observe.readiness import Readiness

HOST = "127.0.0.1"
RATE = "shadow_monitor_event_rate_per_second"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return group(tmp_path_factory.mktemp("desk"))


@asynccontextmanager
async def served(exporter, readiness):
    """The address, while the server runs on any free port."""
    address = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(HOST, 0, exporter, readiness, bound=address.set_result))
    try:
        done, _ = await asyncio.wait({server, address}, return_when=asyncio.FIRST_COMPLETED)
        if server in done:
            server.result()
        yield await address
    finally:
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server


def rated(desk):
    """Whether its rows have come as far as the metrics."""
    return RATE in {family.name for family in desk.exporter.page()}


async def test_it_turns_ready_with_a_real_task_and_shows_what_that_does(made):
    desk = WatchedDesk(made, Clock())
    desk.stream(events=500, symbols=5)
    async with served(desk.exporter, desk.readiness) as url, aiohttp.ClientSession(url) as http:

        async def ready():
            async with http.get("/readyz") as answer:
                body = await answer.json()
                assert body["ready"] == (answer.status == 200) == (body["reasons"] == [])
                return answer.status, body["reasons"]

        assert await ready() == (503, ["no partitions have been assigned yet"])
        desk.exporter.assigned({0})
        assert await ready() == (503, ["task 0: its state is not restored"])
        await desk.run(lambda: rated(desk) and not desk.readiness.reasons())
        assert await ready() == (200, [])
        async with http.get("/metrics") as answer:
            assert answer.status == 200
            assert answer.content_type == "text/plain"
            page = {f.name: f for f in text_string_to_metric_families(await answer.text())}
        assert page["shadow_monitor_ready"].samples[0].value == 1
        assert {s.labels["stream"] for s in page[RATE].samples} == {"features"}
        desk.exporter.lost(0)
        assert (await ready())[0] == 503
        async with http.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"alive": True})


async def test_nothing_can_be_written_and_no_body_is_read(made):
    readiness = Readiness()
    async with served(Exporter(made, readiness), readiness) as url, aiohttp.ClientSession(url) as http:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            async with http.request(method, "/metrics") as answer:
                assert answer.status == 405
        async with http.get("/healthz", data=b"x" * 100) as answer:
            assert answer.status == 413
        async with http.get("/elsewhere") as answer:
            assert answer.status == 404
        async with http.head("/readyz") as answer:
            assert (answer.status, await answer.read()) == (503, b"")


async def test_a_request_line_or_header_without_end_is_refused(made):
    readiness = Readiness()
    async with served(Exporter(made, readiness), readiness) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/metrics?" + "x" * 5000) as answer:
            assert answer.status == 400
        async with http.get("/metrics", headers={"X-Long": "x" * 5000}) as answer:
            assert answer.status == 400


async def test_every_answer_carries_the_security_headers(made):
    readiness = Readiness()
    async with served(Exporter(made, readiness), readiness) as url, aiohttp.ClientSession(url) as http:
        for path in ("/metrics", "/healthz", "/readyz", "/elsewhere"):
            async with http.get(path) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Frame-Options"] == "DENY"
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["Server"] == "shadow-monitor"


async def test_a_page_is_rendered_beside_the_event_loop(made):
    threads = []

    class Slow(Exporter):
        def render(self, accept=""):
            threads.append(threading.current_thread())
            time.sleep(0.5)
            return super().render(accept)

    readiness = Readiness()
    async with served(Slow(made, readiness), readiness) as url, aiohttp.ClientSession(url) as http:
        scrapes = [asyncio.create_task(http.get("/metrics")) for _ in range(2)]
        await asyncio.sleep(0.1)
        began = time.perf_counter()
        async with http.get("/healthz") as answer:
            assert answer.status == 200
        assert time.perf_counter() - began < 0.35
        for scrape in scrapes:
            assert (await scrape).status == 200
    assert threading.main_thread() not in threads
    assert len(set(threads)) == 1


async def test_an_address_in_use_names_the_key_and_the_remedy(made):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port, readiness = taken.getsockname()[1], Readiness()
        with pytest.raises(
            ConfigError, match=rf"http\.port: cannot listen on http://{HOST}:{port}.*Remedy: "
        ):
            await serve(HOST, port, Exporter(made, readiness), readiness)


async def test_an_address_of_another_machine_names_the_host(made):
    readiness = Readiness()
    with pytest.raises(ConfigError, match=r"http\.host: cannot listen on .*Remedy: "):
        await serve("192.0.2.1", 0, Exporter(made, readiness), readiness)


async def test_it_ends_at_once_although_a_scraper_keeps_its_connection(made):
    readiness = Readiness()
    async with aiohttp.ClientSession() as http:
        async with served(Exporter(made, readiness), readiness) as url:
            async with http.get(f"{url}/healthz") as answer:
                await answer.read()
            began = time.perf_counter()
        assert time.perf_counter() - began < 2
