public import IPAddressing

/// Where a VPC's packets leave for an external network, with public addresses in the place of their own.
public struct NATGateway: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the subnet that it is in.
    public var subnet: String
    /// Its own, in the VPC.
    public var address: IPAddress
    /// Name of the external network.
    public var externalNetwork: String
    /// Public ones that are its alone: an inside address always has the same one of them.
    public var addresses: [IPAddress]

    public static let maximumAddresses = 64

    public init(
        metadata: Metadata, subnet: String, address: IPAddress, externalNetwork: String, addresses: [IPAddress]
    ) {
        self.metadata = metadata
        self.subnet = subnet
        self.address = address
        self.externalNetwork = externalNetwork
        self.addresses = addresses
    }
}

extension NATGateway: ResourceType {
    public static let names = KindNames("NATGateway", short: ["nat"])
    public static var kind: ResourceKind { .natGateway }
}

extension ResourceKind {
    public static let natGateway = ResourceKind(of: NATGateway.self)
}

extension Model {
    public var natGateways: [NATGateway] {
        get { self[NATGateway.self] }
        _modify { yield &self[NATGateway.self] }
    }
}
