"""What a driver tells of its interface: its own name, its channels, large receive offload. Only ever for words.

Interfaces are those of the calling thread's network namespace. What a driver does not tell is empty or 0.
"""

import array
import fcntl
import socket
import struct
from dataclasses import dataclass

# Source: linux/sockios.h SIOCETHTOOL; linux/ethtool.h ETHTOOL_GDRVINFO, ETHTOOL_GFLAGS, ETHTOOL_GCHANNELS,
# ETH_FLAG_LRO, struct ethtool_drvinfo, struct ethtool_value, struct ethtool_channels; linux/if.h struct ifreq.
_SIOCETHTOOL = 0x8946
_GET_DRIVER, _GET_FLAGS, _GET_CHANNELS = 0x3, 0x25, 0x3C
_LRO = 1 << 15
_DRIVER_BYTES, _FLAGS_BYTES, _CHANNELS_BYTES = 196, 8, 36
_NAME_BYTES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """`channels` of at most `most_channels`: pairs of queues that are in use; `has_lro`: frames are joined early."""

    driver: str = ""
    channels: int = 0
    most_channels: int = 0
    has_lro: bool = False


def read(interface: str) -> DriverFacts:
    """What the driver of that interface tells now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        told = _ask(door, interface, _GET_DRIVER, _DRIVER_BYTES)
        flags = _ask(door, interface, _GET_FLAGS, _FLAGS_BYTES)
        channels = _ask(door, interface, _GET_CHANNELS, _CHANNELS_BYTES)
    _, most_rx, _, _, most_combined, rx, _, _, combined = struct.unpack("=9I", channels)
    return DriverFacts(
        driver=told[4:36].partition(b"\0")[0].decode(errors="replace"),
        channels=combined or rx,
        most_channels=most_combined or most_rx,
        has_lro=bool(struct.unpack("=2I", flags)[1] & _LRO),
    )


def _ask(door: socket.socket, interface: str, command: int, size: int) -> bytes:
    """The answer; zeros where the driver gives none."""
    answer = array.array("B", struct.pack("=I", command).ljust(size, b"\0"))
    name = interface.encode(errors="surrogateescape")[:_NAME_BYTES]
    request = struct.pack("16sP8x", name, answer.buffer_info()[0])
    try:
        fcntl.ioctl(door, _SIOCETHTOOL, request)
    except OSError:
        return bytes(size)
    return answer.tobytes()
