public import KernelModel
import KernelNames
import NFTables
import VPCCompiler
import VPCModel

/// A kernel object that is ours, and the resource its device or table names.
public struct OwnedObject: Sendable, Hashable {
    public var kind: ObjectKind
    public var object: String
    /// How much there is of it: `12 elements`, `3 packets, 180 bytes`.
    public var detail: String?
    /// `NetworkInterface/web1`; nil where only the protocol number says that it is ours.
    public var resource: String?

    public init(kind: ObjectKind, object: String, detail: String? = nil, resource: String?) {
        self.kind = kind
        self.object = object
        self.detail = detail
        self.resource = resource
    }
}

extension HostReconciler {
    /// Everything of this machine that is ours, in the order of the kinds.
    public func ownedObjects() throws -> [OwnedObject] {
        let all = try kernel.observe(ObservationRequest(owner: Conventions.ownership, guestScope: .nothing))
        let snapshot = all.host
        let directory = ResourceDirectory(snapshot)
        var objects: [OwnedObject] = []
        for rule in snapshot.rules where rule.routeProtocol == Conventions.ownership.routeProtocol {
            objects.append(OwnedObject(kind: .rule, object: rule.description, resource: nil))
        }
        let host = all.hostName.map { "\(ResourceReference(.host, $0))" }
        if case .own(let namespace) = all.standing {
            objects.insert(OwnedObject(kind: .namespace, object: namespace.description, resource: host), at: 0)
        }
        var tables = try kernel.listings(of: [FirewallTables.underlay], in: .underlay)
        tables += try kernel.listings(of: FirewallTables.all, in: .host)
        for table in tables { objects += table.ownedObjects(ofHost: host) }
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

extension NFListing {
    /// A line for the table and for each of its chains, sets, flowtables and counters.
    fileprivate func ownedObjects(ofHost host: String?) -> [OwnedObject] {
        func object(_ text: String, _ name: String, _ detail: String?) -> OwnedObject {
            let resource = FirewallName(name)?.resource.map { "\($0)" }
            return OwnedObject(kind: .firewall, object: text, detail: detail, resource: resource ?? host)
        }
        func count(_ number: Int, _ unit: String) -> String { "\(number) \(unit)\(number == 1 ? "" : "s")" }
        var list = [OwnedObject(kind: .firewall, object: "table \(table)", resource: host)]
        for chain in chains {
            let base = chain.base.map { " { \($0) }" } ?? ""
            list.append(object("chain \(table) \(chain.name)\(base)", chain.name, count(chain.count, "rule")))
        }
        for set in sets {
            let word = set.shape.data == nil ? "set" : "map"
            list.append(object("\(word) \(table) \(set.name)", set.name, count(set.count, "element")))
        }
        for flowtable in flowtables {
            let devices = count(flowtable.devices.count, "device")
            list.append(object("flowtable \(table) \(flowtable.name)", flowtable.name, devices))
        }
        for counter in objects {
            let counts = counter.counts
            list.append(
                object(
                    "counter \(table) \(counter.name)", counter.name,
                    "\(counts.packets) packets, \(counts.bytes) bytes"))
        }
        return list
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
