internal import CLinux
internal import Glibc

/// A network namespace: its own links, addresses, routes, rules and nf_tables.
public struct NetworkNamespace: Hashable, Sendable {
    /// A file that stands for the namespace, or nil for the one that the calling thread is in.
    public let path: String?

    private init(path: String?) { self.path = path }

    /// The one that the calling thread is in.
    public static let current = NetworkNamespace(path: nil)

    /// The one that iproute2 and everything compatible with it knows by this name: `/run/netns/NAME`.
    public static func named(_ name: String) -> NetworkNamespace { NetworkNamespace(path: "\(directory)/\(name)") }

    /// The one that a file stands for: a bind mount of a namespace, or `/proc/PID/ns/net`.
    public static func path(_ path: String) -> NetworkNamespace { NetworkNamespace(path: path) }

    /// Where named namespaces are mounted (ip-netns(8)).
    public static let directory = "/run/netns"

    // MARK: Being inside

    /// Runs `body` inside the namespace and waits for it.
    ///
    /// A namespace belongs to a thread, so `body` runs on a thread of its own, which ends with it: no other thread of
    /// the process changes its namespace, whatever happens. Sockets opened inside stay inside. In ``current`` there is
    /// nothing to enter and `body` runs where the caller is.
    ///
    /// `/proc/sys/net` shows the namespace inside `body`; `/proc/self/net` and `/proc/net` do not (they are those of
    /// the process's first thread: use `/proc/thread-self/net`).
    ///
    /// - Throws: What `body` throws, or a ``NetlinkError`` when the namespace cannot be entered.
    public func enter<Result: ~Copyable>(
        _ body: () throws(NetlinkError) -> Result
    ) throws(NetlinkError) -> Result {
        guard let path else { return try body() }
        let descriptor = try Self.open(path)
        return try Self.onOwnThread { () throws(NetlinkError) in
            guard linux_enter_network_namespace(descriptor.number) == 0 else {
                throw .system("enter network namespace \(path)")
            }
            return try body()
        }
    }

    /// Opens the namespace, for attributes that take a descriptor (`IFLA_NET_NS_FD`) and to keep it from going away.
    public func opened() throws(NetlinkError) -> OpenNamespace {
        OpenNamespace(try Self.open(path ?? "/proc/thread-self/ns/net"))
    }

    /// Whether the namespace can be entered. A mere file in ``directory`` is none: it is what is left after a crash.
    public var exists: Bool {
        guard let descriptor = try? Self.open(path ?? "/proc/thread-self/ns/net") else { return false }
        return linux_is_network_namespace(descriptor.number) != 0
    }

