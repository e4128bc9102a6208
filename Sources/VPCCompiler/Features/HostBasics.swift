import KernelModel
import KernelNames
import VPCModel

/// What a host needs whatever its VPCs are: parameters, rules, and the device that sends everything.
struct HostBasics: HostFeature {
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard piece == .host else { return }
        let origin = Origin(.host, host.host)
        let alias = Conventions.alias(ResourceReference(.host, host.topology.hosts[host.host].metadata.name))
        let external = HostSettings.external(
            underlay: host.traits.tunnelDevice, mtu: host.traits.overlayMTU, alias: alias)
        part.links.append(Attributed(external, from: origin))
        let dummy = Address(device: external.name, address: Conventions.dummyAddress, prefixLength: 32)
        part.addresses.append(Attributed(dummy, from: origin))
    }
}

extension HostCompiler {
    /// Parameters and rules, few enough to be made with every change.
    mutating func addHostSettings() {
        let origin = Origin(.host, host)
        intent.host.sysctls = (HostSettings.sysctls + fragmentSysctls + trackingSysctls).map {
            Attributed($0, from: origin)
        }
        .sorted { $0.object.key < $1.object.key }
        intent.host.rules = HostSettings.rules.map { Attributed($0, from: origin) }
            .sorted { $0.object.key < $1.object.key }
        intent.host.displacedRules = [HostSettings.kernelLocalRule]
    }
}
