public import KernelModel
public import VPCModel
public import VPCTopology

/// An origin is the kind of a resource in the upper 4 bits and its number in the others: it says the same as long as the
/// resource exists, whatever the topology.
extension Origin {
    init(_ kind: ResourceKind, _ number: Int) {
        self.init(Self.tag(of: kind) << 28 | UInt32(number))
    }

    private static func tag(of kind: ResourceKind) -> UInt32 {
        switch kind {
        case .host: 0
        case .vpc: 1
        case .subnet: 2
        case .routeTable: 3
        case .networkInterface: 4
        case .securityGroup: 5
        case .networkACL: 6
        case .probe: 7
        }
    }
}

extension Topology {
    /// The resource that an intended object was compiled from; nil where it is gone.
    public func resource(of origin: Origin) -> ResourceReference? {
        let number = Int(origin.rawValue & 0x0FFF_FFFF)
        func named<Element>(
            _ kind: ResourceKind, _ elements: Slots<Element>, _ name: KeyPath<Element, String>
        ) -> ResourceReference? {
            elements.contains(number: number) ? ResourceReference(kind, elements[number][keyPath: name]) : nil
        }
        switch origin.rawValue >> 28 {
        case 0: return named(.host, hosts, \.metadata.name)
        case 1: return named(.vpc, vpcs, \.name)
        case 2: return named(.subnet, subnets, \.name)
        case 3: return named(.routeTable, routeTables, \.name)
        case 4: return named(.networkInterface, interfaces, \.name)
        case 5: return named(.securityGroup, securityGroups, \.name)
        case 6: return named(.networkACL, acls, \.name)
        default: return nil
        }
    }
}
