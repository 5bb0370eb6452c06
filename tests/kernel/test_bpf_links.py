import os
import subprocess
import sys
from pathlib import Path

import pytest

from netns import Namespace
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

pytestmark = pytest.mark.root
PRIVATELY = ("unshare", "--mount", "--propagation", "private")
"""iproute2 that loads an object mounts a bpffs where it finds none, and leaves it."""
Pair = tuple[Namespace, Namespace]

PING = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
    s.settimeout(0.5)
    head = bytes([8, 0, 0, 0, 0, 1, 0, 1])
    s.sendto(bytes([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]), (sys.argv[1], 0))
    try:
        while s.recv(100)[20] != 0:
            pass
        print("answered")
    except TimeoutError:
        print("silence")
"""


def reaches(source: Namespace, target: Namespace) -> bool:
    return source.run("python3", "-c", PING, target.address) == "answered\n"


def test_an_xdp_link_decides_until_it_is_updated_and_closed(loaded: bpf.ObjectFile, pair: Pair) -> None:
    host, peer = pair
    assert reaches(peer, host)
    with host.entered():
        index = host.ifindex
        link = bpf.attach_xdp(loaded.program_fd("drop"), index)
        dropping, counting = (bpf.program_info(loaded.program_fd(name)).id for name in ("drop", "count"))
        assert bpf.xdp_query(index) == (dropping, bpf.XdpMode.NATIVE)
        found = bpf.link_info(link)
        assert (found.type, found.program_id, found.ifindex) == (bpf.LINK_XDP, dropping, index)
        assert found.id in list(bpf.link_ids())
        assert not reaches(peer, host)
        bpf.link_update(link, loaded.program_fd("count"))
        assert bpf.link_info(link).program_id == counting
        assert reaches(peer, host)
        os.close(link)
        assert bpf.xdp_query(index) == (0, bpf.XdpMode.NONE)
    assert bpf.sum_counters(loaded.map_fd("counts"))[2] > 0


def test_a_pinned_link_stays_without_its_process_and_is_found_again(
    loaded: bpf.ObjectFile, pair: Pair, bpffs: Path
) -> None:
    host, peer = pair
    with host.entered():
        index = host.ifindex
        with bpf.borrowed(bpf.attach_xdp(loaded.program_fd("drop"), index)) as link:
            bpf.pin(link, bpffs / "link")
        loaded.close()
        assert bpf.xdp_query(index)[1] is bpf.XdpMode.NATIVE
        assert not reaches(peer, host)
        with bpf.borrowed(bpf.open_pin(bpffs / "link")) as again:
            by_id = bpf.link_by_id(bpf.link_info(again).id)
            with bpf.borrowed(by_id):
                assert bpf.link_info(by_id) == bpf.link_info(again)
            bpf.detach(again)
            assert bpf.link_info(again).ifindex == 0
        assert bpf.xdp_query(index)[0] == 0
        (bpffs / "link").unlink()
        assert reaches(peer, host)


def test_a_link_whose_interface_is_gone_says_so(loaded: bpf.ObjectFile, pair: Pair) -> None:
    host, _ = pair
    with host.entered(), bpf.borrowed(bpf.attach_xdp(loaded.program_fd("drop"), host.ifindex)) as link:
        host.run("ip", "link", "delete", host.interface)
        assert bpf.link_info(link).ifindex == 0


def test_a_foreign_xdp_program_is_left_alone_and_named(
    loaded: bpf.ObjectFile, fixture_object: Path, pair: Pair
) -> None:
    host, _ = pair
    load = ("xdp", "object", fixture_object, "program", "switchable")
    host.run(*PRIVATELY, "ip", "link", "set", "dev", host.interface, *load)
    with host.entered():
        before = bpf.xdp_query(host.ifindex)
        with pytest.raises(
            KernelError, match=r"attach XDP to interface .*: EBUSY .*XDP program 'switchable'"
        ) as caught:
            bpf.attach_xdp(loaded.program_fd("drop"), host.ifindex)
        assert caught.value.code == 16
        assert bpf.xdp_query(host.ifindex) == before


def test_attaching_to_an_interface_that_is_gone_or_with_a_wrong_program_fails(
    loaded: bpf.ObjectFile, pair: Pair
) -> None:
    host, _ = pair
    with host.entered():
        with pytest.raises(KernelError, match=r"attach XDP to interface 99999: ENODEV"):
            bpf.attach_xdp(loaded.program_fd("drop"), 99999)
        with pytest.raises(KernelError, match=r"attach XDP"):
            bpf.attach_xdp(loaded.program_fd("shoot"), host.ifindex)
        assert bpf.xdp_query(host.ifindex)[0] == 0


def test_generic_mode_is_told_apart(loaded: bpf.ObjectFile, pair: Pair) -> None:
    host, _ = pair
    with (
        host.entered(),
        bpf.borrowed(bpf.attach_xdp(loaded.program_fd("drop"), host.ifindex, bpf.SKB_MODE)),
    ):
        assert bpf.xdp_query(host.ifindex)[1] is bpf.XdpMode.GENERIC


@pytest.mark.parametrize("hook", bpf.Hook)
def test_a_tcx_link_decides_in_its_direction(loaded: bpf.ObjectFile, pair: Pair, hook: bpf.Hook) -> None:
    host, peer = pair
    with host.entered():
        with bpf.borrowed(bpf.attach_tcx(loaded.program_fd("shoot"), host.ifindex, hook)) as link:
            found = bpf.link_info(link)
            assert (found.type, found.ifindex) == (bpf.LINK_TCX, host.ifindex)
            assert found.program_id == bpf.program_info(loaded.program_fd("shoot")).id
            assert found.attach_type == hook.value[1]
            assert not reaches(peer, host)
        assert reaches(peer, host)


def test_a_later_tcx_link_stands_in_front(loaded: bpf.ObjectFile, pair: Pair) -> None:
    host, peer = pair
    with (
        host.entered(),
        bpf.borrowed(bpf.attach_tcx(loaded.program_fd("shoot"), host.ifindex, bpf.Hook.INGRESS)),
        bpf.borrowed(bpf.attach_tcx(loaded.program_fd("mark"), host.ifindex, bpf.Hook.INGRESS)),
    ):
        # `mark` answers the mark that it found, 0: TC_ACT_OK, so `shoot` behind it never runs.
        assert reaches(peer, host)


def test_a_clsact_filter_has_its_own_place_and_leaves_foreign_ones(
    loaded: bpf.ObjectFile, fixture_object: Path, pair: Pair
) -> None:
    host, peer = pair
    with host.entered():
        place = bpf.Filter(ifindex=host.ifindex, hook=bpf.Hook.INGRESS, priority=7, handle=0x70)
        assert bpf.query_filter(place) is None
        assert bpf.detach_filter(place) is False
        bpf.create_clsact(place.ifindex)
        bpf.create_clsact(place.ifindex)
        host.run(
            *PRIVATELY,
            *("tc", "filter", "add", "dev", host.interface, "ingress", "pref", "9", "handle", "1"),
            *("bpf", "da", "obj", fixture_object, "sec", "tc"),
        )
        bpf.attach_filter(place, loaded.program_fd("shoot"))
        assert bpf.query_filter(place) == bpf.program_info(loaded.program_fd("shoot")).id
        assert not reaches(peer, host)
        with pytest.raises(KernelError, match=r"attach tc ingress filter pref 7 handle 112 .*EEXIST"):
            bpf.attach_filter(place, loaded.program_fd("mark"))
        bpf.attach_filter(place, loaded.program_fd("mark"), replace=True)
        assert bpf.query_filter(place) == bpf.program_info(loaded.program_fd("mark")).id
        assert reaches(peer, host)
        assert bpf.detach_filter(place) is True
        assert bpf.query_filter(place) is None
        listed = host.run("tc", "filter", "show", "dev", host.interface, "ingress")
        assert "pref 9" in listed
        assert "pref 7" not in listed
        bpf.delete_clsact(place.ifindex)
        assert "clsact" not in host.run("tc", "qdisc", "show", "dev", host.interface)


def test_an_unpinned_link_goes_with_its_process(fixture_object: Path, pair: Pair) -> None:
    host, _ = pair
    script = (
        "import sys, time; from pathlib import Path; from tortie.kernel import bpf\n"
        "o = bpf.ObjectFile(Path(sys.argv[1])); o.load()\n"
        "link = bpf.attach_xdp(o.program_fd('drop'), int(sys.argv[2])); print('attached', flush=True); time.sleep(60)"
    )
    with host.entered():
        child = host.popen(
            sys.executable, "-c", script, fixture_object, str(host.ifindex), stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "attached\n"
        assert bpf.xdp_query(host.ifindex)[0] != 0
        child.kill()
        child.wait(10)
        assert bpf.xdp_query(host.ifindex)[0] == 0
