"""What this kernel and these privileges can do, found by trying; nothing is attached anywhere and nothing stays.

Each missing feature has a sentence that says what it means and what to do.
"""

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tortie.kernel._bpf import lib

# Source: linux/bpf.h, enum bpf_prog_type, bpf_map_type, bpf_func_id, BPF_F_XDP_HAS_FRAGS, enum bpf_attach_type.
_SCHED_CLS, _XDP = 3, 6
_RINGBUF = 27
_XDP_ADJUST_META = 54
_XDP_HAS_FRAGS = 1 << 5
_TCX_INGRESS = 46
# No namespace has so many interfaces: attaching there tells whether the kernel knows the hook, and attaches nothing.
_NO_INTERFACE = 0x7FFFFFFE

# Source: linux/capability.h.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing that is there or not; `lack` says what its absence means and what to do."""

    name: str
    is_present: bool
    is_required: bool
    lack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What was found. `features` in the order in which an operator should care."""

    release: str
    is_root: bool
    features: tuple[Feature, ...]

    def has(self, name: str) -> bool:
        """Whether a feature is there. Raises: KeyError for a name that is not probed."""
        for feature in self.features:
            if feature.name == name:
                return feature.is_present
        raise KeyError(name)

    @property
    def missing_required(self) -> tuple[str, ...]:
        """Sentences about what is missing and must not be.

        Without privileges that alone: what the kernel refuses then says nothing about the kernel.
        """
        missing = [feature for feature in self.features if feature.is_required and not feature.is_present]
        unprivileged = [feature for feature in missing if feature.name == "privileges"]
        return tuple(feature.lack for feature in unprivileged or missing)

    @property
    def missing_optional(self) -> tuple[str, ...]:
        """Sentences about what is missing and only makes things worse."""
        return tuple(feature.lack for feature in self.features if not (feature.is_required or feature.is_present))


def probe() -> Features:
    """What the kernel and the privileges of this process can do now."""
    release = os.uname().release
    held = capabilities()
    absent = [name for name in ("CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON") if name not in held]
    # Before Linux 5.8, and for mounting a bpffs ever since, CAP_SYS_ADMIN is the one that counts.
    may_bpf = "CAP_NET_ADMIN" in held and ("CAP_SYS_ADMIN" in held or not absent)
    program = lib.tortie_probe_program(_XDP, 0)
    is_bpf_there = program != -errno.ENOSYS
    is_loadable = program == 0
    found = (
        _required(
            "privileges",
            may_bpf,
            f"this process lacks {', '.join(absent) or 'CAP_SYS_ADMIN'}: run as root, or give it these capabilities",
        ),
        _required("kernel", _version(release) >= (5, 10), f"Linux {release} is too old: tortie needs 5.10 or newer"),
        _required("bpf", is_bpf_there, "the kernel has no bpf(2): it needs CONFIG_BPF_SYSCALL"),
        _required(
            "xdp",
            is_loadable,
            f"the kernel refuses an XDP program ({errno.errorcode.get(-program, program)}): "
            "check privileges, CONFIG_BPF_JIT and kernel lockdown",
        ),
        # A link to XDP cannot be tried without an interface; Linux 5.9 brought it, so 5.10 has it.
        _required(
            "xdp-link", is_loadable and _version(release) >= (5, 9), "XDP links need Linux 5.9: update the kernel"
        ),
        _required(
            "tc", lib.tortie_probe_program(_SCHED_CLS, 0) == 0, "the kernel refuses a tc program: check privileges"
        ),
        _required(
            "ringbuf",
            lib.tortie_probe_map(_RINGBUF) == 1,
            "BPF ring buffers need Linux 5.8 and CAP_BPF: update the kernel",
        ),
        _required(
            "xdp-metadata",
            lib.tortie_probe_helper(_XDP, _XDP_ADJUST_META) == 1,
            "XDP metadata needs Linux 4.15: accepted packets could not bypass connection tracking",
        ),
        _required(
            "bpffs",
            _has_filesystem("bpf"),
            "the kernel has no bpffs: enforcement would end with the agent; it needs CONFIG_BPF_SYSCALL",
        ),
        _required("nft", shutil.which("nft") is not None, "nft is not installed: install the package nftables"),
        _required("ip", shutil.which("ip") is not None, "ip is not installed: install the package iproute2"),
        _optional(
            "tcx",
            lib.tortie_probe_attach(_SCHED_CLS, _TCX_INGRESS, _NO_INTERFACE) == -errno.ENODEV,
            "tcx needs Linux 6.6: programs of tc are attached through clsact, which others may remove",
        ),
        _optional(
            "xdp-frags",
            lib.tortie_probe_program(_XDP, _XDP_HAS_FRAGS) == 0,
            "XDP on packets of several buffers needs Linux 5.18: interfaces with a large MTU decide in tc",
        ),
        _optional(
            "nft-fragments",
            _version(release) >= (5, 18),
            "before Linux 5.18 nft may take a fragment's payload for ports: egress is checked for fragments first",
        ),
        _optional(
            "btf",
            Path("/sys/kernel/btf/vmlinux").exists(),
            "the kernel has no BTF: rebuild it with CONFIG_DEBUG_INFO_BTF",
        ),
    )
    return Features(release=release, is_root=os.geteuid() == 0, features=found)


def may_administer() -> bool:
    """Whether this process may change interfaces and packet filters (CAP_NET_ADMIN)."""
    return "CAP_NET_ADMIN" in capabilities()


def _required(name: str, is_present: bool, lack: str) -> Feature:
    return Feature(name=name, is_present=is_present, is_required=True, lack=lack)


def _optional(name: str, is_present: bool, lack: str) -> Feature:
    return Feature(name=name, is_present=is_present, is_required=False, lack=lack)


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def capabilities() -> frozenset[str]:
    """Names of the capabilities in effect, of those that matter here."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.M)
    bits = int(found[1], 16) if found else 0
    return frozenset(name for name, bit in _CAPABILITIES.items() if bits >> bit & 1)


def _has_filesystem(name: str) -> bool:
    return any(line.split()[-1:] == [name] for line in Path("/proc/filesystems").read_text().splitlines())
