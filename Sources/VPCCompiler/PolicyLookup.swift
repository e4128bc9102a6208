import IPAddressing
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// Where the 16 bits of a box are in a packet.
enum SelectorPlace: Int, Comparable, Hashable, CaseIterable {
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

    /// What the name of a set says of it.
    fileprivate var role: String { self == .port ? "map" : "icmp" }
}

extension ServiceRange {
    /// ICMP types are looked up apart from everything else. With all types ICMP is a protocol like others.
    var place: SelectorPlace {
        let icmp = NFProtocol(IPProtocol.icmp.rawValue)
        return protocolKey == icmp...icmp && selectorKey != 0...65535 ? .icmp : .port
    }
}

/// One of the lookups by which a packet finds its line: boxes whose selectors are at one place, of one stage.
struct PolicyLookup<Bits: AddressBits> {
    /// `sg_web_in_map`, `sg_web_in_icmp`; of later stages `sg_web_in_map_2`.
    let name: String
    /// What comes last in it: `map`, `icmp`, `map_2`.
    let role: String
    let place: SelectorPlace
    let entries: [TrafficStage<Bits>.Entry]
    /// The map that gives the address which the boxes know for that of a packet: `sg_web_in_class`.
    let classes: String?

    /// Counts a packet for the line that decides on it. What finds no line goes no further in the rule.
    /// - Parameter port: where the selector is in the packet; by default where first packets have it.
    func count(_ far: NFField, in set: String? = nil, port: NFField? = nil) -> NFStatement {
        .counter(map: set ?? name, far, .ipProtocol, port ?? place.field, through: classes)
    }

    /// Does with a packet what the line says that decides on it.
    func decide(_ far: NFField) -> NFStatement {
        .vmap(far, .ipProtocol, place.field, through: classes, map: name)
    }
}

extension TrafficStages {
    /// - Parameter name: Whose lookups: one direction of a group or an ACL.
    func lookups(_ name: FirewallName) -> [PolicyLookup<Bits>] {
        stages.enumerated().flatMap { number, stage in
            let boxes = Dictionary(grouping: stage.entries, by: { $0.box.services.place })
            return SelectorPlace.allCases.compactMap { place in
                boxes[place].map { entries in
                    let role = place.role + Self.suffix(number)
                    return PolicyLookup(
                        name: name.with(role: role).description, role: role, place: place, entries: entries,
                        classes: stage.classes.isEmpty ? nil : Self.className(name, number))
                }
            }
        }
    }

    /// The maps that lead from addresses to those that stand for them. Their second field holds every protocol: intervals
    /// of one field alone are a tree to the kernel, which takes six times as long to fill.
    func classMaps(_ name: FirewallName, origin: Origin) -> [NFSet] {
        stages.enumerated().filter { !$1.classes.isEmpty }.map { number, stage in
            var map = NFSet(
                Self.className(name, number), of: Bits.family.keyType, .internetProtocol,
                to: .values(Bits.family.keyType),
                isInterval: true, origin: origin)
            for alike in stage.classes {
                map.add(
                    ClosedRange(bits: alike.addresses), NFProtocol.any, data: IPAddress(bits: alike.representative),
                    origin: origin)
            }
            return map
        }
    }

    private static func className(_ name: FirewallName, _ number: Int) -> String {
        name.with(role: "class" + suffix(number)).description
    }

    private static func suffix(_ number: Int) -> String { number == 0 ? "" : "_\(number + 1)" }
}
