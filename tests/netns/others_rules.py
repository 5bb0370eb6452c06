"""Rule sets of the shape that other programs of a host make, written by hand: for tests of what stands beside them.

peer 10.99.0.2 ── ens4 │ host │ docker0 ── containers 172.18.0.2 and .3
"""

from dataclasses import dataclass

from netns import Namespace

CONTAINER, SECOND, BRIDGE = "172.18.0.2", "172.18.0.3", "172.18.0.1"
SERVICE = "10.96.0.10"
"""The address of a Kubernetes Service, which no interface has."""
WEB, DNS = 80, 53
"""What containers listen on."""
PUBLISHED, PUBLISHED_UDP, REDIRECTED, NODE_PORT = 8080, 8053, 8443, 30080
LOCAL = 443
"""What the host listens on behind a redirection."""
REDIRECT = f"-A PREROUTING -p tcp -m tcp --dport {REDIRECTED} -j REDIRECT --to-ports {LOCAL}"

_DOCKER = f"""
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
{REDIRECT}
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.18.0.0/24 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport {PUBLISHED} -j DNAT --to-destination {CONTAINER}:{WEB}
-A DOCKER ! -i docker0 -p udp -m udp --dport {PUBLISHED_UDP} -j DNAT --to-destination {CONTAINER}:{DNS}
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER -d {CONTAINER}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport {WEB} -j ACCEPT
-A DOCKER -d {CONTAINER}/32 ! -i docker0 -o docker0 -p udp -m udp --dport {DNS} -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
COMMIT
"""


def _endpoint(name: str, address: str) -> str:
    """A backend of the Service; one that reaches itself has to be masqueraded."""
    target = f"-j DNAT --to-destination {address}:{WEB}"
    return f"-A KUBE-SEP-{name} -s {address}/32 -j KUBE-MARK-MASQ\n-A KUBE-SEP-{name} -p tcp -m tcp {target}"


