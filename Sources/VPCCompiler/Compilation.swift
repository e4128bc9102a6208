public import KernelModel
public import VPCTopology
import VPCModel

/// What one host's kernel shall hold, and what of it cannot be had on this machine.
public struct Compilation: Sendable {
    public var intent: KernelIntent
    /// By interface.
    public var unattached: [Unattached]
    /// Other hosts with interfaces of VPCs that are here, to which this machine has no route: indexes into
    /// `Topology.hosts`, ascending.
    public var unreachable: [Int]
    /// The tables of the VRFs, ascending.
    public var tables: [TableID]
    /// To judge connections by when the policy is tightened.
    public internal(set) var policy: HostPolicy
    /// Nil where every interface has a route of its own.
    public var aggregation: RouteAggregation?
    /// By VPC.
    let contexts: [Context]

    /// An interface of this host whose guest is not there: nothing is made for it, all else goes on.
    public struct Unattached: Sendable, Hashable {
        /// Index into `Topology.interfaces`.
        public var interface: Int
        public var reason: Reason

        public enum Reason: Sendable, Hashable, CustomStringConvertible {
            case noNamespace(NamespaceName)
            case noDevice(String)

            public var description: String {
                switch self {
                case .noNamespace(let name):
                    "network namespace \(name) does not exist; create it (ip netns add \(name))"
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
