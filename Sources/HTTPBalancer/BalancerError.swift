import Glibc

/// Why something about an instance cannot be done: one phrase.
public struct BalancerError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }

    /// The error of the system call that has just failed on this thread.
    static func system(_ operation: String, _ number: Int32 = errno) -> BalancerError {
        BalancerError("\(operation): \(strerror(number).map { String(cString: $0) } ?? "error \(number)")")
    }
}
