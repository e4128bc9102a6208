import Glibc

/// Who is at the other end of a Unix socket, as the kernel noted when the connection was made (unix(7)).
struct PeerCredentials: Sendable, Hashable {
    var pid: pid_t
    var uid: uid_t
    var gid: gid_t
    /// The supplementary groups of the process itself (SO_PEERGROUPS), whatever /etc/group says.
    var groups: [gid_t]

    /// - Returns: nil where the kernel does not tell.
    init?(socket: Int32) {
        // struct ucred of socket(7).
        var credentials = (pid: pid_t(0), uid: uid_t(0), gid: gid_t(0))
        var size = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else { return nil }
        (pid, uid, gid) = credentials
        // With too little room the kernel says how much it takes.
        var groups: [gid_t] = []
        var length = socklen_t(0)
        while getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, &groups, &length) != 0 {
            guard errno == ERANGE else { return nil }
            groups = [gid_t](repeating: 0, count: Int(length) / MemoryLayout<gid_t>.stride)
        }
        self.groups = Array(groups.prefix(Int(length) / MemoryLayout<gid_t>.stride))
    }

    /// Whether it may use the API: root, the user that the daemon runs as, and members of the group.
    func isPermitted(_ group: gid_t?) -> Bool {
        if uid == 0 || uid == geteuid() { return true }
        guard let group else { return false }
        return gid == group || groups.contains(group)
    }
}

/// The number of a group; nil where there is none of that name.
func groupNumber(of name: String) -> gid_t? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 1 << 12)
    while getgrnam_r(name, &entry, &buffer, buffer.count, &found) == ERANGE, buffer.count < 1 << 24 {
        buffer = [CChar](repeating: 0, count: buffer.count * 2)
    }
    return found?.pointee.gr_gid
}
