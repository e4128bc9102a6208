public import IPAddressing
public import VPCModel

/// A target group with its references resolved.
public struct ResolvedTargetGroup: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.vpcs`.
    public var vpc: Int
    /// Of the targets.
    public var port: UInt16
    public var transport: BalancedProtocol
    /// What the manifest says.
    public var members: TargetGroup.Members
    /// By name, so that every host shares alike.
    public var targets: [Target]
    public var healthCheck: TargetGroup.HealthCheck?
    public var drain: Duration
    public var whenAllUnhealthy: TargetGroup.WhenAllUnhealthy

    public struct Target: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        public var interface: Int
        public var weight: Int

        public init(interface: Int, weight: Int) {
            self.interface = interface
            self.weight = weight
        }
    }
}

/// A load balancer with its references resolved.
public struct ResolvedLoadBalancer: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.vpcs`.
    public var vpc: Int
    public var type: LoadBalancer.Layer
    public var inside: Inside?
    /// A number of `Topology.elasticIPs`.
    public var elasticIP: Int?
    public var scheme: LoadBalancer.Scheme
    public var affinity: LoadBalancer.Affinity
    /// In the order of the manifest.
    public var listeners: [Listener]
    public var instances: [Instance]
    public var clientAddress: LoadBalancer.ClientAddress
    public var logsAccesses: Bool

    public struct Inside: Sendable, Hashable {
        /// A number of `Topology.subnets`.
        public var subnet: Int
        public var address: IPAddress
    }

    public struct Listener: Sendable, Hashable {
        public var transport: BalancedProtocol
        public var port: UInt16
        /// Of type l4 one, that all connections go by.
        public var rules: [Rule]
        public var certificates: [LoadBalancer.Certificate]
        public var redirect: LoadBalancer.Listener.Redirect?
    }

    public struct Rule: Sendable, Hashable {
        public var host: String?
        public var path: String?
        /// A number of `Topology.targetGroups`.
        public var targetGroup: Int
    }

    public struct Instance: Sendable, Hashable {
        /// A number of `Topology.subnets`.
        public var subnet: Int
        /// A number of `Topology.hosts`.
        public var host: Int
        public var address: IPAddress
    }
}

extension ResolvedLoadBalancer {
    /// The target groups that it leads to.
    public var targetGroups: Set<Int> { Set(listeners.flatMap { $0.rules.map(\.targetGroup) }) }
}

extension Topology {
    public var targetGroups: Slots<ResolvedTargetGroup> {
        get { self[ResolvedTargetGroup.self] }
        _modify { yield &self[ResolvedTargetGroup.self] }
    }

    public var loadBalancers: Slots<ResolvedLoadBalancer> {
        get { self[ResolvedLoadBalancer.self] }
        _modify { yield &self[ResolvedLoadBalancer.self] }
    }

    /// The target groups and load balancers of a VPC.
    func balancing(inVPC vpc: Int) -> [NumberedResource] {
        targetGroups.numbered.filter { $0.element.vpc == vpc }.map {
            NumberedResource(kind: .targetGroup, number: $0.number)
        }
            + loadBalancers.numbered.filter { $0.element.vpc == vpc }.map {
                NumberedResource(kind: .loadBalancer, number: $0.number)
            }
    }

    /// Addresses that a load balancer has itself.
    package func addresses(ofBalancer number: Int) -> [IPAddress] {
        loadBalancers[number].places.map(\.address)
    }

    /// Whom a client of a load balancer speaks with: of type l4 the targets that it leads to, of type l7 its instances.
    package func targets(ofBalancer number: Int) -> [IPAddress] {
        let (groups, balancer) = (targetGroups, loadBalancers[number])
        // Who asks speaks with its instances, and these with the targets.
        if balancer.type == .l7 { return addresses(ofBalancer: number) }
        return balancer.targetGroups.flatMap { groups[$0].targets.map { interfaces[$0.interface].address } }
    }

    /// The load balancer whose address in a VPC this is.
    public func loadBalancer(at address: IPAddress, inVPC vpc: Int) -> Int? {
        let balancers = loadBalancers
        if balancers.isEmpty { return nil }
        return balancers.indices.first { balancers[$0].vpc == vpc && balancers[$0].inside?.address == address }
    }
}

extension TopologyChange {
    public internal(set) var targetGroups: Part<ResolvedTargetGroup> {
        get { self[ResolvedTargetGroup.self] }
        set { self[ResolvedTargetGroup.self] = newValue }
    }

    public internal(set) var loadBalancers: Part<ResolvedLoadBalancer> {
        get { self[ResolvedLoadBalancer.self] }
        set { self[ResolvedLoadBalancer.self] = newValue }
    }
}

extension ResolvedTargetGroup: ResolvedResource, NamedInVPC {
    package static var kind: ResourceKind { .targetGroup }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        vpc = numbers.vpcs[vpc]
        for index in targets.indices { targets[index].interface = numbers.interfaces[targets[index].interface] }
    }
}

extension ResolvedLoadBalancer: ResolvedResource, NamedInVPC {
    package static var kind: ResourceKind { .loadBalancer }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        vpc = numbers.vpcs[vpc]
        inside = inside.map { Inside(subnet: numbers.subnets[$0.subnet], address: $0.address) }
        elasticIP = elasticIP.map { numbers.elasticIPs[$0] }
        for listener in listeners.indices {
            for rule in listeners[listener].rules.indices {
                let group = listeners[listener].rules[rule].targetGroup
                listeners[listener].rules[rule].targetGroup = numbers.targetGroups[group]
            }
        }
        instances = instances.map {
            Instance(subnet: numbers.subnets[$0.subnet], host: numbers.hosts[$0.host], address: $0.address)
        }
    }
}
