import CLinux
import Glibc
import Netlink

/// Several descriptors as one (epoll(7)).
struct Poll: ~Copyable {
    let descriptor: Int32
    private var count: Int32 = 0

    init() throws(NetlinkError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "epoll_create1") }
    }

    deinit { close(descriptor) }

    mutating func add(_ member: Int32, _ events: EPOLL_EVENTS = EPOLLIN) throws(NetlinkError) {
        var event = epoll_event(events: events.rawValue, data: epoll_data_t(fd: member))
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, member, &event) == 0 else {
            throw NetlinkError(errno: errno, operation: "epoll_ctl")
        }
        count += 1
    }

    /// To be called before the member is closed.
    mutating func remove(_ member: Int32) {
        if epoll_ctl(descriptor, EPOLL_CTL_DEL, member, nil) == 0 { count -= 1 }
    }

    /// The members that are ready now.
    func ready() throws(NetlinkError) -> Set<Int32> {
        var events = [epoll_event](repeating: epoll_event(), count: Int(max(count, 1)))
        while true {
            let found = epoll_wait(descriptor, &events, Int32(events.count), 0)
            if found >= 0 { return Set(events.prefix(Int(found)).map(\.data.fd)) }
            guard errno == EINTR else { throw NetlinkError(errno: errno, operation: "epoll_wait") }
        }
    }
}

/// How many descriptors the process may have open (RLIMIT_NOFILE).
enum DescriptorLimit {
    /// Raises the limit to the highest that is allowed, where so many more would not fit.
    static func makeRoom(for count: Int) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        // What the rest of the process has open is a guess.
        guard limit.rlim_cur < rlim_t(count + 256), limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
