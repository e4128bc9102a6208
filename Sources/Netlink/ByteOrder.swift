/// A number whose bytes in memory are in network order, whatever the machine's own order is.
///
/// Netlink carries most numbers in host order and some (GRE keys, ports, all of nf_tables' expressions) in network
/// order; which one is meant is therefore part of the type. Same size as `Value`, trivially copyable.
public struct BigEndian<Value: FixedWidthInteger & BitwiseCopyable & Sendable>: BitwiseCopyable, Hashable, Sendable {
    /// The bytes as they lie in memory, read as a number in host order: rarely what is wanted, see ``value``.
    @usableFromInline let stored: Value

    @inlinable public init(_ value: Value) { stored = value.bigEndian }

    /// The number itself.
    @inlinable public var value: Value { Value(bigEndian: stored) }
}

extension BigEndian: CustomStringConvertible {
    public var description: String { String(describing: value) }
}
