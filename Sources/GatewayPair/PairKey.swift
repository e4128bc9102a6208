public import GatewayControl
internal import Glibc

/// What the two gateways of a pair know each other by: the content of a file, which nobody else may read.
public enum PairKey {
    private static let shortest = 32
    private static let longest = 1024

    public static func read(_ path: String) throws(PairError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else {
            throw PairError(
                "\(path): \(String(cString: strerror(errno))); 'openssl rand -hex 32' makes a key, which both gateways need"
            )
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw PairError("\(path) is no regular file")
        }
        guard status.st_mode & 0o077 == 0, status.st_uid == 0 || status.st_uid == geteuid() else {
            throw PairError("\(path) can be read or replaced by others: 'chown root \(path)', 'chmod 600 \(path)'")
        }
        var bytes = [UInt8](repeating: 0, count: longest + 1)
        let count = Glibc.read(file, &bytes, bytes.count)
        let isSpace: (UInt8) -> Bool = { [9, 10, 13, 32].contains($0) }
        var key = bytes[..<max(count, 0)]
        while let last = key.last, isSpace(last) { key.removeLast() }
        guard (shortest...longest).contains(key.count) else {
            throw PairError("\(path) has \(key.count) bytes of a key: it takes \(shortest) to \(longest)")
        }
        return Array(key)
    }
}
