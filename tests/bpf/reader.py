"""Reads the classifier's tables as the programs do (bpf/include/tortie), written anew in Python from their description:
verdicts and counters of a policy without the kernel, and while its members change in place."""

from collections import Counter
from collections.abc import Sequence
from struct import unpack_from

from bpf.untracked import Counts, meaning
from tortie.dataplane.ebpf.classifiers import REASON_BASE, REASONS
from tortie.dataplane.ebpf.compile import Classifier
from tortie.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Fragment, Packet
from tortie.model.verdict import Reason, RuleRef, Verdict

ALLOW, DENY, PASS, LOG = 1, 2, 3, 4
SPARE_COUNTERS = 64
VERDICTS = {0: Verdict.CONTINUE, 1: Verdict.ALLOW, 2: Verdict.DENY}
_32, _64 = (1 << 32) - 1, (1 << 64) - 1
PREFIX = {"source": "src", "destination": "dst"}


def hash4_first(address: int) -> int:
    return address * 0x9E3779B1 & _32


def hash4_second(address: int) -> int:
    return (address ^ address >> 15) * 0x85EBCA6B & _32


def hash6(high: int, low: int, length: int, seed: int) -> int:
    t = (high ^ length ^ seed << 8) * 0x9E3779B97F4A7C15 & _64
    t ^= t >> 32
    t = (t ^ low) * 0xC2B2AE3D27D4EB4F & _64
    return t ^ t >> 29


def hash6_second(found: int) -> int:
    return (found ^ found >> 33) * 0x165667B19E3779F9 & _64


