import Glibc

/// The service manager that started us, where it wants to hear of us (sd_notify(3)).
struct ServiceManager: Sendable {
    /// NOTIFY_SOCKET: a path, or an abstract name behind an @.
    private let socket: String?
    /// How often it wants a sign of life (WATCHDOG_USEC); nil: not at all.
    let watchdogInterval: Duration?

    /// As the environment says.
    init() {
        socket = Self.environment("NOTIFY_SOCKET")
        let isForUs = Self.environment("WATCHDOG_PID").flatMap { pid_t($0) }.map { $0 == getpid() } ?? true
        let microseconds = Self.environment("WATCHDOG_USEC").flatMap { Int($0) } ?? 0
        watchdogInterval = isForUs && microseconds > 0 ? .microseconds(microseconds) : nil
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    func notifyReady() { notify("READY=1") }
    func notifyStopping() { notify("STOPPING=1") }
    func notifyAlive() { notify("WATCHDOG=1") }
    func notifyStatus(_ text: String) { notify("STATUS=\(text.prefix { $0 != "\n" })") }

    /// A reload begins; ``notifyReady()`` ends it.
    func notifyReloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        notify("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    /// Nothing comes back, and nothing of us depends on it.
    private func notify(_ state: String) {
        guard let socket else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(socket.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        let isAbstract = name[0] == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // An abstract name ends where its length says, a path with a zero.
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1))
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = sendto(descriptor, state, state.utf8.count, Int32(MSG_NOSIGNAL), pointer, length)
            }
        }
    }
}
