public import KernelModel
public import VPCModel
public import VPCTopology

/// An origin is the kind of a resource in the upper 6 bits and its index in the topology in the others. Nothing but this
/// file knows.
extension Origin {
    private static let indexBits: UInt32 = 26
    private static let indexMask: UInt32 = 1 << indexBits - 1

    init(_ kind: ResourceKind, _ index: Int) {
        assert(index < Int(Self.indexMask), "more resources of a kind than an origin can tell apart")
        self.init(UInt32(truncatingIfNeeded: kind.ordinal) << Self.indexBits | UInt32(truncatingIfNeeded: index))
    }

    /// The index of a resource of this kind; nil where the origin is another one.
    func index(of kind: ResourceKind) -> Int? {
        rawValue >> Self.indexBits == UInt32(truncatingIfNeeded: kind.ordinal) ? Int(rawValue & Self.indexMask) : nil
    }

    /// Nil of `Origin.none`.
    fileprivate var kind: ResourceKind? {
        let ordinal = Int(rawValue >> Self.indexBits)
        return ResourceKind.allCases.indices.contains(ordinal) ? ResourceKind.allCases[ordinal] : nil
    }

    fileprivate var index: Int { Int(rawValue & Self.indexMask) }
}

extension Topology {
    /// The resource that an intended object was compiled from.
    public func resource(of origin: Origin) -> ResourceReference? {
        guard let kind = origin.kind, let name = name(of: kind, at: origin.index) else { return nil }
        return ResourceReference(kind, name)
    }
}