class Reader:
    """Tables in memory of our own, and what a packet finds in them."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.tables = {name: bytearray(size) for name, size in classifier.sizes().items() if size}
        for name, memory in self.tables.items():
            classifier.fill(name, memory)
        self.config = {k: v for k, v in classifier.config().items() if isinstance(v, int)}
        self.lengths6 = {side: classifier.config()[f"{side}.lengths6"] for side in ("source", "destination")}
        classifier.settle(classifier.results + SPARE_COUNTERS)
        self.counters = Counter[int]()

    def verdict(self, packet: Packet) -> Verdict:
        """The verdict, counted."""
        classes = [self.address_class(side, packet) for side in ("source", "destination")]
        classes += [self.service_class(packet), self.sport_class(packet)]
        if self.classifier.backend == "bits":
            number, verdict = self._walk(classes, packet.fragment is Fragment.LATER)
        else:
            word = self._cell(*classes)
            number, verdict = word >> 3, word & 3
        self.counters[number] += 1
        return VERDICTS[verdict]

    def counts(self, refs: Sequence[RuleRef]) -> Counts:
        """Packets by rule and reason."""
        totals = [self.counters[number] for number in range(max(self.counters, default=0) + 1)]
        return meaning(totals, self.classifier, refs)

    # ---- classes

    def address_class(self, side: str, packet: Packet) -> int:
        """The class of one end."""
        if not self.config[f"{side}.used"]:
            return 0
        address = packet.source if side == "source" else packet.destination
        return self._class4(side, address) if packet.version == 4 else self._class6(side, address)

    def _class4(self, side: str, address: int) -> int:
        config = {name: self.config[f"{side}.{name}"] for name in ("hosts4", "hosts4_shift", "nets4", "default4")}
        prefix = PREFIX[side]
        if config["hosts4"]:
            for place in (hash4_first(address), hash4_second(address)):
                bucket = unpack_from("<8Q", self.tables[f"{prefix}4_hosts"], (place >> config["hosts4_shift"]) * 64)
                for entry in bucket:
                    if entry >> 32 and entry & _32 == address:
                        return (entry >> 32) - 1
                if not bucket[7]:
                    break
        if not config["nets4"]:
            return config["default4"]
        trie = self.tables[f"{prefix}4_nets"]
        entry = 1 << 31  # the root is the first block
        for shift in (24, 16, 8, 0):
            if entry >> 31:
                entry = _word(trie, (entry & 0x7FFFFFFF) * 256 + (address >> shift & 255))
        return entry

    def _class6(self, side: str, address: int) -> int:
        best = self.config[f"{side}.default6"]
        if not self.config[f"{side}.table6"]:
            return best
        if self.config[f"{side}.hosts6"] and (word := self._find6(side, address, 128)):
            return word & 0x7FFFFF
        start, end = 0, self.config[f"{side}.lengths6_count"]
        while start < end:
            middle = (start + end) >> 1
            length = self.lengths6[side][middle]
            if word := self._find6(side, address >> (128 - length) << (128 - length), length):
                best, start = word & 0x7FFFFF, middle + 1
            else:
                end = middle
        return best

    def _find6(self, side: str, address: int, length: int) -> int:
        table = self.tables[f"{PREFIX[side]}6"]
        shift, seed = self.config[f"{side}.table6_shift"], self.config[f"{side}.table6_seed"]
        high, low = address >> 64, address & _64
        first = hash6(high, low, length, seed)
        for place in (first, hash6_second(first)):
            *words, _, h0, l0, h1, l1, h2, l2 = unpack_from("<4I6Q", table, (place >> shift) * 64)
            for word, key in zip(words, ((h0, l0), (h1, l1), (h2, l2)), strict=True):
                if key == (high, low) and word >> 23 == 256 | length:
                    return word
            if not words[2]:
                break
        return 0

    def service_class(self, packet: Packet) -> int:
        """The class of protocol and destination port, or of type and code."""
        if not self.config["services"]:
            return 0
        row = {TCP: 0, UDP: 1, SCTP: 2, ICMP: 3, ICMPV6: 4}.get(packet.protocol)
        if packet.fragment is Fragment.LATER:
            return _half(self.tables["services"], 5 * 256 + 256 + packet.protocol)
        if row is None:
            return _half(self.tables["services"], 5 * 256 + packet.protocol)
        is_icmp = row >= 3
        port = (packet.icmp_type or 0) << 8 | (packet.icmp_code or 0) if is_icmp else packet.destination_port or 0
        return self._of_port("services", row, 5 * 256 + 512, port)

    def _of_port(self, table: str, row: int, blocks: int, port: int) -> int:
        """What a table of ports has in the block of that port, whose number comes first."""
        block = _half(self.tables[table], row * 256 + (port >> 8))
        return _half(self.tables[table], blocks + block * 256 + (port & 255))

    def sport_class(self, packet: Packet) -> int:
        """The class of the source port."""
        if not self.config["sports"]:
            return 0
        if packet.fragment is Fragment.LATER:
            return self.config["sport_fragment"]
        if packet.protocol not in (TCP, UDP, SCTP):
            return self.config["sport_none"]
        return self._of_port("sports", 0, 256, packet.source_port or 0)

    # ---- decisions

    def _cell(self, source: int, destination: int, service: int, sport: int) -> int:
        config = self.config
        if self.classifier.backend == "folded":
            a = _word(self.tables["fold_a"], source * config["destination_stride"] + destination)
            b = _word(self.tables["fold_b"], service * config["sport_stride"] + sport)
            return _word(self.tables["cells"], a * config["fold_stride"] + b)
        index = (source * config["destination_stride"] + destination) * config["service_stride"] + service
        return _word(self.tables["cells"], index * config["sport_stride"] + sport)

    def _walk(self, classes: Sequence[int], is_later: bool) -> tuple[int, int]:
        """The walk of decide.h without its summary words."""
        used = (self.config["source.used"], self.config["destination.used"], 1, self.config["sports"])
        size = 8 << self.config["row_shift"]
        holds = (1 << 8 * size) - 1
        for name, place, is_used in zip(("bits_src", "bits_dst", "bits_svc", "bits_sport"), classes, used, strict=True):
            if is_used:
                row = self.tables[name][place * size : (place + 1) * size]
                holds &= int.from_bytes(row[8 * self.config["summary_words"] :], "little")
        possible, pass_until, at = set[int](), 0, 0
        while holds >> at:
            at += ((holds >> at) & -(holds >> at)).bit_length() - 1
            entry = int.from_bytes(self.tables["terms"][8 * at : 8 * at + 8], "little")
            action, next_tier, rule = entry & 7, entry >> 4 & 0xFFFFFFF, REASON_BASE + (entry >> 32)
            if is_later and entry & 8:
                if action in (ALLOW, DENY):
                    possible.add(action)
                elif action == PASS:
                    pass_until = next_tier
                at += 1
            elif action in (ALLOW, DENY):
                possible.add(action)
                if at >= pass_until and len(possible) == 1:
                    return rule, action
                at = pass_until
            else:
                self.counters[rule] += 1
                at = next_tier if action == PASS else at + 1
            if len(possible) > 1:
                break
        return (REASONS[Reason.FRAGMENT], DENY) if possible else (REASONS[Reason.NO_MATCH], 0)


def _word(table: bytearray, index: int) -> int:
    return int.from_bytes(table[4 * index : 4 * index + 4], "little")


def _half(table: bytearray, index: int) -> int:
    return int.from_bytes(table[2 * index : 2 * index + 2], "little")
