import Glibc
import Netlink

/// Says that a host and a state directory have their agent. The kernel takes it back when the process ends, however.
///
/// The host's sign is a Unix socket with an abstract name: such names belong to a network namespace, as a host does.
final class HostClaim: Sendable {
    private let socket: Int32
    private let lock: Int32

    private static let name = "\0vpcctl/agent"

    init(stateDirectory: String, namespace: NetworkNamespace) throws(AgentError) {
        let path = stateDirectory + "/lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw .system("open \(path)") }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let owner = (try? Files.read(path)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) } ?? "?"
            close(file)
            throw AgentError(.startup, "another vpcd (pid \(owner)) uses the state directory \(stateDirectory)")
        }
        let text = "\(getpid())"
        ftruncate(file, 0)
        guard pwrite(file, text, text.utf8.count, 0) == text.utf8.count else {
            close(file)
            throw .system("write \(path)")
        }
        do {
            socket = try Self.claim(namespace)
        } catch {
            close(file)
            throw error
        }
        lock = file
    }

    /// A child of this process that has not begun its program yet holds both, too: so they are not only closed.
    deinit {
        shutdown(socket, Int32(SHUT_RDWR))
        close(socket)
        flock(lock, LOCK_UN)
        close(lock)
    }

    private static func claim(_ namespace: NetworkNamespace) throws(AgentError) -> Int32 {
        var failure: AgentError?
        var descriptor: Int32 = -1
        do throws(NetlinkError) {
            try namespace.enter { () throws(NetlinkError) in
                do throws(AgentError) { descriptor = try claimHere() } catch { failure = error }
            }
        } catch {
            throw AgentError(.startup, "\(error)")
        }
        if let failure { throw failure }
        return descriptor
    }

    private static func claimHere() throws(AgentError) -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system("socket(AF_UNIX)", code: .startup) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.utf8.count)
        let (failure, holder) = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { claim(descriptor, $0, length) }
        }
        if failure == 0 { return descriptor }
        close(descriptor)
        guard failure == EADDRINUSE else { throw .system("claim the host", code: .startup, failure) }
        let pid = if case .process(let pid) = holder { "pid \(pid)" } else { "its pid cannot be told" }
        throw AgentError(
            .startup,
            "another vpcd (\(pid)) looks after this host; stop it first, or run this one in another network"
                + " namespace")
    }

    private enum Holder {
        case process(pid_t)
        case unknown
        /// Nobody listens any more; the name is free as soon as the last copy of the descriptor is closed.
        case released
    }

    /// - Returns: 0, or an error number and who has the name.
    private static func claim(
        _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t
    ) -> (Int32, Holder) {
        let deadline = ContinuousClock.now + .seconds(5)
        while true {
            if bind(descriptor, address, length) == 0 { return (listen(descriptor, 1) == 0 ? 0 : errno, .unknown) }
            let number = errno
            guard number == EADDRINUSE else { return (number, .unknown) }
            let holder = holder(address, length)
            guard case .released = holder, ContinuousClock.now < deadline else { return (number, holder) }
            // Nothing tells when a descriptor is closed.
            usleep(1000)
        }
    }

    private static func holder(_ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Holder {
        let descriptor = Glibc.socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return .unknown }
        defer { close(descriptor) }
        if connect(descriptor, address, length) != 0 { return errno == ECONNREFUSED ? .released : .unknown }
        // struct ucred of socket(7).
        var credentials = (pid: pid_t(0), uid: uid_t(0), gid: gid_t(0))
        var size = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else {
            return .unknown
        }
        return .process(credentials.pid)
    }
}
