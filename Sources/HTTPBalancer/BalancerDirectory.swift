/// Where an instance has its files: nobody but root reads them.
enum BalancerDirectory {
    static let configuration = "haproxy.cfg"
    /// Of the worker, for commands.
    static let socket = "cli"
    static let master = "master"
    static let process = "pid"
    /// Where the process has no other place for what it says.
    static let log = "log"
    /// What workers take for the root of all files.
    static let empty = "empty"
}
