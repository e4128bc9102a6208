public import IPAddressing

/// A physical machine (hypervisor) of the underlay.
public struct Host: Hashable, Sendable {
    public var metadata: Metadata
    /// Source and destination of the host's GRE packets.
    public var underlayAddress: IPAddress
    /// The device that owns the address; found from the address when nil.
    public var underlayDevice: String?
    public var region: String?
    public var zone: String?
    /// Whether its tables get the fewest routes that forward alike, instead of one for every interface.
    public var aggregatesRoutes: Bool
    public var dataPlane: DataPlane

    public init(
        metadata: Metadata, underlayAddress: IPAddress, underlayDevice: String? = nil, region: String? = nil,
        zone: String? = nil, aggregatesRoutes: Bool = false, dataPlane: DataPlane = DataPlane()
    ) {
        self.metadata = metadata
        self.underlayAddress = underlayAddress
        self.underlayDevice = underlayDevice
        self.region = region
        self.zone = zone
        self.aggregatesRoutes = aggregatesRoutes
        self.dataPlane = dataPlane
    }

    /// The name of the network namespace that everything of the VPCs is in on this host.
    public var networkNamespace: String { dataPlane.namespace ?? "vpc-\(metadata.name)" }

    /// How a host forwards what is its guests'.
    public struct DataPlane: Hashable, Sendable {
        /// What ``networkNamespace`` is called where it has not the usual name.
        public var namespace: String?
        /// Whether established connections pass by flowtables, past the rules, where the kernel can do that.
        public var offloads: Bool

        public init(namespace: String? = nil, offloads: Bool = true) {
            self.namespace = namespace
            self.offloads = offloads
        }
    }
}

extension Host: ResourceType {
    public static let names = KindNames("Host")
    public static var kind: ResourceKind { .host }
}

extension ResourceKind {
    public static let host = ResourceKind(of: Host.self)
}

extension Model {
    public var hosts: [Host] {
        get { self[Host.self] }
        _modify { yield &self[Host.self] }
    }
}
