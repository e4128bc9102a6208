import CTraffic
import Glibc
import Netlink
import Traffic

extension LabError {
    /// The error of the system call that has just failed on this thread.
    static func system(_ operation: String, _ number: Int32 = errno) -> LabError {
        LabError(.system, NetlinkError(errno: number, operation: operation).description)
    }
}

/// Kernel parameters of the namespace that the calling thread is in.
enum KernelParameter {
    /// One that the kernel does not have is left alone.
    /// - Parameter path: Below /proc/sys, such as `net/ipv4/ip_forward`.
    static func set(_ path: String, _ value: String) throws(LabError) {
        let file = open("/proc/sys/" + path, O_WRONLY | O_CLOEXEC)
        if file < 0, errno == ENOENT { return }
        guard file >= 0 else { throw .system("open /proc/sys/\(path)") }
        defer { close(file) }
        guard write(file, value, value.utf8.count) == value.utf8.count else {
            throw .system("set \(path) to \(value)")
        }
    }
}

/// The device `lo` of the namespace that the calling thread is in.
enum Loopback {
    // ip link set lo up
    static func setUp() throws {
        let socket = try Socket(AF_INET, SOCK_DGRAM)
        var request = ifreq()
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: "lo".utf8) }
        request.ifr_ifru.ifru_flags = Int16(IFF_UP | IFF_RUNNING)
        guard ioctl(socket.descriptor, UInt(SIOCSIFFLAGS), &request) == 0 else { throw LabError.system("set lo up") }
    }
}

/// Whole small files.
enum TextFile {
    static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
