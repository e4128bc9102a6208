import KernelModel
import VPCModel
import KernelNames

/// What a host needs whatever its VPCs are: parameters, rules, and the device that sends everything.
struct HostBasics: HostFeature {
    func contribute(to host: inout HostCompiler) { host.addHostSettings() }
}

extension HostCompiler {
    fileprivate mutating func addHostSettings() {
        let origin = Origin(.host, host)
        let alias = Conventions.alias(ResourceReference(.host, topology.hosts[host].metadata.name))
        intent.host.sysctls = HostSettings.sysctls.map { Attributed($0, from: origin) }
        intent.host.sharedSettings = HostSettings.sharedSettings
        intent.host.parameterOrigin = origin
        intent.host.rules = HostSettings.rules.map { Attributed($0, from: origin) }
        intent.host.displacedRules = [HostSettings.kernelLocalRule]
        let external = HostSettings.external(underlay: tunnelDevice, mtu: overlayMTU, alias: alias)
        intent.host.links.append(Attributed(external, from: origin))
        let dummy = Address(device: external.name, address: Conventions.dummyAddress, prefixLength: 32)
        intent.host.addresses.append(Attributed(dummy, from: origin))
    }
}
