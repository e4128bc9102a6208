import KernelModel
import Reconciler
import VPCCompiler
import VPCTopology

/// What the desired state of a host was compiled to, kept from pass to pass: it is compiled again only as far as that may
/// give another intent.
struct CompiledHost {
    private var current: Compiled?
    /// What was compiled beside the loop, for a revision that no pass was made for yet.
    private var expected: Compiled?

    private struct Compiled {
        var revision: Int
        var facts: HostFacts
        var compilation: Compilation
        /// What has changed in the topology since, for that revision.
        var pending: (revision: Int, change: TopologyChange)?
    }

    /// What ``bring(to:_:_:from:distrusting:)`` came to.
    enum Change: Equatable {
        /// It is what it was.
        case none
        /// It was compiled again, for the same reasons as before.
        case repeated
        /// Something else may be wanted: there.
        case changed(SuspectObjects)
    }

    var compilation: Compilation? { current?.compilation }

    /// What it was made by; nil where nothing was.
    var liveness: KnownLiveness? { current?.facts.liveness }

    /// The revision that it was made of.
    var revision: Int? { current?.revision }

    /// Whether a device cannot be had because others use it. That their routes are gone is not told of.
    var hasRefusals: Bool { !(current?.facts.foreignDevices.isEmpty ?? true) }

    /// Whether a desired state asks for nothing else of the machine than that which was compiled.
    func asksSame(of desired: Desired) -> Bool {
        guard let current else { return false }
        guard let pending = current.pending else { return current.revision == desired.revision.number }
        return pending.revision == desired.revision.number
            && !pending.change.concernsMachine(of: desired.host, in: desired.topology)
    }

    /// Trusts nothing that was compiled before.
    mutating func forget() { current = nil }

    /// Lets go of the topology, which is to be changed in place.
    mutating func releaseTopology() { current?.compilation.releaseTopology() }

    /// Takes a topology back that was not changed after all.
    mutating func keep(_ topology: Topology, of revision: Int) {
        if current?.revision == revision, current?.pending == nil {
            current?.compilation.keep(topology)
        } else {
            current = nil
        }
    }

    /// Knows how the topology of a revision was changed to that of another one.
    mutating func expect(_ change: TopologyChange, in former: Int?, for revision: Int) {
        if current?.revision != former || current?.pending != nil { current = nil }
        current?.pending = (revision, change)
    }

    /// Knows what a revision is compiled to as long as nothing has changed.
    mutating func expect(_ compilation: Compilation, of facts: HostFacts, for revision: Int) {
        expected = Compiled(revision: revision, facts: facts, compilation: compilation)
    }

    /// Compiles where that may give another intent.
    /// - Parameter isDistrusted: The kernel has refused something: all is compiled again.
    mutating func bring(
        to desired: Desired, _ facts: HostFacts, _ reconciler: HostReconciler, from snapshot: NamespaceSnapshot,
        distrusting isDistrusted: Bool
    ) throws -> Change {
        let number = desired.revision.number
        let isSame = current?.revision == number && current?.facts == facts
        if isSame, !isDistrusted { return .none }
        let ready = expected.take()
        if !isDistrusted {
            if let ready, ready.revision == number, ready.facts == facts {
                current = ready
                return .changed(.everything)
            }
            if let suspects = try follow(desired, facts, reconciler, snapshot) { return .changed(suspects) }
        }
        let compilation = try reconciler.compile(desired.topology, desired.host, facts, snapshot)
        current = Compiled(revision: number, facts: facts, compilation: compilation)
        return isSame ? .repeated : .changed(.everything)
    }

    /// Makes again what reads something that has changed since.
    /// - Returns: where something else may be wanted; nil where all has to be compiled.
    private mutating func follow(
        _ desired: Desired, _ facts: HostFacts, _ reconciler: HostReconciler, _ snapshot: NamespaceSnapshot
    ) throws -> SuspectObjects? {
        let number = desired.revision.number
        // Taken out, because it is changed in place, and copied where somebody else has it.
        guard var compiled = current.take() else { return nil }
        let change = compiled.pending?.change ?? TopologyChange()
        guard compiled.pending?.revision ?? compiled.revision == number,
            let suspects = try reconciler.follow(
                change, in: desired.topology, facts, snapshot, &compiled.compilation)
        else { return nil }
        (compiled.pending, compiled.revision, compiled.facts) = (nil, number, facts)
        current = compiled
        return suspects
    }
}
