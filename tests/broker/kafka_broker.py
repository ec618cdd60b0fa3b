"""A real Apache Kafka on this machine: one KRaft node, started in a few seconds, gone when stopped.

Tests use it through the `kafka` fixture; by hand: `python tests/broker/kafka_broker.py --port 9092`.
Needs Java 17 or newer and, the first time, Maven; the libraries are cached by the hash of `pom.xml`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

POM = Path(__file__).with_name("pom.xml")
START_TIMEOUT_S = 60.0
CLUSTER_ID = "c2hhZG93LW1vbml0b3ItdA"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Shorter than a production broker allows, so that tests of timeouts and restarts take seconds.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
"""

LOGGING = """\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


class BrokerError(Exception):
    """The broker cannot be had; says what is missing or shows the end of its log."""


def libraries() -> Path:
    """Directory with Kafka's jars, fetched by Maven once for each version of `pom.xml`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadow-monitor"
    libs = cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"
    if libs.is_dir():
        return libs
    if shutil.which("mvn") is None:
        raise BrokerError("Maven (mvn) is missing; install it, or name a broker in KAFKA_BOOTSTRAP_SERVERS")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        fresh = Path(work) / "libs"
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"Maven could not fetch Kafka:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        # Two sessions may fetch at once: the first to rename wins, the other's copy is dropped.
        with contextlib.suppress(OSError):
            fresh.rename(libs)
    if not libs.is_dir():
        raise BrokerError(f"Kafka's libraries could not be kept in {libs}")
    return libs


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker:
    """One Kafka node with its data in `home`; can be stopped or killed and started again on its port."""

    def __init__(self, home: Path, port: int | None = None) -> None:
        if shutil.which("java") is None:
            raise BrokerError("Java 17+ is missing; install it, or name a broker in KAFKA_BOOTSTRAP_SERVERS")
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._home = home
        self._properties = home / "server.properties"
        self._classpath = f"{libraries()}/*"
        self._process: subprocess.Popen[bytes] | None = None
        data = home / "data"
        text = PROPERTIES.format(port=self.port, controller=free_port(), data=data)
        self._properties.write_text(text)
        (home / "log4j2.properties").write_text(LOGGING)
        self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties))

    def start(self) -> None:
        """Start, and wait until the broker answers a metadata request."""
        with (self._home / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._properties)),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self._listens() and self._answers()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = (self._home / "broker.log").read_text(errors="replace")[-3000:]
                raise BrokerError(f"Kafka did not start on {self.bootstrap}:\n{tail}")
            time.sleep(0.1)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def _answers(self) -> bool:
        # In a thread of its own, so that an event loop may be running here.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _metadata(self.bootstrap)).result()

    def stop(self) -> None:
        """Shut down in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _command(self, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._home / 'log4j2.properties'}"
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", logging]
        return ["java", *options, "-cp", self._classpath, *arguments]

    def _java(self, *arguments: str) -> None:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


async def _metadata(bootstrap: str) -> bool:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except KafkaError:
        return False
    finally:
        await client.close()


@contextlib.contextmanager
def running_broker(port: int | None = None) -> Iterator[Broker]:
    """A started broker with its data in a temporary directory; killed and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="shadow-monitor-kafka-") as home:
        broker = Broker(Path(home), port)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a one-node Apache Kafka until interrupted.")
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_broker(arguments.port) as broker:
        print(f"Kafka listens on {broker.bootstrap}; Ctrl-C stops it and removes its data.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
