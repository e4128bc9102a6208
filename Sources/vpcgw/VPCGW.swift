import ArgumentParser
import CommandOptions
import Console
import Foundation
import GatewayControl
import GatewayPair
import Glibc
import Synchronization

@main
struct VPCGW: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vpcgw", abstract: "Decides which of two gateways of an external network is active.",
        discussion: """
            Runs in the foreground on both gateways of a pair until SIGTERM or SIGINT, and then hands over to the other \
            one. What it has to know is in the kernel, put there by vpcd or 'vpcctl apply': neither of them is needed while \
            it runs, and starting them anew does not matter to it.
            """,
        version: Program.version)

    @Option(help: "A file with a key that both gateways have; nobody else may read it.", completion: .file())
    var key = "/etc/vpcctl/gateway.key"

    @Option(help: "The socket at which 'vpcctl gateway' asks.", completion: .file())
    var socket = ControlClient.standardPath

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        do {
            let end = try End()
            let key = try PairKey.read(key)
            let service = try PairService(.init(key: key, control: socket, log: Self.log))
            Self.log(.notice, "vpcgw \(Program.version) begins")
            service.run(until: end.descriptor) { end.hasCome }
            Self.log(.notice, "vpcgw ends")
        } catch {
            Self.log(.error, "\(error)")
            throw ExitStatus.failed.code
        }
    }

    /// A line on standard error, with its priority in front for the journal (sd-daemon(3)).
    private static let isJournal = getenv("JOURNAL_STREAM") != nil

    @Sendable private static func log(_ level: LogLevel, _ text: String) {
        Streams.errorLine(isJournal ? "<\(level.rawValue)>\(text)" : "vpcgw: \(text)")
    }
}

/// Whether a signal has asked for the end.
private final class End: Sendable {
    /// Readable from then on.
    let descriptor: Int32
    private let state = Atomic<Bool>(false)

    var hasCome: Bool { state.load(ordering: .acquiring) }

    /// Before any other thread is started: they all inherit which signals are blocked.
    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ExitStatus.failed.code }
        descriptor = ends[0]
        let writing = ends[1]
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT] { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let awaited = set
        Thread.detachNewThread {
            var (awaited, number) = (awaited, Int32(0))
            while sigwait(&awaited, &number) != 0 {}
            self.state.store(true, ordering: .releasing)
            _ = write(writing, [0], 1)
        }
    }
}
