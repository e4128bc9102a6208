import Glibc
import Netlink

/// HAProxy's master process of one instance: it outlives who has started it.
struct HAProxyProcess {
    /// Of the instance.
    let directory: String
    /// Which it is to run in.
    let namespace: String
    /// The template's instance, `vpc-lb@NAME.service`; nil where no service manager starts it.
    let unit: String?

    static let program = "/usr/sbin/haproxy"

    /// Whether Debian's package is there.
    static var isInstalled: Bool { access(program, X_OK) == 0 }

    var worker: HAProxySocket { HAProxySocket(path: "\(directory)/\(BalancerDirectory.socket)") }
    private var master: HAProxySocket { HAProxySocket(path: "\(directory)/\(BalancerDirectory.master)") }

    /// Whether HAProxy takes a configuration.
    static func check(_ path: String) throws(BalancerError) {
        let tool = try Tool([program, "-c", "-f", path])
        if tool.status == 0 { return }
        let lines = tool.output.split(separator: "\n").filter { $0.contains("[ALERT]") }
        let text = (lines.first ?? tool.output.split(separator: "\n").last).map(String.init) ?? "status \(tool.status)"
        throw BalancerError("HAProxy refuses its configuration: \(text)")
    }

    /// - Throws: where it has not begun to answer within ten seconds.
    func start() throws(BalancerError) {
        if let unit {
            let tool = try Tool(["/usr/bin/systemctl", "restart", unit])
            guard tool.status == 0 else { throw BalancerError("systemctl restart \(unit): \(tool.output)") }
        } else {
            try startAlone()
        }
        _ = try awaited { _ in true }
    }

    private func startAlone() throws(BalancerError) {
        // Of the one before.
        for name in [BalancerDirectory.process, BalancerDirectory.socket, BalancerDirectory.master] {
            unlink("\(directory)/\(name)")
        }
        // A session of its own, whose parent is init.
        let command = [
            "/usr/bin/setsid", "--fork", Self.program, "-W", "-db",
            "-f", "\(directory)/\(BalancerDirectory.configuration)", "-p", "\(directory)/\(BalancerDirectory.process)",
            "-S", "\(directory)/\(BalancerDirectory.master),mode,600",
        ]
        var failure: BalancerError?
        do {
            try NetworkNamespace.named(namespace).enter { () throws(NetlinkError) in
                do throws(BalancerError) {
                    let tool = try Tool(command, output: "\(directory)/\(BalancerDirectory.log)")
                    if tool.status != 0 { failure = BalancerError("setsid: \(tool.output)") }
                } catch {
                    failure = error
                }
            }
        } catch {
            throw BalancerError("\(error)")
        }
        if let failure { throw failure }
    }

    /// Has a new worker take over, with the configuration as it is now. Nobody who connects is refused meanwhile.
    /// - Returns: the new worker.
    func reload(to frame: String) throws(BalancerError) -> WorkerState {
        _ = try master.ask("reload")
        return try awaited { $0.frame == frame }
    }

    /// Waits for a worker that is as wanted.
    private func awaited(_ isWanted: (WorkerState) -> Bool) throws(BalancerError) -> WorkerState {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            if let state = try? WorkerState(worker), isWanted(state) { return state }
            guard ContinuousClock.now < deadline else {
                throw BalancerError("HAProxy does not answer\(lastWords.map { ": \($0)" } ?? "")")
            }
            // It tells nobody when it has begun.
            usleep(50_000)
        }
    }

    private var lastWords: String? {
        SmallFile.text("\(directory)/\(BalancerDirectory.log)")?.split(separator: "\n")
            .last { $0.contains("[ALERT]") }.map(String.init)
    }

    func stop() throws(BalancerError) {
        if let unit {
            let tool = try Tool(["/usr/bin/systemctl", "stop", unit])
            guard tool.status == 0 else { throw BalancerError("systemctl stop \(unit): \(tool.output)") }
            return
        }
        guard let process else { return }
        kill(process, SIGTERM)
        let deadline = ContinuousClock.now + .seconds(5)
        while self.process == process {
            if ContinuousClock.now > deadline { kill(process, SIGKILL) }
            usleep(20_000)
        }
    }

    /// The number of the master process; nil where there is none. Another one may have got its number.
    private var process: pid_t? {
        let text = SmallFile.text("\(directory)/\(BalancerDirectory.process)")
        guard let number = text.flatMap({ pid_t($0.split(separator: "\n").first ?? "") }), number > 1,
            let command = SmallFile.special("/proc/\(number)/cmdline")
        else { return nil }
        let words = command.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.contains("\(directory)/\(BalancerDirectory.configuration)") ? number : nil
    }

    /// What is written to it grows for ever otherwise: HAProxy appends to it, so that it goes on at the beginning.
    func trimLog() {
        let path = "\(directory)/\(BalancerDirectory.log)"
        if let stamp = SmallFile.stamp(path), stamp.size > 16 << 20 { truncate(path, 0) }
    }
}
