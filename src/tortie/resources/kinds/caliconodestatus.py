"""CalicoNodeStatus: asks a node what it says of itself. Source: reference resources.md section 8.22."""

from tortie.resources.fields import Field, list_of, object_of
from tortie.resources.kind import NAME, Column, Kind, spec_cell
from tortie.resources.metadata import time
from tortie.resources.values import enum, integer, name, optional_text

_daemon = object_of(
    {
        "state": Field(enum("Ready", "NotReady"), "Whether the daemon works."),
        "version": Field(optional_text, "The daemon's version."),
        "routerID": Field(optional_text, "Its identity among routers."),
        "lastBootTime": Field(optional_text, "When it was started, in its own words."),
        "lastReconfigurationTime": Field(optional_text, "When it read its configuration last, in its own words."),
    }
)
_peer = object_of(
    {
        "peerIP": Field(optional_text, "The peer's address."),
        "type": Field(enum("NodeMesh", "NodePeer", "GlobalPeer"), "Why it is a peer."),
        "state": Field(
            enum("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close"),
            "The state of the session, as in RFC 4271.",
        ),
        "since": Field(optional_text, "Since when, in the daemon's words."),
    }
)
_route = object_of(
    {
        "type": Field(enum("FIB", "RIB"), "Whether the kernel has it (FIB), or the daemon alone (RIB)."),
        "destination": Field(optional_text, "Where it leads."),
        "gateway": Field(optional_text, "The next hop."),
        "interface": Field(optional_text, "The interface that leads there."),
        "learnedFrom": Field(
            object_of(
                {
                    "sourceType": Field(
                        enum("Kernel", "Static", "Direct", "NodeMesh", "BGPPeer"), "What kind of source it was."
                    ),
                    "peerIP": Field(optional_text, "The address of the peer that told of it."),
                }
            ),
            "Where the daemon has it from.",
        ),
    }
)
_count = integer(0, 2**31 - 1)
_bgp = object_of(
    {
        "numberEstablishedV4": Field(_count, "How many IPv4 sessions are established."),
        "numberEstablishedV6": Field(_count, "How many IPv6 sessions are established."),
        "numberNotEstablishedV4": Field(_count, "How many IPv4 sessions are not established."),
        "numberNotEstablishedV6": Field(_count, "How many IPv6 sessions are not established."),
        "peersV4": Field(list_of(_peer), "The IPv4 peers."),
        "peersV6": Field(list_of(_peer), "The IPv6 peers."),
    }
)
_NODE = Column("NODE", spec_cell("node"))
KIND = Kind(
    name="CalicoNodeStatus",
    plural="caliconodestatuses",
    doc="Asks a node to say what its daemons, its BGP peers and its routes are like.",
    aliases=("caliconodestatus", "nodestatus", "nodestatuses"),
    fields={
        "node": Field(name, "The node that is asked.", is_required=True),
        "classes": Field(
            list_of(enum("Agent", "BGP", "Routes"), identity=lambda value: value),
            "What is asked of it.",
            is_required=True,
        ),
        "updatePeriodSeconds": Field(
            integer(0, 86_400), "How often it answers, in seconds; 0: once.", is_required=True
        ),
    },
    status={
        "lastUpdated": Field(time, "When the node answered last."),
        "agent": Field(
            object_of(
                {
                    "birdV4": Field(_daemon, "The routing daemon for IPv4."),
                    "birdV6": Field(_daemon, "The routing daemon for IPv6."),
                }
            ),
            "The daemons.",
        ),
        "bgp": Field(_bgp, "The sessions with BGP peers."),
        "routes": Field(
            object_of(
                {
                    "routesV4": Field(list_of(_route), "The IPv4 routes."),
                    "routesV6": Field(list_of(_route), "The IPv6 routes."),
                }
            ),
            "The routes.",
        ),
    },
    lower=None,
    columns=(NAME, _NODE),
    wide=(NAME, _NODE, Column("CLASSES", spec_cell("classes"))),
)
