import Glibc
package import Netlink

/// Wakes a thread that waits in poll(2).
package final class Bell: Sendable {
    private let ear: Socket
    private let mouth: Socket

    package init() throws(NetlinkError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system("pipe") }
        (ear, mouth) = (Socket(owning: ends[0]), Socket(owning: ends[1]))
    }

    /// Readable from ``ring()`` to ``hush()``.
    package var descriptor: Int32 { ear.descriptor }

    /// A pipe that is full rings already.
    package func ring() { _ = write(mouth.descriptor, [0], 1) }

    package func hush() {
        var rings = [UInt8](repeating: 0, count: 4096)
        while read(ear.descriptor, &rings, rings.count) == rings.count {}
    }
}
