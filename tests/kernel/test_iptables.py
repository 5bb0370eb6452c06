"""The doors to iptables and ipset: what is not installed, and what they say, as errors with a remedy."""

import errno
from pathlib import Path

import pytest

from tortie.kernel import ipset, iptables
from tortie.kernel.errors import KernelError, code_said


def test_what_is_not_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert iptables.missing(iptables.NFT)[:2] == ("iptables-nft-save", "iptables-nft-restore")
    assert iptables.default_variant() is None
    for call, package in (
        (lambda: iptables.save(iptables.NFT, 4), "iptables"),
        (lambda: iptables.restore(iptables.LEGACY, 6, ""), "iptables"),
        (ipset.save, "ipset"),
    ):
        with pytest.raises(KernelError, match=f"install the package {package}") as caught:
            call()
        assert caught.value.code == errno.ENOENT


def test_what_a_program_says_is_told_with_the_line_that_it_means(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "ip6tables-restore v1.8.9 (legacy): Set missing doesn't exist.\\nError occurred at line: 2\\n"
    program = tmp_path / "ip6tables-legacy-restore"
    program.write_text(f'#!/bin/sh\ncat > /dev/null\nprintf "{said}" >&2\nexit 2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(KernelError) as caught:
        iptables.restore(iptables.LEGACY, 6, "*raw\n-A X -j ACCEPT\nCOMMIT\n")
    assert str(caught.value) == (
        "iptables: change iptables-legacy, IPv6: Set missing doesn't exist. Error occurred at line: 2: -A X -j ACCEPT"
    )


def test_an_errno_is_known_by_its_words() -> None:
    assert code_said("nft: Could not process rule: No such file or directory") == errno.ENOENT
    assert code_said("nothing of the kind") == 0


@pytest.mark.parametrize("version", iptables.versions())
def test_legacy_tables_are_asked_for_without_making_any(version: int) -> None:
    found = iptables.legacy_tables(version)
    assert found is None or set(found) <= {"raw", "mangle", "nat", "filter", "security"}
    assert iptables.legacy_tables(version) == found
