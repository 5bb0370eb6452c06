"""The XDP link of an interface: made, found again under the pin of an agent before, and told of."""

import os
from pathlib import Path

from tortie.kernel import bpf
from tortie.kernel.errors import KernelError


def attach(pin: Path, program_fd: int, index: int, *, is_generic: bool) -> int:
    """Descriptor of the link with that program. One that is pinned there is used if it is on this interface, whatever
    its mode: no packet passes between, and a second one cannot be had. Raises: KernelError."""
    left = opened(pin, index)
    if left is None:
        return bpf.attach_xdp(program_fd, index, bpf.SKB_MODE if is_generic else bpf.DRV_MODE)
    try:
        bpf.link_update(left, program_fd)
    except BaseException:
        os.close(left)
        raise
    return left


def opened(pin: Path, index: int) -> int | None:
    """Descriptor of the link that is pinned there and on that interface; None without one. Raises: KernelError."""
    if not pin.exists():
        return None
    link = bpf.open_pin(pin)
    try:
        if bpf.link_info(link).ifindex == index:
            return link
    except BaseException:
        os.close(link)
        raise
    os.close(link)
    return None


def runs_generically(index: int) -> bool:
    """Whether the interface runs its XDP program generically; no, where it runs none."""
    try:
        return bpf.xdp_query(index)[1] is bpf.XdpMode.GENERIC
    except KernelError:  # it has just gone
        return False


def is_occupied(index: int) -> bool:
    """Whether an XDP program is on the interface, ours or another's."""
    try:
        return bpf.xdp_query(index)[0] != 0
    except KernelError:
        return False
