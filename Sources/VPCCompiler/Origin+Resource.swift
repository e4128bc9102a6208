public import KernelModel
public import VPCModel
public import VPCTopology

/// An origin is the kind of a resource in the upper 4 bits and its index in the topology in the others.
extension Origin {
    init(_ kind: ResourceKind, _ index: Int) {
        self.init(Self.tag(of: kind) << 28 | UInt32(index))
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
    /// The resource that an intended object was compiled from.
    public func resource(of origin: Origin) -> ResourceReference? {
        let index = Int(origin.rawValue & 0x0FFF_FFFF)
        switch origin.rawValue >> 28 {
        case 0: return ResourceReference(.host, hosts[index].metadata.name)
        case 1: return ResourceReference(.vpc, vpcs[index].name)
        case 2: return ResourceReference(.subnet, subnets[index].name)
        case 3: return ResourceReference(.routeTable, routeTables[index].name)
        case 4: return ResourceReference(.networkInterface, interfaces[index].name)
        case 5: return ResourceReference(.securityGroup, securityGroups[index].name)
        case 6: return ResourceReference(.networkACL, acls[index].name)
        default: return nil
        }
    }
}
