public import IPAddressing
internal import VPCModel

/// An address that was chosen for an interface, or an elastic IP, whose manifest leaves it out.
public struct ChosenAddress: Hashable, Sendable {
    /// The interface's name; of an elastic IP ``name(ofElasticIP:)``.
    public var interface: String
    /// The name of the subnet that it was chosen in; of an elastic IP that of the external network.
    public var subnet: String
    public var address: IPAddress

    public init(interface: String, subnet: String, address: IPAddress) {
        self.interface = interface
        self.subnet = subnet
        self.address = address
    }

    /// `ElasticIP/web`: no interface has such a name.
    public static func name(ofElasticIP name: String) -> String { "\(ResourceReference(.elasticIP, name))" }
}

/// What interfaces keep whose manifests leave their addresses out: those that they have had in the same subnet.
public struct KeptAddresses: Sendable {
    private var source: Source

    private enum Source {
        case list([ChosenAddress])
        case topology(Topology)
    }

    /// - Parameter list: One for an interface; without any, all are chosen anew.
    public init(_ list: [ChosenAddress] = []) { source = .list(list) }

    /// What the interfaces of a topology have: who stops stating its address keeps it, too.
    public init(of topology: Topology) { source = .topology(topology) }

    /// By interface. Made when it is wanted: there may be many, and nobody who needs one.
    var byInterface: [String: ChosenAddress] {
        let list =
            switch source {
            case .list(let list): list
            case .topology(let topology):
                topology.interfaces.indices.map { topology.address(of: $0) }
                    + topology.elasticIPs.map { topology.address(of: $0) }
            }
        return Dictionary(list.map { ($0.interface, $0) }, uniquingKeysWith: { first, _ in first })
    }
}

extension Topology {
    /// All that were chosen.
    public var chosenAddresses: [ChosenAddress] {
        interfaces.indices.compactMap { chosenAddress(of: $0) } + elasticIPs.compactMap { chosenAddress(of: $0) }
    }

    /// Nil where the elastic IP states its address.
    public func chosenAddress(of elastic: ResolvedElasticIP) -> ChosenAddress? {
        elastic.hasChosenAddress ? address(of: elastic) : nil
    }

    fileprivate func address(of elastic: ResolvedElasticIP) -> ChosenAddress {
        ChosenAddress(
            interface: ChosenAddress.name(ofElasticIP: elastic.name), subnet: externalNetworks[elastic.network].name,
            address: elastic.address)
    }

    /// Nil where the interface states its address.
    /// - Parameter interface: A number of `interfaces`.
    public func chosenAddress(of interface: Int) -> ChosenAddress? {
        interfaces[interface].hasChosenAddress ? address(of: interface) : nil
    }

    fileprivate func address(of number: Int) -> ChosenAddress {
        let interface = interfaces[number]
        return ChosenAddress(
            interface: interface.name, subnet: subnets[interface.subnet].name, address: interface.address)
    }
}
