/// A kernel parameter of the namespace under /proc/sys.
public struct Sysctl: Hashable, Sendable, KernelObject {
    /// Below /proc/sys, with slashes: `net/ipv4/ip_forward`.
    public var path: String
    public var value: String

    public init(_ path: String, _ value: String) {
        self.path = path
        self.value = value
    }

    public static var kind: ObjectKind { .sysctl }
    public var key: String { path }

    /// `sysctl net.ipv4.ip_forward=1`.
    public var description: String {
        "sysctl " + String(path.map { $0 == "/" ? "." : $0 }) + "=" + value
    }
}
