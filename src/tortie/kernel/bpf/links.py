"""Where programs sit: links of XDP and tcx, and classic tc filters where the kernel has no tcx (before Linux 6.6).

Interfaces are those of the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from tortie.kernel import tc
from tortie.kernel._bpf import ffi, lib
from tortie.kernel.bpf.calls import DOOR, checked, clear_log, log, walk
from tortie.kernel.bpf.programs import borrowed, program_by_id, program_info
from tortie.kernel.errors import KernelError

if TYPE_CHECKING:
    from tortie.kernel._bpf import Tc

# Source: linux/if_link.h XDP_FLAGS_*; linux/bpf.h enum bpf_attach_type, enum bpf_link_type, BPF_F_BEFORE.
SKB_MODE, DRV_MODE = 1 << 1, 1 << 2
LINK_XDP, LINK_TCX = 6, 11
_ATTACH_XDP, _ATTACH_TCX_INGRESS, _ATTACH_TCX_EGRESS = 37, 46, 47
_FIRST = 1 << 3


class Hook(Enum):
    """A side of tc. Values: clsact's attach point, tcx's attach type."""

    INGRESS = (1, _ATTACH_TCX_INGRESS)
    EGRESS = (2, _ATTACH_TCX_EGRESS)


class XdpMode(IntEnum):
    """How an interface runs its XDP program. Source: linux/if_link.h XDP_ATTACHED_*."""

    NONE = 0
    NATIVE = 1
    GENERIC = 2
    OFFLOADED = 3
    SEVERAL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """What the kernel says about a link. For XDP and tcx: the interface, 0 once it is gone, and the attach type."""

    id: int
    type: int
    program_id: int
    ifindex: int
    attach_type: int


def attach_xdp(program_fd: int, ifindex: int, flags: int = DRV_MODE) -> int:
    """Descriptor of a new XDP link; the program goes with the last descriptor and pin of it.

    Raises: KernelError EBUSY where another program sits; EOPNOTSUPP where the driver has no such mode.
    """
    made = lib.tortie_link_create(program_fd, ifindex, _ATTACH_XDP, flags)
    if made >= 0:
        return made
    code = -made
    if code == errno.EINVAL and not _name(ifindex):  # the kernel's word for an interface that is gone, here only
        code = errno.ENODEV
    raise KernelError(DOOR, f"attach XDP to interface {ifindex}", code, _why_no_xdp(code, ifindex))


def _name(ifindex: int) -> str:
    """The interface's name; empty where it is gone."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return ""


def _why_no_xdp(code: int, ifindex: int) -> str:
    match code:
        case errno.EBUSY | errno.EEXIST:
            return f"{_occupant(ifindex)} is there; remove it with `ip link set dev IF xdp off` or its owner's tool"
        case errno.EOPNOTSUPP:
            return "the driver has no native XDP; tc works everywhere"
        case errno.EINVAL | errno.ERANGE | errno.EMSGSIZE:
            return "the driver refused: MTU, ring or channel settings do not allow XDP"
        case errno.ENODEV:
            return "the interface is gone"
        case errno.EPERM:
            return "run as root, or give the process CAP_BPF and CAP_NET_ADMIN"
        case _:
            return ""


def _occupant(ifindex: int) -> str:
    """Words for the program that holds an interface's XDP hook; only for a message, so it never fails."""
    try:
        program_id, _ = xdp_query(ifindex)
        with borrowed(program_by_id(program_id)) as fd:
            return f"XDP program {program_info(fd).name!r} (id {program_id})"
    except KernelError:
        return "another XDP program"


def attach_tcx(program_fd: int, ifindex: int, hook: Hook) -> int:
    """Descriptor of a new tcx link, in front of all programs there. Raises: KernelError EINVAL before Linux 6.6."""
    made = lib.tortie_link_create(program_fd, ifindex, hook.value[1], _FIRST)
    remedy = "the kernel has no tcx (Linux 6.6): use clsact" if made == -errno.EINVAL else ""
    return checked(made, f"attach tcx {hook.name.lower()} to interface {ifindex}", remedy)


def link_update(link_fd: int, program_fd: int) -> None:
    """Put another program in a link's place; no packet passes between the two."""
    checked(lib.bpf_link_update(link_fd, program_fd, ffi.NULL), f"update link descriptor {link_fd}")


