public import VPCModel

/// What became of a model: the topology, where all of it holds together, and everything there is to say about it.
public struct Resolution: Sendable {
    /// Nil where the model has gaps or a diagnostic is an error.
    public var topology: Topology?
    /// Of the topology.
    public var index: TopologyIndex
    /// Errors and warnings, in no particular order.
    public var diagnostics: [Diagnostic]
}

extension Topology {
    /// Resolves all references of a model and checks every rule that concerns more than one field.
    ///
    /// Takes time in proportion to the model (sorting aside), and reports every violation, not only the first. Policies
    /// that no host can hold are a violation: `policy-too-large`.
    ///
    /// - Parameters:
    ///   - former: A topology whose numbers the resources of the same names keep.
    ///   - kept: What interfaces keep that leave their addresses out; nil: nobody would keep what is chosen for them, so
    ///     that they have to state their addresses.
    public static func resolve(
        _ model: Model, numbering former: Topology? = nil, keeping kept: KeptAddresses? = nil
    ) -> Resolution {
        resolve(model, numbering: former, keeping: kept, limits: TrafficLimits())
    }

    static func resolve(
        _ model: Model, numbering former: Topology? = nil, keeping kept: KeptAddresses? = nil,
        limits: TrafficLimits
    ) -> Resolution {
        var resolver = Resolver(model, numbering: former, keeping: kept, limits: limits)
        resolver.resolve()
        resolver.topology.release()
        let isSound = model.gaps.isEmpty && !resolver.diagnostics.contains { $0.severity == .error }
        return Resolution(
            topology: isSound ? resolver.topology : nil, index: resolver.index,
            diagnostics: resolver.diagnostics.compactMap { $0.blaming(model.loadBalancers) })
    }
}
