"""Telling the service manager how we are (sd_notify). Source: systemd's sd_notify(3)."""

import os
import socket


def notify(*lines: str) -> None:
    """Send lines such as `READY=1`; nothing where no service manager listens, or where it went away."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto("\n".join(lines).encode(), name)
        except OSError:
            return
