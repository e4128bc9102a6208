import Agent
import Glibc
import Synchronization
import VPCManifest

/// A socket that listens, until somebody takes it or nobody needs it.
final class ListeningSocket: Sendable {
    private let descriptor: Mutex<Int32?>
    /// For messages.
    let name: String
    private let file: SocketFile?

    private init(_ descriptor: Int32, name: String, file: SocketFile? = nil) {
        self.descriptor = Mutex(descriptor)
        self.name = name
        self.file = file
    }

    deinit {
        descriptor.withLock { if let descriptor = $0 { close(descriptor) } }
        removeFile()
    }

    /// Hands the descriptor over, once.
    func take() -> Int32? {
        descriptor.withLock { descriptor in
            defer { descriptor = nil }
            return descriptor
        }
    }

    /// The name in the file system goes, unless it is somebody else's by now. Best while the socket still listens: then
    /// nobody takes it for a dead one's and puts another in its place.
    func removeFile() {
        if let file, SocketFile(file.path) == file { unlink(file.path) }
    }

    /// Connections that may wait to be taken.
    static let backlog: Int32 = 128

    // MARK: Unix

    /// Listens at a path, for root and the members of a group.
    ///
    /// What a dead daemon has left there is replaced; a socket that somebody listens at is not.
    /// - Parameter group: Nil: for root alone.
    static func unix(_ path: String, group: gid_t?) throws(AgentError) -> ListeningSocket {
        let directory = try openDirectory(of: path)
        // Two daemons that start together must not take each other's socket for a dead one's.
        defer { close(directory) }
        guard flock(directory, LOCK_EX) == 0 else { throw .startup("lock the directory of \(path)") }
        try removeDead(path)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .startup("socket(AF_UNIX)") }
        do throws(AgentError) {
            // Of its owner alone until its group is right; bind(2) gives the file this mode.
            guard fchmod(descriptor, 0o600) == 0 else { throw .startup("make \(path)") }
            try withUnixAddress(path) { (address, length) throws(AgentError) in
                guard bind(descriptor, address, length) == 0 else { throw .startup("make the socket \(path)") }
            }
            if let group {
                guard lchown(path, uid_t.max, group) == 0, chmod(path, 0o660) == 0 else {
                    throw .startup("give \(path) to the group \(group)")
                }
            }
            guard listen(descriptor, backlog) == 0 else { throw .startup("listen at \(path)") }
        } catch {
            close(descriptor)
            throw error
        }
        return ListeningSocket(descriptor, name: path, file: SocketFile(path))
    }

    private static func openDirectory(of path: String) throws(AgentError) -> Int32 {
        let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        try Files.makeDirectory(parent, mode: 0o755)
        let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .startup("open \(parent)") }
        return directory
    }

    private static func removeDead(_ path: String) throws(AgentError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw .startup("look at \(path)")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw AgentError(.startup, "\(path) is there already and is no socket; remove it or name another path")
        }
        let probe = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { throw .startup("socket(AF_UNIX)") }
        defer { close(probe) }
        let failure = try withUnixAddress(path) { (address, length) throws(AgentError) in
            connect(probe, address, length) == 0 ? 0 : errno
        }
        switch failure {
        case ECONNREFUSED: break
        case 0, EAGAIN:
            let owner = PeerCredentials(socket: probe).map { " (pid \($0.pid))" } ?? ""
            throw AgentError(
                .startup, "socket in use: another process\(owner) listens at \(path); stop it, or name another socket")
        default: throw .startup("look who listens at \(path)", failure)
        }
        guard unlink(path) == 0 || errno == ENOENT else { throw .startup("remove \(path)") }
    }

    private static func withUnixAddress<Result>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(AgentError) -> Result
    ) throws(AgentError) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw AgentError(.startup, "the path of a socket has less than \(capacity) bytes: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                Swift.Result { () throws(AgentError) in
                    try body(pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
        return try outcome.get()
    }

    // MARK: TCP

    /// Listens at an address and port.
    static func tcp(_ text: String) throws(AgentError) -> ListeningSocket {
        guard let listen = ListenAddress(text) else { throw AgentError(.startup, "\(text) is not ADDRESS:PORT") }
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(listen.host, String(listen.port), &hints, &list) == 0, let first = list?.pointee else {
            throw AgentError(.startup, "\(text) is not ADDRESS:PORT")
        }
        defer { freeaddrinfo(list) }
        let descriptor = socket(first.ai_family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .startup("socket(\(text))") }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, first.ai_addr, first.ai_addrlen) == 0, Glibc.listen(descriptor, backlog) == 0 else {
            let failure = errno
            close(descriptor)
            throw .startup("listen at \(text)", failure)
        }
        return ListeningSocket(descriptor, name: text)
    }
}

/// Which file a path names now.
private struct SocketFile: Equatable {
    var path: String
    var device: dev_t
    var node: ino_t

    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.path = path
        device = status.st_dev
        node = status.st_ino
    }
}

extension AgentError {
    /// The error of the system call that has just failed on this thread.
    static func startup(_ operation: String, _ number: Int32 = errno) -> AgentError {
        let reason = strerror(number).map { String(cString: $0) } ?? "error \(number)"
        return AgentError(.startup, "\(operation): \(reason)")
    }
}
