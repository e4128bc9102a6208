import Foundation
import GatewayControl
import Glibc
import Netlink
import Traffic

/// The processes that decide which gateway of a pair is active: in the lab nobody else starts them.
extension Lab {
    /// Starts those that do not run, and waits until of each pair one is active.
    /// - Parameter program: `vpcgw`.
    public func startGateways(_ program: String) throws {
        let networks = plan.topology.externalNetworks.filter { $0.pair != nil }
        let numbers = Set(networks.flatMap { $0.uplinks.map(\.host) })
        if numbers.isEmpty { return }
        let names = Set(numbers.map { plan.topology.hosts[$0].metadata.name })
        let folder = store.folder(of: plan.name)
        try GatewayProcess.makeKey(folder)
        let all = plan.hosts.filter { names.contains($0.name) }.map {
            GatewayProcess(host: $0.name, namespace: $0.namespace, folder: folder)
        }
        for process in all where !process.isRunning { try process.start(program) }
        let end = ContinuousClock.now + .seconds(30)
        while !all.allSatisfy({ $0.isSettled(networks.map(\.name)) }) {
            try Interruption.check()
            guard ContinuousClock.now < end else {
                throw LabError(.system, "no gateway of a pair becomes active: see \(folder)/*.vpcgw.log")
            }
            poll(nil, 0, 20)
        }
    }

    /// Where a gateway's process is asked.
    public func gatewaySocket(of host: String) -> String {
        GatewayProcess(host: host, namespace: "", folder: store.folder(of: plan.name)).socket
    }
}

/// One of them, which outlives who starts it.
struct GatewayProcess {
    let host: String
    let namespace: String
    /// The lab's.
    let folder: String

    var socket: String { "\(folder)/\(host).vpcgw.sock" }
    private var log: String { "\(folder)/\(host).vpcgw.log" }
    private var pid: String { "\(folder)/\(host).vpcgw.pid" }
    private static func key(_ folder: String) -> String { "\(folder)/gateway.key" }

    static func makeKey(_ folder: String) throws {
        if access(key(folder), F_OK) == 0 { return }
        let file = open(key(folder), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw LabError.system("make \(key(folder))") }
        defer { close(file) }
        let text =
            (0..<4).map { _ in String(UInt64.random(in: 0 ... .max), radix: 16) }.joined()
            + String(repeating: "0", count: 16)
        guard write(file, text, text.utf8.count) == text.utf8.count else {
            throw LabError.system("write \(key(folder))")
        }
    }

    private var status: ControlAnswer? { (try? ControlClient.ask(.status, at: socket, seconds: 2)) ?? nil }

    var isRunning: Bool { status != nil }

    /// Whether it knows of its pairs, and that one is active.
    func isSettled(_ networks: [String]) -> Bool {
        guard let pairs = status?.pairs, !pairs.isEmpty else { return false }
        return pairs.allSatisfy { $0.active != nil && $0.peerRole != nil && ($0.role == "active" || $0.isSynchronized) }
    }

    func start(_ program: String) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What ends who has started it is not for it.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let words = [program, "--key", Self.key(folder), "--socket", socket]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        // A child is in the namespace of the thread that starts it.
        let number = try NetworkNamespace.named(namespace).run {
            var number: pid_t = 0
            let failure = posix_spawn(&number, program, &actions, &attributes, arguments, [nil])
            guard failure == 0 else { throw LabError.system("start \(program)", failure) }
            return number
        }
        try "\(number)".write(toFile: pid, atomically: true, encoding: .utf8)
    }

    /// Ends those of a lab, and takes away what they have left there.
    static func endAll(in folder: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where name.hasSuffix(".vpcgw.pid") {
            let text = (try? String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)) ?? ""
            let socket = "\(folder)/\(name.dropLast(4)).sock"
            // The number may be another's by now: who answers at the socket is the one.
            guard let number = pid_t(text), (try? ControlClient.ask(.status, at: socket, seconds: 2)) ?? nil != nil
            else {
                continue
            }
            kill(number, SIGKILL)
            for _ in 0..<400 where kill(number, 0) == 0 {
                // Where it is a child of this process it has to be taken note of.
                waitpid(number, nil, WNOHANG)
                poll(nil, 0, 5)
            }
        }
        for name in names where name.contains(".vpcgw.") || name == "gateway.key" { unlink("\(folder)/\(name)") }
    }
}
