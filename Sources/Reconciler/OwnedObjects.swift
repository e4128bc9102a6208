public import KernelModel
import VPCCompiler

/// A kernel object that is ours, and the resource its device or table names.
public struct OwnedObject: Sendable, Hashable {
    public var kind: ObjectKind
    public var object: String
    /// `NetworkInterface/web1`; nil where only the protocol number says that it is ours.
    public var resource: String?

    public init(kind: ObjectKind, object: String, resource: String?) {
        self.kind = kind
        self.object = object
        self.resource = resource
    }
}

extension HostReconciler {
    /// Everything in the current namespace that is ours, in the order of the kinds.
    public func ownedObjects() throws -> [OwnedObject] {
        let snapshot = try kernel.observe(ObservationRequest(owner: Conventions.ownership)).host
        let directory = ResourceDirectory(snapshot)
        var objects: [OwnedObject] = []
        for rule in snapshot.rules where rule.routeProtocol == Conventions.ownership.routeProtocol {
            objects.append(OwnedObject(kind: .rule, object: rule.description, resource: nil))
        }
        for seen in snapshot.links where seen.isOwned {
            objects.append(
                OwnedObject(kind: .link, object: seen.link.description, resource: directory.ofDevice[seen.link.name]))
        }
        for address in snapshot.addresses {
            objects.append(
                OwnedObject(kind: .address, object: address.description, resource: directory.ofDevice[address.device]))
        }
        for neighbor in snapshot.neighbors {
            objects.append(
                OwnedObject(
                    kind: .neighbor, object: neighbor.description, resource: directory.ofDevice[neighbor.device]))
        }
        for nexthop in snapshot.nexthops {
            let resource = nexthop.device.flatMap { directory.ofDevice[$0] }
            objects.append(OwnedObject(kind: .nexthop, object: nexthop.description, resource: resource))
        }
        for route in snapshot.routes {
            let resource = directory.ofDevice[route.device] ?? directory.ofTable[route.key.table]
            objects.append(OwnedObject(kind: .route, object: route.description, resource: resource))
        }
        return objects
    }
}

/// Reads the resources back from the aliases of the devices.
private struct ResourceDirectory {
    var ofDevice: [InterfaceName: String] = [:]
    var ofTable: [TableID: String] = [:]

    init(_ snapshot: NamespaceSnapshot) {
        for seen in snapshot.links where seen.isOwned {
            let text = seen.link.alias.dropFirst(Conventions.ownership.aliasPrefix.count)
            let resource = String(text.prefix { $0 != " " })
            ofDevice[seen.link.name] = resource
            if case .vrf(let table) = seen.link.kind { ofTable[table] = resource }
        }
    }
}
