import KernelModel
import VPCModel
import VPCTopology

/// Where the 16 bits of a box are in a packet.
enum SelectorPlace: Int, Comparable, Hashable {
    /// Destination port: bytes 2 and 3 of the transport header.
    case port
    /// ICMP type and code: bytes 0 and 1.
    case icmp

    static func < (left: SelectorPlace, right: SelectorPlace) -> Bool { left.rawValue < right.rawValue }

    var field: NFField { self == .port ? .destinationPort : .sourcePort }

    /// What has to hold before the field means anything.
    var guardStatement: NFStatement {
        // Of a protocol without ports the boxes cover all bits.
        self == .port ? .match(.protocol, NFEtherType.ipv4) : .match(.ipProtocol, NFProtocol.icmp)
    }
}

/// One direction of a security group as disjoint boxes: what several rules allow counts for the first of them.
struct SecurityGroupRules {
    struct GroupKey: Hashable, Comparable {
        /// Index into `Topology.securityGroups`.
        var group: Int
        var selector: SelectorPlace

        static func < (left: GroupKey, right: GroupKey) -> Bool {
            (left.group, left.selector) < (right.group, right.selector)
        }
    }

    /// `sg_web_in`.
    let prefix: String
    /// How many rules there are.
    let count: Int
    private(set) var byAddress: [SelectorPlace: [DisjointBoxes.Entry]] = [:]
    private(set) var byGroup: [GroupKey: [DisjointBoxes.Entry]] = [:]

    init(_ group: ResolvedSecurityGroup, _ direction: TrafficDirection) {
        prefix = FirewallName.group(group.name, direction)
        let rules = direction == .ingress ? group.ingress : group.egress
        count = rules.count
        var addresses = DisjointBoxes()
        var groups: [Int: DisjointBoxes] = [:]
        for (line, rule) in rules.enumerated() {
            addresses.add(rule.cidrs.flatMap { rule.traffic.boxes($0.range) }, line: line)
            for member in rule.groups {
                groups[member, default: DisjointBoxes()].add(rule.traffic.boxes(0...0), line: line)
            }
        }
        for entry in addresses.entries.flatMap(\.bySelector) { byAddress[entry.place, default: []].append(entry.entry) }
        for (member, boxes) in groups {
            for entry in boxes.entries.flatMap(\.bySelector) {
                byGroup[GroupKey(group: member, selector: entry.place), default: []].append(entry.entry)
            }
        }
    }

    /// `sg_web_in_map`, `sg_web_in_icmp`.
    func name(_ selector: SelectorPlace) -> String { selector == .port ? prefix + "_map" : prefix + "_icmp" }

    /// `sg_web_in_from_db`, `sg_web_in_icmp_from_db`.
    func name(_ selector: SelectorPlace, group: String) -> String {
        (selector == .port ? prefix : prefix + "_icmp") + "_from_\(group)"
    }

    /// The counter of the rule at that position.
    func counter(_ line: Int) -> String { FirewallName.rule(prefix, line) }
}

extension DisjointBoxes.Entry {
    /// The entry cut by where its selector stands: ICMP types apart from everything else.
    var bySelector: [(place: SelectorPlace, entry: DisjointBoxes.Entry)] {
        let icmp = IPProtocol.icmp.rawValue
        guard box.protocols.contains(icmp), box.selectors != TrafficBox.allSelectors else { return [(.port, self)] }
        var parts: [(SelectorPlace, DisjointBoxes.Entry)] = []
        func add(_ place: SelectorPlace, _ protocols: ClosedRange<UInt8>) {
            var entry = self
            entry.box.protocols = protocols
            parts.append((place, entry))
        }
        add(.icmp, icmp...icmp)
        if box.protocols.lowerBound < icmp { add(.port, box.protocols.lowerBound...(icmp - 1)) }
        if box.protocols.upperBound > icmp { add(.port, (icmp + 1)...box.protocols.upperBound) }
        return parts
    }
}
