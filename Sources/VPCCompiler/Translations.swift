import IPAddressing
public import KernelModel
import NFTables
import VPCTopology

/// Which addresses the NAT gateways of a host translate to which, to judge connections by: what was translated stays so until
/// it is forgotten, whatever the maps say by then.
public struct Translations: Sendable {
    struct OfGateway: Sendable {
        /// Those of the gateway itself.
        var pool: Set<IPAddress> = []
        /// Elastic IPs by the addresses inside.
        var elastic: [IPAddress: IPAddress] = [:]
    }

    /// By zone.
    var byZone: [UInt16: OfGateway] = [:]

    public var isEmpty: Bool { byZone.isEmpty }

    /// Connections with a public address that is another one's now, or nobody's.
    public func outdated(_ connections: [Connection]) -> [Connection] {
        connections.filter { connection in
            guard let own = byZone[connection.zone] else { return false }
            let isOther = { (inside: IPAddress, outside: IPAddress) in
                own.elastic[inside] != outside && !own.pool.contains(outside)
            }
            // To an elastic IP, and from one or from the pool.
            let isToOther =
                connection.replySource != connection.destination
                && own.elastic[connection.replySource] != connection.destination
            let isFromOther =
                connection.replyDestination != connection.source
                && isOther(connection.source, connection.replyDestination)
            return isToOther || isFromOther
        }
    }
}

extension HostCompiler {
    var translations: Translations {
        var translations = Translations()
        for (number, key) in natGateways {
            guard let context = contexts[key] else { continue }
            let own = Translations.OfGateway(pool: Set(topology.natGateways[number].addresses))
            translations.byZone[zone(of: context.table).rawValue] = own
        }
        for (number, mode) in elasticIPs where mode == .nat {
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
    fileprivate static let sets: Set = ["eip_in", "eip_out", "nat_address", "nat_addresses"]
}
