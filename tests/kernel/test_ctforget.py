import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from netns import Namespace, namespace
from tortie.kernel import ctnetlink, nft
from tortie.kernel.ctforget import forget

pytestmark = pytest.mark.root


@pytest.fixture
def tracked() -> Iterator[Namespace]:
    with namespace() as made, made.entered():
        nft.run("table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }")
        yield made


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.usefixtures("tracked")
def test_connections_of_every_form_are_forgotten_and_only_those(opened: ExitStack) -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for port in (53, 54):
            client = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            client.sendto(b"?", (address, port))
    raw = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, 253))
    raw.sendto(b"x", ("127.0.0.1", 0))
    echo = opened.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58))
    echo.sendto(struct.pack(">BBHHH", 128, 0, 0, 7, 1), ("::1", 0))
    found = [entry for entry in ctnetlink.read_entries() if entry.original.destination_port != 54]
    assert {entry.original.protocol for entry in found} >= {17, 253, 58}
    assert forget(found) == len(found)
    left = ctnetlink.read_entries()
    assert {entry.original.destination_port for entry in left if entry.original.protocol == 17} == {54}
    assert not {253, 58} & {entry.original.protocol for entry in left}
    assert forget(found) == 0


@pytest.mark.usefixtures("tracked")
def test_more_than_one_batch_is_forgotten_and_an_entry_of_another_zone_too(opened: ExitStack) -> None:
    nft.run("table inet z { chain c { type filter hook output priority raw; udp dport 99 ct zone set 7; }; }")
    client = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for number in range(250):
        client.sendto(b"?", (f"127.1.0.{number}", 53))
    client.sendto(b"?", ("127.1.0.1", 99))
    found = [entry for entry in ctnetlink.read_entries() if entry.original.protocol == 17]
    assert len(found) == 251
    assert forget(found) == 251
    assert not [entry for entry in ctnetlink.read_entries() if entry.original.protocol == 17]
