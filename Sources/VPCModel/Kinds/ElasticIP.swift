public import IPAddressing

/// A public address of an interface.
public struct ElasticIP: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the external network.
    public var externalNetwork: String
    /// Nil: the lowest of the network that is free is chosen for it.
    public var address: IPAddress?
    /// Name of the network interface; nil: the address is reserved.
    public var interface: String?
    public var mode: Mode
    public var bandwidth: Bandwidth

    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// Translated, connection by connection.
        case nat
        /// Translated, packet by packet.
        case stateless
        /// The guest has the address itself.
        case passThrough
    }

    public init(
        metadata: Metadata, externalNetwork: String, address: IPAddress? = nil, interface: String? = nil,
        mode: Mode = .nat,
        bandwidth: Bandwidth = Bandwidth()
    ) {
        self.metadata = metadata
        self.externalNetwork = externalNetwork
        self.address = address
        self.interface = interface
        self.mode = mode
        self.bandwidth = bandwidth
    }
}

extension ElasticIP: ResourceType {
    public static let names = KindNames("ElasticIP", short: ["eip"])
    public static var kind: ResourceKind { .elasticIP }
}

extension ResourceKind {
    public static let elasticIP = ResourceKind(of: ElasticIP.self)
}

extension Model {
    public var elasticIPs: [ElasticIP] {
        get { self[ElasticIP.self] }
        _modify { yield &self[ElasticIP.self] }
    }
}
