public import KernelModel
public import KernelNames
public import VPCTopology
import VPCModel

/// What one host's kernel shall hold, and what of it cannot be had on this machine.
public struct Compilation: Sendable {
    /// Keeps up with what changes.
    var compiler: HostCompiler

    public var intent: KernelIntent { compiler.intent }
    /// By interface.
    public private(set) var unattached: [Unattached] = []
    /// Other hosts with interfaces of VPCs that are here, to which this machine has no route: numbers of
    /// `Topology.hosts`, in their order.
    public private(set) var unreachable: [Int] = []
    /// External networks whose device this machine has not: numbers of `Topology.externalNetworks`, in their order.
    public private(set) var disconnected: [Int] = []
    /// The tables of the VRFs, ascending.
    public var tables: [TableID] { compiler.tables }
    /// The VPCs that are here, numbers of `Topology.vpcs`, and the zones of their connections.
    public var zones: [(vpc: Int, zone: UInt16)] {
        compiler.contexts.keys.filter(\.isMain).map { ($0.vpc, compiler.zone(ofVPC: $0.vpc).rawValue) }
    }
    /// The NAT gateways that are here, numbers of `Topology.natGateways`, and the zones of their connections.
    public var zonesOfNATGateways: [(gateway: Int, zone: UInt16)] {
        compiler.natGateways.compactMap { number, key in
            compiler.contexts[key].map { (number, compiler.zone(of: $0.table).rawValue) }
        }
    }
    /// The uplinks that are there, of networks that this host alone is connected to: numbers of
    /// `Topology.externalNetworks`, the devices in the VPCs' namespace, and what these sit upon.
    public var uplinksAlone: [(network: Int, device: InterfaceName, base: InterfaceName)] {
        compiler.uplinks.filter { $0.value.isPresent && compiler.topology.externalNetworks[$0.key].pair == nil }
            .map { ($0.key, $0.value.device, $0.value.base) }
    }
    /// To judge connections by when the policy is tightened.
    public var policy: HostPolicy { compiler.policy }
    /// To judge connections by when load balancers lead elsewhere.
    public var balancedConnections: BalancedConnections { compiler.balancedConnections }
    /// Nil where every interface has a route of its own.
    public var aggregation: RouteAggregation? {
        guard compiler.aggregatesRoutes else { return nil }
        return compiler.routing.values.reduce(into: RouteAggregation()) { sum, context in
            sum.routes += context.aggregation.routes
            sum.withoutAggregation += context.aggregation.withoutAggregation
        }
    }

    init(compiler: HostCompiler) {
        self.compiler = compiler
        noteMissing()
    }

    private mutating func noteMissing() {
        let reasons = compiler.unattached
        unattached = compiler.topology.inOrder(reasons.keys, of: \.interfaces).compactMap { number in
            reasons[number].map { Unattached(interface: number, reason: $0) }
        }
        unreachable = compiler.unreachable
        disconnected = compiler.disconnected
    }

    /// Lets go of the topology, so that it can be changed in place; only ``take(_:in:_:from:)`` is possible then, or
    /// ``keep(_:)``.
    public mutating func releaseTopology() { compiler.topology = Topology() }

    /// Takes the topology back that it was compiled from.
    public mutating func keep(_ topology: Topology) { compiler.topology = topology }

    /// Follows a topology, and a machine, that have changed: what reads nothing that has changed stays as it is. Gives what
    /// compiling anew gives where the kernel keeps its numbers.
    ///
    /// - Parameters:
    ///   - change: What has changed since the topology that this was compiled from.
    ///   - topology: As it is now.
    ///   - facts: As they are now.
    ///   - snapshot: The kernel as it is now.
    /// - Returns: Where the intent may be another than before; nil, with nothing left to go on with, where everything has
    ///   to be compiled: the host itself has changed, or others have taken its numbers.
    public mutating func take(
        _ change: TopologyChange, in topology: Topology, _ facts: HostFacts, from snapshot: NamespaceSnapshot
    ) -> SuspectObjects? {
        guard compiler.take(change, in: topology, facts, from: snapshot) else { return nil }
        noteMissing()
        defer { compiler.changed = SuspectObjects() }
        return compiler.changed
    }

    /// An interface of this host whose guest is not there, or whose device is not to be had: nothing is made for it, all
    /// else goes on.
    public struct Unattached: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        public var interface: Int
        public var reason: Reason

        public enum Reason: Sendable, Hashable, CustomStringConvertible {
            case noNamespace(NamespaceName)
            case noDevice(String)
            /// Somebody else uses it: what for.
            case foreignDevice(InterfaceName, String)

            /// Whether something has to be changed, not only waited for.
            public var isRefusal: Bool { if case .foreignDevice = self { true } else { false } }

            public var description: String {
                switch self {
                case .noNamespace(let name) where name.description.hasPrefix(BalancerInstance.namespacePrefix):
                    "network namespace \(name) does not exist; vpcd makes it, and runs HAProxy in it"
                case .noNamespace(let name):
                    "network namespace \(name) does not exist; create it (ip netns add \(name))"
                case .foreignDevice(let name, let use):
                    "device \(name) is somebody else's: \(use); the attachment needs a device that only the guest uses (is netns missing?)"
                case .noDevice(let name): "device \(name) does not exist; start the guest that it belongs to"
                }
            }
        }
    }
}

extension Topology {
    /// Compiles this topology for one host (an index into `hosts`).
    /// - Parameter numbering: the numbers in use there; what is new takes free ones.
    public func compiled(for host: Int, facts: HostFacts, numbering: Numbering = Numbering()) -> Compilation {
        var compiler = HostCompiler(topology: self, host: host, facts: facts, numbering: numbering)
        return compiler.compiled()
    }
}

extension KernelIntent {
    /// What shall remain when all that is ours goes: the kernel's own rule for local addresses is put back where it was.
    public static func removal(from snapshot: KernelSnapshot) -> KernelIntent {
        var intent = KernelIntent()
        let moved = snapshot.host.rules.contains { $0 == HostSettings.movedLocalRule }
        if moved { intent.host.rules = [Attributed(HostSettings.kernelLocalRule, from: .none)] }
        return intent
    }
}