    /// The number of the namespace, unique in the running system and the same whatever path leads to it.
    public func identity() throws(NetlinkError) -> UInt64 {
        let descriptor = try Self.open(path ?? "/proc/thread-self/ns/net")
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw .system("stat network namespace") }
        return UInt64(status.st_ino)
    }

    /// A number that no other namespace has or will have until the machine is started anew (SO_NETNS_COOKIE); an
    /// inode number, in contrast, is given to the next namespace once this one is gone.
    public func cookie() throws(NetlinkError) -> UInt64 {
        try enter { () throws(NetlinkError) in
            let cookie = linux_network_namespace_cookie()
            guard cookie != 0 else { throw .system("identify network namespace") }
            return cookie
        }
    }

    /// Whether there is a namespace of that cookie that has a name or a process: one that is only held open by somebody is
    /// not found.
    public static func isThere(_ cookie: UInt64) throws(NetlinkError) -> Bool {
        let named = try names().map { NetworkNamespace.named($0) }
        var seen: Set<UInt64> = []
        for namespace in named + (try ofProcesses()) {
            // One that goes while it is looked at is not there.
            guard let identity = try? namespace.identity(), seen.insert(identity).inserted, namespace.exists else {
                continue
            }
            if (try? namespace.cookie()) == cookie { return true }
        }
        return false
    }

    private static func ofProcesses() throws(NetlinkError) -> [NetworkNamespace] {
        try entries(of: "/proc").filter { $0.allSatisfy(\.isNumber) }.map { .path("/proc/\($0)/ns/net") }
    }

    // MARK: Making and removing

    /// Makes a namespace with a name, as `ip netns add` does. Only its `lo` is inside, down.
    ///
    /// - Throws: `EEXIST` when the name is in use.
    @discardableResult
    public static func create(named name: String) throws(NetlinkError) -> NetworkNamespace {
        try withName(name) { () throws(NetlinkError) in
            guard linux_unshare_network_namespace() == 0 else { throw .system("create network namespace \(name)") }
        }
    }

    /// Gives the namespace another name, or one again, as `ip netns attach` does.
    ///
    /// - Throws: `EEXIST` when the name is in use.
    @discardableResult
    public func named(also name: String) throws(NetlinkError) -> NetworkNamespace {
        let descriptor = try Self.open(path ?? "/proc/thread-self/ns/net")
        return try Self.withName(name) { () throws(NetlinkError) in
            guard linux_enter_network_namespace(descriptor.number) == 0 else {
                throw .system("enter network namespace \(path ?? "")")
            }
        }
    }

    /// Gives a name to the namespace that `enter` brings a thread of its own into.
    ///
    /// The name is for everybody, so it is made among the mounts that outlive this process (``Mounts``).
    private static func withName(
        _ name: String, _ enter: () throws(NetlinkError) -> Void
    ) throws(NetlinkError) -> NetworkNamespace {
        try check(name)
        let target = "\(directory)/\(name)"
        try onOwnThread { () throws(NetlinkError) in
            try enter()
            let inside = try open("/proc/thread-self/ns/net")
            let own = try open("/proc/thread-self/ns/mnt")
            let isElsewhere = try Mounts.enterOuter(than: own.number, for: directory)
            try mount(inside, on: target, name)
            guard isElsewhere, linux_enter_mount_namespace(own.number) == 0 else { return }
            // Mounts that nothing is propagated to.
            if !NetworkNamespace(path: target).exists { try bind(inside, target) }
        }
        return NetworkNamespace(path: target)
    }

    private static func mount(
        _ namespace: borrowing OwnedDescriptor, on target: String, _ name: String
    ) throws(NetlinkError) {
        try prepareDirectory()
        let file = Glibc.open(target, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0)
        guard file >= 0 else { throw .system("create network namespace \(name)") }
        close(file)
        do throws(NetlinkError) {
            try bind(namespace, target)
        } catch {
            unlink(target)
            throw error
        }
    }

    private static func bind(_ namespace: borrowing OwnedDescriptor, _ target: String) throws(NetlinkError) {
        guard linux_bind_mount("/proc/thread-self/fd/\(namespace.number)", target, 0) == 0 else {
            throw .system("mount \(target)")
        }
    }

    /// Runs `body` in a new, empty namespace without a name, which is gone when nothing opened inside is left.
    public static func withTemporary<Result: ~Copyable>(
        _ body: () throws(NetlinkError) -> Result
    ) throws(NetlinkError) -> Result {
        try onOwnThread { () throws(NetlinkError) in
            guard linux_unshare_network_namespace() == 0 else { throw .system("create a network namespace") }
            return try body()
        }
    }

    /// Removes the name, as `ip netns del` does. The namespace itself, with all that is in it, goes when its last
    /// process, socket and descriptor is gone; the kernel does that in the background.
    ///
    /// - Throws: `ENOENT` when there is no such name.
    public static func remove(named name: String) throws(NetlinkError) {
        try check(name)
        let target = "\(directory)/\(name)"
        try onOwnThread { () throws(NetlinkError) in
            let own = try open("/proc/thread-self/ns/mnt")
            // Where it was mounted, and may be removed: to a sandbox all else may be read-only.
            _ = try? Mounts.enterOuter(than: own.number, for: directory)
            // EINVAL: a file that nothing is mounted on.
            guard linux_detach_mount(target) == 0 || errno == EINVAL else {
                throw .system("remove network namespace \(name)")
            }
            // Takes all other mounts on it away.
            guard unlink(target) == 0 else { throw .system("remove network namespace \(name)") }
        }
    }

    /// The names in use, sorted.
    public static func names() throws(NetlinkError) -> [String] { try entries(of: directory) }

    private static func entries(of directory: String) throws(NetlinkError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw .system("list \(directory)")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether there is anything of this name, a namespace or a file that none is mounted on.
    public static func isNameInUse(_ name: String) -> Bool { access("\(directory)/\(name)", F_OK) == 0 }

    private static func check(_ name: String) throws(NetlinkError) {
        guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), name.utf8.count <= 255 else {
            throw NetlinkError(errno: EINVAL, operation: "network namespace name \"\(name)\"")
        }
    }

    private static func open(_ path: String) throws(NetlinkError) -> OwnedDescriptor {
        let descriptor = OwnedDescriptor(Glibc.open(path, O_RDONLY | O_CLOEXEC))
        guard descriptor.number >= 0 else { throw .system("open network namespace \(path)") }
        return descriptor
    }

    /// Makes the directory a shared mount, as iproute2 does: only then does a name made here, or removed here, appear
    /// and disappear in other mount namespaces (of services, of `ip netns exec`), instead of being held there for ever.
    private static func prepareDirectory() throws(NetlinkError) {
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else { throw .system("create \(directory)") }
        let lock = OwnedDescriptor(Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        // Two processes at once would mount it twice. iproute2 takes the same lock; without it (an odd file system)
        // we go on, as it does.
        if lock.number >= 0 { flock(lock.number, LOCK_EX) }
        var bound = false
        while linux_share_mount(directory) != 0 {
            // EINVAL: not a mount point yet.
            guard errno == EINVAL, !bound else { throw .system("share \(directory)") }
            guard linux_bind_mount(directory, directory, 1) == 0 else {
                throw .system("mount \(directory)")
            }
            bound = true
        }
    }

    // MARK: Threads

    /// Runs `body` on a new thread and waits until that has ended.
    private static func onOwnThread<Result: ~Copyable>(
        _ body: () throws(NetlinkError) -> Result
    ) throws(NetlinkError) -> Result {
        let outcome = Outcome<Result>()
        // A thread does not inherit what is local to the task.
        let isTraced = NetlinkTrace.isOn
        let failure = withoutActuallyEscaping(body) { body in
            let start = Unmanaged.passRetained(
                ThreadStart {
                    NetlinkTrace.$isOn.withValue(isTraced) {
                        do throws(NetlinkError) {
                            outcome.result = try body()
                        } catch {
                            outcome.error = error
                        }
                    }
                })
            var thread = pthread_t()
            let failure = pthread_create(
                &thread, nil,
                { argument in
                    if let argument { Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().body() }
                    return nil
                }, start.toOpaque())
            if failure == 0 { pthread_join(thread, nil) } else { start.release() }
            return failure
        }
        guard failure == 0 else { throw NetlinkError(errno: failure, operation: "start a thread") }
        if let error = outcome.error { throw error }
        guard let result = outcome.result.take() else {
            throw NetlinkError(errno: ECANCELED, operation: "run in a network namespace")
        }
        return result
    }

    /// What a thread is to do. The starter waits for its end, so nothing of it is ever used by two threads at once.
    private final class ThreadStart {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private final class Outcome<Result: ~Copyable> {
        var result: Result?
        var error: NetlinkError?
    }
}

/// A network namespace held open: it exists as long as this does.
public final class OpenNamespace: Sendable {
    private let owned: OwnedDescriptor

    init(_ owned: consuming OwnedDescriptor) { self.owned = owned }

    /// Valid as long as this object.
    public var descriptor: Int32 { owned.number }

    /// The same namespace, whatever becomes of the name that it was opened by; valid as long as this object.
    public var namespace: NetworkNamespace { .path("/proc/self/fd/\(owned.number)") }
}