def link_info(fd: int) -> LinkInfo:
    """What the kernel says about a link."""
    out = ffi.new("struct tortie_link_info *")
    checked(lib.tortie_link_info(fd, out), f"link descriptor {fd}")
    return LinkInfo(
        id=out.id, type=out.type, program_id=out.program_id, ifindex=out.ifindex, attach_type=out.attach_type
    )


def link_ids() -> Iterator[int]:
    """Ids of all links in the kernel, those of other network namespaces too."""
    return walk(lib.bpf_link_get_next_id, "links")


def link_by_id(link_id: int) -> int:
    """Descriptor of a link in the kernel, which the caller closes."""
    return checked(lib.bpf_link_get_fd_by_id(link_id), f"link id {link_id}")


def detach(link_fd: int) -> None:
    """Take a link's program off its hook, pinned or not. The dead link's pin remains, to be unlinked."""
    checked(lib.bpf_link_detach(link_fd), f"detach link descriptor {link_fd}")


def xdp_query(ifindex: int) -> tuple[int, XdpMode]:
    """Id of the XDP program that an interface runs, 0 without one, and how it runs it."""
    program_id, mode = ffi.new("uint32_t[]", 1), ffi.new("uint32_t[]", 1)
    checked(lib.tortie_xdp_query(ifindex, program_id, mode), f"query XDP of interface {ifindex}")
    return program_id[0], XdpMode(mode[0])


def create_clsact(ifindex: int) -> bool:
    """Make sure that an interface has a clsact qdisc, ours or anyone's; whether it is new.

    Raises: KernelError EEXIST where an ingress qdisc is in its place. Because: that one has no side of leaving packets,
    and the kernel takes filters for that side all the same, and puts them among those of arriving ones.
    """
    clear_log()
    thing = f"add clsact to interface {ifindex}"
    is_new = checked(lib.tortie_clsact_create(ifindex), thing, log()) == 1
    if not is_new and (name := _name(ifindex)) and tc.early_qdisc(name) == "ingress":
        remedy = f"an ingress qdisc is there: use clsact in its place, which takes the same filters (tc qdisc, {name})"
        raise KernelError(DOOR, thing, errno.EEXIST, remedy)
    return is_new


def delete_clsact(ifindex: int) -> None:
    """Remove an interface's clsact qdisc with *all* filters on it, foreign ones too: look before."""
    clear_log()
    checked(lib.tortie_clsact_destroy(ifindex), f"remove clsact of interface {ifindex}", log())


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The place of one tc filter. Our own priority and handle, so that foreign filters are left alone."""

    ifindex: int
    hook: Hook
    priority: int
    handle: int = 1

    def __str__(self) -> str:
        return (
            f"tc {self.hook.name.lower()} filter pref {self.priority} handle {self.handle} of interface {self.ifindex}"
        )


def attach_filter(place: Filter, program_fd: int, *, replace: bool = False) -> None:
    """Put a program at a place of tc, acting for itself (direct action).

    Raises: KernelError EEXIST where there is a filter and `replace` is not given.
    """
    clear_log()
    out = _tc(place)
    out.program_fd, out.flags = program_fd, int(replace)
    result = lib.tortie_tc_attach(out)
    said = log()
    if result == -errno.EINVAL and "specified priority" in said:
        said += f"; another's filter has pref {place.priority}: give it a later one (tc filter ... pref 2)"
    checked(result, f"attach {place}", said)


def detach_filter(place: Filter) -> bool:
    """Whether there was a filter at that place; now there is none."""
    clear_log()
    result = lib.tortie_tc_detach(_tc(place))
    # Without the filter the kernel says ENOENT; without clsact, or the interface, EINVAL or ENODEV.
    if result in (-errno.ENOENT, -errno.EINVAL, -errno.ENODEV):
        return False
    return checked(result, f"detach {place}", log()) == 0


def query_filter(place: Filter) -> int | None:
    """Id of the program at a place of tc, None where there is no such filter."""
    clear_log()
    out = _tc(place)
    result = lib.tortie_tc_query(out)
    if result in (-errno.ENOENT, -errno.EINVAL, -errno.ENODEV):
        return None
    checked(result, f"query {place}", log())
    return out.program_id


def _tc(place: Filter) -> Tc:
    out = ffi.new("struct tortie_tc *")
    out.ifindex, out.attach_point = place.ifindex, place.hook.value[0]
    out.priority, out.handle = place.priority, place.handle
    return out
