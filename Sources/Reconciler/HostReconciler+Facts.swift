public import KernelModel
import IPAddressing
import KernelNames
public import VPCCompiler
public import VPCTopology

extension HostReconciler {
    /// What the compiler has to know of the machine, which devices not to take among it.
    public func facts(of host: Int, in topology: Topology, from snapshot: KernelSnapshot) throws -> HostFacts {
        var facts = try HostFacts(of: host, in: topology, from: snapshot)
        // Where there are flowtables the kernel has been asked before.
        let hasFlows = snapshot.host.firewall.tables.contains { !$0.flowtables.isEmpty }
        if topology.hosts[host].dataPlane.offloads, !hasFlows { facts.offloadObstacle = kernel.offloadObstacle() }
        let devices = topology.adoptedDevices(of: host)
        if devices.isEmpty { return facts }
        let use = ForeignUse(snapshot.outside, Conventions.ownership)
        let inside = ForeignUse(snapshot.host, Conventions.ownership)
        var unused: [InterfaceName] = []
        for device in devices {
            if snapshot.standing.isApart, let seen = snapshot.host.link(named: device) {
                facts.foreignDevices[device] = inside.reason(toSpare: seen)
                continue
            }
            guard let seen = snapshot.outside.link(named: device) else { continue }
            if let reason = use.reason(toSpare: seen) {
                facts.foreignDevices[device] = reason
            } else if !use.isAdopted(seen) {
                unused.append(device)
            }
        }
        // Routes of others are not known: there may be a million. Of a device that is ours nobody asks.
        for (device, route) in try kernel.foreignRoutes(by: unused, owner: Conventions.ownership) {
            facts.foreignDevices[device] = "\(route) leaves by it"
        }
        return facts
    }
}

extension HostFacts {
    /// Whether the machine is what it was after an update, but for addresses and ways: what is ours comes and goes, and so do
    /// devices that nobody asks for.
    /// - Parameter intent: What shall be there.
    public func hold(after update: KernelUpdate, in snapshot: KernelSnapshot, _ intent: NamespaceIntent) -> Bool {
        guard case .some(let devices) = update.objects.links,
            !devices.contains(underlayDevice), missingDevices.isDisjoint(with: devices),
            devices.allSatisfy({ foreignDevices[$0] == nil })
        else { return false }
        let hasAll = devices.allSatisfy { name in
            let place = intent.links.partitionPoint { $0.object.name < name }
            guard place < intent.links.count, intent.links[place].object.name == name,
                intent.links[place].object.kind == .adopted
            else { return true }
            guard let seen = snapshot.host.link(named: name), !seen.isOwned else { return false }
            return seen.link.master.flatMap(snapshot.host.link(named:))?.isOwned ?? false
        }
        return hasAll && update.guests.allSatisfy { snapshot.guests[$0] != nil && !missingNamespaces.contains($0) }
    }
}

extension Topology {
    fileprivate func adoptedDevices(of host: Int) -> [InterfaceName] {
        interfacesOfHost[host].compactMap { index in
            guard case .device(let name) = interfaces[index].attachment else { return nil }
            return InterfaceName(name)
        }
    }
}
