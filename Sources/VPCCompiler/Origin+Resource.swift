public import KernelNames
public import VPCModel
public import VPCTopology

/// An origin is the kind of a resource in the upper 6 bits and its number in the others: it says the same as long as the
/// resource exists, whatever the topology. Nothing but this file knows.
extension Origin {
    private static let numberBits: UInt32 = 26
    private static let numberMask: UInt32 = 1 << numberBits - 1

    init(_ kind: ResourceKind, _ number: Int) {
        assert(number < Int(Self.numberMask), "more resources of a kind than an origin can tell apart")
        self.init(UInt32(truncatingIfNeeded: kind.ordinal) << Self.numberBits | UInt32(truncatingIfNeeded: number))
    }

    /// Nil of `Origin.none`.
    var kind: ResourceKind? {
        let ordinal = Int(rawValue >> Self.numberBits)
        return ResourceKind.allCases.indices.contains(ordinal) ? ResourceKind.allCases[ordinal] : nil
    }

    var number: Int { Int(rawValue & Self.numberMask) }
}

extension Topology {
    /// The resource that an intended object was compiled from; nil where it is gone.
    public func resource(of origin: Origin) -> ResourceReference? {
        guard let kind = origin.kind, let name = name(of: kind, at: origin.number) else { return nil }
        return ResourceReference(kind, name).declared
    }
}