_KUBE_IPTABLES = f"""
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-EXT-WEB - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-ONE - [0:0]
:KUBE-SEP-TWO - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
{REDIRECT}
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -s 172.18.0.0/24 ! -o docker0 -j MASQUERADE
-A KUBE-EXT-WEB -j KUBE-MARK-MASQ
-A KUBE-EXT-WEB -j KUBE-SVC-WEB
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport {NODE_PORT} -j KUBE-EXT-WEB
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
{_endpoint("ONE", CONTAINER)}
{_endpoint("TWO", SECOND)}
-A KUBE-SERVICES -d {SERVICE}/32 -p tcp -m tcp --dport {WEB} -j KUBE-SVC-WEB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-WEB -m statistic --mode random --probability 0.5 -j KUBE-SEP-ONE
-A KUBE-SVC-WEB -j KUBE-SEP-TWO
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""

_KUBE_NFTABLES = f"""
table ip kube-proxy {{
    map service-ips {{
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = {{ {SERVICE} . tcp . {WEB} : goto service-web }}
    }}
    map service-nodeports {{
        type inet_proto . inet_service : verdict
        elements = {{ tcp . {NODE_PORT} : goto external-web }}
    }}
    chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; jump redirections; }}
    chain nat-output {{ type nat hook output priority -100; jump services; }}
    chain nat-postrouting {{ type nat hook postrouting priority srcnat; jump masquerading; }}
    chain services {{
        ip daddr . meta l4proto . th dport vmap @service-ips
        fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports
    }}
    chain redirections {{ tcp dport {REDIRECTED} redirect to :{LOCAL}; }}
    chain external-web {{ jump mark-for-masquerade; goto service-web; }}
    chain service-web {{ numgen random mod 2 vmap {{ 0 : goto endpoint-one, 1 : goto endpoint-two }}; }}
    chain endpoint-one {{ ip saddr {CONTAINER} jump mark-for-masquerade; meta l4proto tcp dnat to {CONTAINER}:{WEB}; }}
    chain endpoint-two {{ ip saddr {SECOND} jump mark-for-masquerade; meta l4proto tcp dnat to {SECOND}:{WEB}; }}
    chain mark-for-masquerade {{ meta mark set meta mark | 0x4000; }}
    chain masquerading {{
        ip saddr 172.18.0.0/24 oifname != "docker0" masquerade
        meta mark & 0x4000 == 0 return
        meta mark set meta mark & 0xffffbfff
        masquerade fully-random
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one program has in the kernel: a script, and the tool that takes it."""

    tool: tuple[str, ...]
    script: str

    def load(self, host: Namespace) -> None:
        """Put them in, as that program does when it starts: what stands in its own chains is replaced."""
        host.run(*self.tool, input=self.script)


_RESTORE = ("iptables-nft-restore", "--noflush")
DOCKER = Rules(_RESTORE, _DOCKER)
KUBE_IPTABLES = Rules(_RESTORE, _KUBE_IPTABLES)
KUBE_NFTABLES = Rules(("nft", "-f", "-"), _KUBE_NFTABLES)


def ufw(*ports: int) -> Rules:
    """What ufw has in the kernel for IPv4, with those UDP ports open: everything else that arrives is dropped.

    Its scripts name every chain of it, so that they are emptied first; whether the rest of the table is as well, is
    the tool's option.
    """
    hooks = {"input": "INPUT", "forward": "FORWARD", "output": "OUTPUT"}
    groups = ("before-logging", "before", "after", "after-logging", "reject", "track")
    chains = [f":ufw-{group}-{hook} - [0:0]" for group in groups for hook in hooks]
    jumps = [f"-A {hooks[hook]} -j ufw-{group}-{hook}" for hook in hooks for group in groups]
    lines = [
        *("*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", *chains),
        *(":ufw-user-input - [0:0]", *jumps),
        "-A ufw-before-input -i lo -j ACCEPT",
        "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP",
        "-A ufw-before-input -j ufw-user-input",
        "-A ufw-before-output -o lo -j ACCEPT",
        "-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A ufw-track-output -p udp -m conntrack --ctstate NEW -j ACCEPT",
        "-A ufw-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT",
        *(f"-A ufw-user-input -p udp -m udp --dport {port} -j ACCEPT" for port in ports),
        "COMMIT\n",
    ]
    return Rules(("iptables-nft-restore",), "\n".join(lines))


def firewalld(*ports: int) -> Rules:
    """What firewalld has in the kernel, with those UDP ports open in its zone; one transaction replaces its table."""
    opened = "\n".join(f"        udp dport {port} accept" for port in ports)
    known = "ct state { established, related } accept\n        ct status dnat accept\n        iifname lo accept"
    script = f"""
table inet firewalld
delete table inet firewalld
table inet firewalld {{
    chain mangle_PREROUTING {{ type filter hook prerouting priority mangle + 10; policy accept; }}
    chain nat_PREROUTING {{ type nat hook prerouting priority dstnat + 10; policy accept; }}
    chain nat_POSTROUTING {{ type nat hook postrouting priority srcnat + 10; policy accept; }}
    chain nat_OUTPUT {{ type nat hook output priority -90; policy accept; }}
    chain filter_PREROUTING {{
        type filter hook prerouting priority filter + 10; policy accept;
        icmpv6 type {{ nd-router-advert, nd-neighbor-solicit }} accept
        meta nfproto ipv6 fib saddr . mark . iif oif missing drop
    }}
    chain filter_INPUT {{
        type filter hook input priority filter + 10; policy accept;
        {known}
        ct state invalid drop
        goto filter_IN_public
    }}
    chain filter_FORWARD {{
        type filter hook forward priority filter + 10; policy accept;
        {known}
        ct state invalid drop
        reject with icmpx type admin-prohibited
    }}
    chain filter_OUTPUT {{ type filter hook output priority filter + 10; policy accept; oifname lo accept; }}
    chain filter_IN_public {{
{opened}
        reject with icmpx type admin-prohibited
    }}
}}
"""
    return Rules(("nft", "-f", "-"), script)
