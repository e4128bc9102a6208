package import IPAddressing
import KernelModel
package import KernelNames

extension FakeWorld {
    /// A machine as it is before anything of ours is there: a loopback device, an uplink with an address, the kernel's own
    /// rules, and parameters that are all 0.
    ///
    /// - Parameters:
    ///   - remotes: What the uplink leads to.
    ///   - guests: Namespaces with nothing but a loopback device.
    package init(
        owner: Ownership, parameters: [String], uplink: InterfaceName, address: IPAddress, remotes: [IPAddress] = [],
        guests: [NamespaceName] = []
    ) {
        self.init(owner: owner)
        host.addLoopback()
        host.add(Link(name: uplink, kind: .adopted, mtu: 1500), kindName: "")
        host.state.foreignAddresses.append(Address(device: uplink, address: address, prefixLength: 24))
        host.state.sysctls = Set(parameters).sorted().map { Sysctl($0, "0") }
        host.state.paths = remotes.sorted().map { Path(destination: $0, devices: [uplink], mtu: 1500) }
        host.state.firewall.generation = 1
        for guest in guests {
            var namespace = FakeNamespace(owner: owner)
            namespace.addLoopback()
            self.guests[guest] = namespace
        }
    }
}

extension FakeNamespace {
    fileprivate mutating func addLoopback() {
        let tables: [(UInt32, TableID)] = [(0, .local), (32766, .main), (32767, TableID(253))]
        state.rules = tables.map { Rule(priority: $0.0, action: .lookup($0.1), routeProtocol: .kernel) }
        guard let name = InterfaceName("lo") else { return }
        add(Link(name: name, kind: .adopted, mtu: 65536), kindName: "")
        for index in state.links.indices { state.links[index].isLoopback = true }
    }
}
