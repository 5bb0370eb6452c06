"""Doors for whole IP packets: a device that they arrive at when they are written, and sockets that send them as they
are, as a local process does."""

import errno
import fcntl
import os
import socket
from struct import pack

from tortie.kernel.errors import KernelError

DOOR = "injection"
# Source: linux/if_tun.h, TUNSETIFF, IFF_TUN, IFF_NO_PI; linux/in6.h, IPV6_HDRINCL.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_IPV6_HDRINCL = 36
_DEVICE = "/dev/net/tun"


def open_tun(name: str) -> int:
    """Descriptor of a new device of that name in the calling thread's network namespace; it goes when this is closed.

    Raises: KernelError.
    """
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        remedy = "the kernel needs CONFIG_TUN, or the module tun is not loaded"
        raise KernelError(DOOR, f"open {_DEVICE}", error.errno or 0, remedy) from error
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        raise KernelError(DOOR, f"make the device {name}", error.errno or 0) from error
    return descriptor


def open_sender(version: int, interface: str, mark: int) -> socket.socket:
    """A socket whose packets, headers and all, leave by that interface with that mark. Raises: KernelError."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except OSError as error:
        raise KernelError(DOOR, f"send by {interface}", error.errno or 0) from error
    return made


def deliver(descriptor: int, data: bytes) -> None:
    """Have the packet arrive at the device. Raises: KernelError."""
    try:
        os.write(descriptor, data)
    except OSError as error:
        raise KernelError(DOOR, "write a packet", error.errno or 0) from error


def send(sender: socket.socket, destination: str, data: bytes) -> None:
    """Send the packet; that rules drop it in the output hook is no error. Raises: KernelError."""
    try:
        sender.sendto(data, (destination, 0))
    except OSError as error:
        if error.errno != errno.EPERM:
            raise KernelError(DOOR, f"send to {destination}", error.errno or 0) from error
