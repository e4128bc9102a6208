internal import Glibc
internal import Synchronization

/// Has one change refused, as the kernel refuses it when it is out of memory: what is left of something that fails
/// half-way is otherwise seen only on machines that are. For tests.
///
/// The message goes out as one that the kernel does nothing about (NLMSG_NOOP), among all the others; what comes after it
/// is carried out.
package final class InjectedRefusal: Sendable {
    private let state: Mutex<State>

    private struct State {
        var left: Int
        var refused: String?
    }

    /// - Parameter position: Which change of all that are sent from now on, from 0.
    package init(at position: Int) { state = Mutex(State(left: position)) }

    /// What was refused; nil where there were not so many changes.
    package var refused: String? { state.withLock { $0.refused } }

    /// Asked before so many changes are made.
    /// - Returns: The one of them that is refused.
    package func claim(_ count: Int) -> Int? {
        state.withLock { state in
            guard state.left >= 0 else { return nil }
            defer { state.left -= count }
            return state.left < count ? state.left : nil
        }
    }

    /// Asked before one change is made.
    package func refuse(_ operation: String) throws(NetlinkError) {
        if claim(1) == nil { return }
        throw refusal(of: operation)
    }

    package func refusal(of operation: String) -> NetlinkError {
        state.withLock { $0.refused = operation }
        return NetlinkError(errno: ENOMEM, operation: operation, message: "refused on purpose")
    }
}

extension MessageWriter {
    /// Turns the message at that position, of those written, into one that the kernel does nothing about.
    mutating func disarm(_ position: Int) -> (sequence: UInt32, type: MessageType) {
        var start = 0
        for _ in 0..<position { start += Wire.aligned(Int(base.load(fromByteOffset: start, as: UInt32.self))) }
        let type = MessageType(base.load(fromByteOffset: start + 4, as: UInt16.self))
        base.storeBytes(of: MessageType.noop.rawValue, toByteOffset: start + 4, as: UInt16.self)
        return (base.load(fromByteOffset: start + 8, as: UInt32.self), type)
    }
}
