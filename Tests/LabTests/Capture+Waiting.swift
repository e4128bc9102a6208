import Glibc
import Traffic

extension Capture {
    /// Whether a packet that enters is among those that wait, up to it.
    func has(_ isWanted: (IPv4Packet) -> Bool = { _ in true }) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 2048)
        while let sight = next(&buffer) {
            if case .packet(let packet, .entering, _) = sight, isWanted(packet) { return true }
        }
        return false
    }

    /// The same, of those that come until then; by default what is not there for long is given up.
    func waits(
        timeout: Duration = .seconds(20), for isWanted: (IPv4Packet) -> Bool = { _ in true }
    ) -> Bool {
        let deadline = ContinuousClock.now + timeout
        while true {
            if has(isWanted) { return true }
            if ContinuousClock.now >= deadline { return false }
            var polls = PollSet()
            polls.add(socket.descriptor, POLLIN)
            polls.wait(until: deadline)
        }
    }
}
