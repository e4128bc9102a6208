import Glibc
import KernelModel
import Netlink

/// Parameters under /proc/sys. Those below net/ belong to the namespace of the thread that looks.
enum ParameterFile {
    /// The value without the line end, or nil where the kernel has no such parameter.
    static func read(_ path: String) throws(NetlinkError) -> String? {
        let descriptor = open("/proc/sys/" + path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw NetlinkError(errno: errno, operation: "read /proc/sys/\(path)")
        }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw NetlinkError(errno: errno, operation: "read /proc/sys/\(path)") }
        var value = buffer[..<count]
        while value.last == UInt8(ascii: "\n") { value.removeLast() }
        return String(decoding: value, as: UTF8.self)
    }

    static func write(_ path: String, _ value: String) throws(NetlinkError) {
        let descriptor = open("/proc/sys/" + path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "write /proc/sys/\(path)") }
        defer { close(descriptor) }
        let bytes = Array(value.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw NetlinkError(errno: errno, operation: "write /proc/sys/\(path)")
        }
    }
}

extension NetworkNamespace {
    /// The parameters that exist, sorted by path.
    func sysctls(_ paths: [String]) throws(NetlinkError) -> [Sysctl] {
        if paths.isEmpty { return [] }
        return try enter { () throws(NetlinkError) in
            var list: [Sysctl] = []
            for path in Set(paths).sorted() {
                if let value = try ParameterFile.read(path) { list.append(Sysctl(path, value)) }
            }
            return list
        }
    }
}
