public import KernelModel
import KernelNames
public import VPCCompiler
public import VPCTopology

extension HostReconciler {
    /// What the compiler has to know of the machine, which devices not to take among it.
    public func facts(of host: Int, in topology: Topology, from snapshot: KernelSnapshot) throws -> HostFacts {
        var facts = try HostFacts(of: host, in: topology, from: snapshot)
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

extension Topology {
    fileprivate func adoptedDevices(of host: Int) -> [InterfaceName] {
        interfacesOfHost[host].compactMap { index in
            guard case .device(let name) = interfaces[index].attachment else { return nil }
            return InterfaceName(name)
        }
    }
}
