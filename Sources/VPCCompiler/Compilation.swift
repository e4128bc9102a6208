public import KernelModel
public import VPCTopology
import VPCModel
public import KernelNames

/// What one host's kernel shall hold, and what of it cannot be had on this machine.
public struct Compilation: Sendable {
    public var intent: KernelIntent
    /// By interface.
    public var unattached: [Unattached]
    /// Other hosts with interfaces of VPCs that are here, to which this machine has no route: numbers of
    /// `Topology.hosts`, in their order.
    public var unreachable: [Int]
    /// The tables of the VRFs, ascending.
    public var tables: [TableID]
    /// To judge connections by when the policy is tightened.
    public internal(set) var policy: HostPolicy
    /// Nil where every interface has a route of its own.
    public var aggregation: RouteAggregation?
    /// By VPC.
    let contexts: [Context]

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
    /// What shall remain when all that is ours goes: the kernel's own rule for local addresses is put back where it was, and
    /// parameters to what they were.
    public static func removal(from snapshot: KernelSnapshot) -> KernelIntent {
        var intent = KernelIntent()
        let moved = snapshot.host.rules.contains { $0 == HostSettings.movedLocalRule }
        if moved { intent.host.rules = [Attributed(HostSettings.kernelLocalRule, from: .none)] }
        intent.host.formerSysctls = HostSettings.sysctls
        intent.host.formerSharedSettings = HostSettings.sharedSettings
        return intent
    }
}
