public import KernelModel
public import KernelNames
public import Reconciler
public import VPCTopology

/// What the kernel shall be equal to; its manifests are those of the revision.
public struct DesiredState: Sendable {
    public var revision: Revision
    public var topology: Topology
    /// A number of `topology.hosts`.
    public var host: Int

    init(_ desired: Desired) {
        (revision, topology, host) = (desired.revision, desired.topology, desired.host)
    }
}

extension Agent {
    /// The desired state; nil until a valid one is known.
    public var desired: DesiredState? { publication.desired }

    /// What is known of a revision that is kept.
    public func revision(_ number: Int) throws(AgentError) -> Revision { try revisions.revision(number) }

    private var reconciler: HostReconciler {
        desired.map { HostReconciler(kernel: kernel, for: $0.host, in: $0.topology) } ?? HostReconciler(kernel: kernel)
    }

    /// Everything in the kernel that is ours. Reads the kernel on the calling thread.
    public func ownedObjects() throws(AgentError) -> [OwnedObject] {
        do {
            return try reconciler.ownedObjects()
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
    }

    /// What the devices of the host's namespace have counted. Reads the kernel on the calling thread.
    public func traffic() throws(AgentError) -> [InterfaceName: LinkTraffic] {
        do {
            return try reconciler.kernel.traffic()
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
    }

    /// What bounds and rates have refused. Reads the kernel on the calling thread.
    public func refusals() throws(AgentError) -> Refusals {
        do {
            return try reconciler.refusals()
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
    }

    /// Has the source read again, now, and the kernel after it.
    public func reload() async throws(AgentError) { try await ask { .reload($0) } }

    /// Returns as soon as the agent's thread takes requests: between two passes.
    public func ping() async throws(AgentError) { try await ask { .ping($0) } }
}

extension Agent {
    /// The number of the network namespace that the agent looks after; nil where that has gone.
    public var networkNamespace: UInt64? { claim.withLock { $0?.networkNamespace } }
}
