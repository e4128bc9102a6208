import Glibc
package import Netlink

extension NetlinkError {
    /// The error of the system call that has just failed on this thread.
    static func system(_ operation: String, _ number: Int32 = Glibc.errno) -> NetlinkError {
        NetlinkError(errno: number, operation: operation)
    }
}

extension NetworkNamespace {
    /// Runs `body` inside, as `enter` does, whatever it throws.
    package func run<Result>(_ body: () throws -> Result) throws -> Result {
        try enter { () throws(NetlinkError) in Swift.Result { try body() } }.get()
    }
}
