public import KernelNames

/// The kinds of kernel objects, in the order in which they are created; deletion goes the other way.
public enum ObjectKind: String, Hashable, Sendable, CaseIterable {
    case namespace
    case sysctl
    case rule
    case firewall
    case link
    case address
    case neighbor
    case nexthop
    case route
    case connection
}

/// A kernel object as a value: its key is the kernel's own, so two objects with one key cannot exist together.
public protocol KernelObject: Hashable, Sendable, CustomStringConvertible {
    associatedtype Key: Hashable, Comparable, Sendable
    static var kind: ObjectKind { get }
    var key: Key { get }
}

/// A desired object with the resource it was compiled from.
///
/// `Object` is a ``KernelObject``, here and in ``ChangeSet`` and ``Replacement``. That is not said, since the runtime would
/// look for its conformance once for each kind of object, among all conformances there are.
public struct Attributed<Object> {
    public var object: Object
    public var origin: Origin

    @inlinable public init(_ object: Object, from origin: Origin) {
        self.object = object
        self.origin = origin
    }
}

extension Attributed: Equatable where Object: Equatable {}
extension Attributed: Hashable where Object: Hashable {}
extension Attributed: Sendable where Object: Sendable {}
