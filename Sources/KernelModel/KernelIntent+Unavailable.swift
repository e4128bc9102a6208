import KernelNames

extension KernelIntent {
    /// This intent without what would sit on devices that cannot be had: else it would be put on the devices of somebody
    /// else that have their names.
    func without(_ unavailable: Set<InterfaceName>) -> KernelIntent {
        if unavailable.isEmpty { return self }
        var rest = self
        rest.host.addresses.removeAll { unavailable.contains($0.object.device) }
        rest.host.neighbors.removeAll { unavailable.contains($0.object.device) }
        var lost: Set<NexthopID> = []
        for nexthop in host.nexthops {
            if let device = nexthop.object.device, unavailable.contains(device) { lost.insert(nexthop.object.id) }
        }
        let single = lost
        rest.host.nexthops = host.nexthops.compactMap { nexthop in
            if lost.contains(nexthop.object.id) { return nil }
            guard case .group(var group) = nexthop.object.body else { return nexthop }
            group.members.removeAll { single.contains($0.id) }
            if group.members.isEmpty {
                lost.insert(nexthop.object.id)
                return nil
            }
            return Attributed(Nexthop(id: nexthop.object.id, body: .group(group)), from: nexthop.origin)
        }
        rest.host.routes.removeAll { unavailable.contains($0.object.device) || lost.contains($0.object.nexthop) }
        for link in host.links where unavailable.contains(link.object.name) {
            if case .veth(let peer) = link.object.kind { rest.removeGuestEnd(of: peer) }
        }
        return rest
    }

    private mutating func removeGuestEnd(of peer: VethPeer) {
        for index in guests.indices where guests[index].namespace == peer.namespace {
            guests[index].intent.links.removeAll { $0.object.name == peer.name }
            guests[index].intent.addresses.removeAll { $0.object.device == peer.name }
            guests[index].intent.routes.removeAll { $0.object.device == peer.name }
        }
    }
}
