import pytest

from netns import Namespace, namespace
from tortie.kernel import netns
from tortie.kernel.errors import KernelError
from tortie.kernel.netlink import interface_toward, lead_everywhere, read_interfaces

pytestmark = pytest.mark.root


def test_a_namespace_has_its_own_cookie_which_stays() -> None:
    before = netns.cookie()
    with namespace() as one, namespace() as two:
        with one.entered():
            first = netns.cookie()
            assert netns.cookie() == first
        with two.entered():
            second = netns.cookie()
    assert len({before, first, second}) == 3


def test_entering_ends_with_the_block_even_after_an_exception() -> None:
    before = netns.inode()
    with namespace() as one:
        with pytest.raises(RuntimeError), one.entered():
            assert netns.inode() == one.path.stat().st_ino
            raise RuntimeError
        assert netns.inode() == before


def test_a_fresh_namespace_is_left_and_gone_with_the_block() -> None:
    before = netns.inode()
    with netns.fresh():
        inside = netns.inode()
        assert [one.name for one in read_interfaces()] == ["lo"]
    assert netns.inode() == before != inside


def test_a_fresh_namespace_is_given_routes_to_everywhere() -> None:
    with netns.fresh():
        assert interface_toward("192.0.2.1") is None
        lead_everywhere()
        assert {interface_toward("192.0.2.1"), interface_toward("2001:db8::1")} == {"out"}
        with pytest.raises(KernelError, match="ip link add out"):
            lead_everywhere()


def test_entering_a_namespace_that_is_not_there_names_it() -> None:
    with namespace() as one:
        path = one.path
    with pytest.raises(KernelError, match=f"enter {path}: ENOENT"), netns.entered(path):
        pass


def test_the_two_ends_of_a_pair_reach_each_other(pair: tuple[Namespace, Namespace]) -> None:
    host, peer = pair
    assert host.ifindex > 1
    for target in (host.address, host.address6):
        server = host.popen(
            "python3",
            "-c",
            "import socket,sys; s=socket.create_server((sys.argv[1], 7), family=socket.AF_INET6 if ':' in sys.argv[1] "
            "else socket.AF_INET); print('up', flush=True); s.accept()[0].sendall(b'answer')",
            target,
            stdout=-1,
            text=True,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        asked = "import socket,sys; print(socket.create_connection((sys.argv[1], 7), 5).recv(9).decode())"
        assert peer.run("python3", "-c", asked, target) == "answer\n"
