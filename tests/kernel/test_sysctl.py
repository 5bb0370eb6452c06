import threading
from pathlib import Path

import pytest

from netns import Namespace, namespace
from tortie.kernel import sysctl
from tortie.kernel.errors import KernelError


def forwarding(interface: str) -> int | None:
    return sysctl.read_integer("net", "ipv4", "conf", interface, "forwarding")


def test_an_integer_is_read() -> None:
    assert (sysctl.read_integer("kernel", "pid_max") or 0) > 300


@pytest.mark.parametrize("parts", [("net", "nothing"), ("kernel", "pid_max", "deeper"), ("a\udc80b",)])
def test_a_setting_that_is_not_there_is_none(parts: tuple[str, ...]) -> None:
    assert sysctl.read_integer(*parts) is None


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/", "/etc", "../../etc", "a\0b"])
def test_a_part_that_could_lead_elsewhere_is_refused(part: str) -> None:
    with pytest.raises(KernelError, match=r"EINVAL .*each part is the name of one file"):
        sysctl.read_integer("net", part, "forwarding")


def test_no_parts_are_refused() -> None:
    with pytest.raises(KernelError, match="EINVAL"):
        sysctl.read_integer()


@pytest.mark.parametrize(("parts", "code"), [(("kernel", "ostype"), "EBADMSG"), (("kernel",), "EISDIR")])
def test_what_is_no_integer_is_an_error_that_names_it(parts: tuple[str, ...], code: str) -> None:
    with pytest.raises(KernelError, match=f"^sysctl: read {' '.join(parts)}: {code} "):
        sysctl.read_integer(*parts)


@pytest.mark.root
def test_an_interface_with_dots_in_its_name_has_its_own_settings() -> None:
    with namespace() as one:
        one.run("ip", "link", "add", "v0.7.x", "type", "veth", "peer", "name", "w0")
        with one.entered():
            Path("/proc/sys/net/ipv4/conf/v0.7.x/forwarding").write_text("1")
            assert [forwarding("v0.7.x"), forwarding("lo")] == [1, 0]
    assert forwarding("v0.7.x") is None


@pytest.mark.root
def test_a_setting_that_is_written_is_read() -> None:
    with namespace() as one, one.entered():
        sysctl.write_integer(1, "net", "ipv4", "conf", "lo", "forwarding")
        assert forwarding("lo") == 1
        with pytest.raises(KernelError, match="write net nothing: ENOENT"):
            sysctl.write_integer(1, "net", "nothing")


@pytest.mark.root
def test_each_thread_reads_the_settings_of_its_own_namespace_at_the_same_time() -> None:
    setting = ("net", "netfilter", "nf_conntrack_tcp_timeout_time_wait")
    together = threading.Barrier(2, timeout=10)
    found: dict[str, set[int | None]] = {}

    def read(one: Namespace) -> None:
        with one.entered():
            together.wait()
            found[one.name] = {sysctl.read_integer(*setting) for _ in range(2000)}

    with namespace() as one, namespace() as two:
        # Connection tracking may come as a module only with its first rule.
        for at, value in ((one, 33), (two, 44)):
            at.run("nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }")
            at.run("nft", "add rule ip t c ct state new accept")
            with at.entered():
                Path("/proc/sys", *setting).write_text(str(value))
        threads = [threading.Thread(target=read, args=(at,)) for at in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == {one.name: {33}, two.name: {44}}
