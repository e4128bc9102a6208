import IPAddressing
public import KernelModel
import NFTables
import VPCModel
import VPCTopology

/// Which addresses the NAT gateways of a host translate to which, to judge connections by: what was translated stays so until
/// it is forgotten, whatever the maps say by then.
struct Translations: Sendable {
    struct OfGateway: Sendable {
        /// What the gateway itself has.
        var pool: PublicPool
        /// By the addresses inside, where each has ports of its own.
        var blocks: [IPAddress: PublicPorts]?
        /// Elastic IPs by the addresses inside.
        var elastic: [IPAddress: IPAddress] = [:]
        /// Where public ports lead to.
        var forwards: [Port: Port] = [:]

        struct Port: Hashable, Sendable {
            var address: IPAddress
            var ipProtocol: UInt8
            var port: UInt16
        }

        /// Whether something with this address inside may have that port outside.
        func allows(_ inside: IPAddress, _ outside: IPAddress, _ port: UInt16) -> Bool {
            if elastic[inside] == outside { return true }
            if let blocks { return blocks[inside]?.has(outside, port) ?? false }
            switch pool {
            case .addresses(let addresses): return addresses.contains(outside)
            case .shared(let shared): return shared.has(outside, port)
            }
        }
    }

    /// By zone.
    var byZone: [UInt16: OfGateway] = [:]

    var isEmpty: Bool { byZone.isEmpty }

    /// Connections with a public address that is another one's now, or nobody's.
    func outdated(_ connections: [Connection]) -> [Connection] {
        connections.filter { connection in
            guard let own = byZone[connection.zone] else { return false }
            let asked = OfGateway.Port(
                address: connection.destination, ipProtocol: connection.ipProtocol, port: connection.destinationPort)
            let answering = OfGateway.Port(
                address: connection.replySource, ipProtocol: connection.ipProtocol, port: connection.replySourcePort)
            // To an elastic IP or a forwarded port, and from an elastic IP or from the pool.
            let isToOther =
                connection.replySource != connection.destination
                && own.elastic[connection.replySource] != connection.destination && own.forwards[asked] != answering
            let isFromOther =
                connection.replyDestination != connection.source
                && !own.allows(connection.source, connection.replyDestination, connection.replyDestinationPort)
            return isToOther || isFromOther
        }
    }
}

extension Compilation {
    /// Connections with a public address that is another one's now, or nobody's.
    public func outdated(_ connections: [Connection]) -> [Connection] {
        compiler.translations(of: connections).outdated(connections)
    }
}

extension HostCompiler {
    /// As far as these connections are concerned: there may be many elastic IPs that nobody uses now.
    func translations(of connections: [Connection]) -> Translations {
        var translations = Translations()
        let zones = Set(connections.map(\.zone))
        for (number, key) in natGateways {
            guard let context = contexts[key], zones.contains(zone(of: context.table).rawValue) else { continue }
            let gateway = topology.natGateways[number]
            var own = Translations.OfGateway(pool: gateway.pool)
            if gateway.portsPerInterface != nil {
                own.blocks = Dictionary(
                    uniqueKeysWithValues: topology.portBlocks(ofNATGateway: number).map { ($0.inside, $0.ports) })
            }
            for forward in gateway.portForwards {
                let number = forward.transport.ipProtocol.rawValue
                let inside = topology.interfaces[forward.interface].address
                own.forwards[.init(address: forward.address, ipProtocol: number, port: forward.port)] =
                    .init(address: inside, ipProtocol: number, port: forward.interfacePort)
            }
            translations.byZone[zone(of: context.table).rawValue] = own
        }
        if translations.isEmpty { return translations }
        // On either side of a translation there is one.
        let addresses = Set(
            connections.filter { translations.byZone[$0.zone] != nil }.flatMap {
                [$0.destination, $0.replyDestination]
            })
        for (number, mode) in elasticIPs where mode == .nat && addresses.contains(topology.elasticIPs[number].address) {
            guard let own = elasticIP(number) else { continue }
            let zone = zone(of: own.context.table).rawValue
            translations.byZone[zone]?.elastic[own.interface.address] = own.elastic.address
        }
        return translations
    }
}

extension ChangePlan {
    /// Whether it takes a public address from somebody.
    public var takesPublicAddresses: Bool {
        steps.contains { step in
            guard case .firewall(let tables, _) = step.work else { return false }
            return tables.contains { table in
                table.operations.contains { operation in
                    switch operation {
                    case .removeElements(let set, _, _), .flushSet(let set), .deleteSet(let set):
                        Translations.sets.contains(NFSet.wantedName(ofSetNamed: set))
                    default: false
                    }
                }
            }
        }
    }
}

extension Translations {
    fileprivate static let sets: Set = [
        "eip_in", "eip_out", "forward_in", "nat_address", "nat_addresses", "nat_ports", "nat_blocks",
    ]
}

extension PublicPorts {
    fileprivate func has(_ address: IPAddress, _ port: UInt16) -> Bool {
        address == self.address && ports.contains(port)
    }
}
