import ArgumentParser
import CommandOptions
import Console
import GatewayControl

struct Gateway: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which gateway of a pair is active, or have the other one take over.",
        subcommands: [GatewayStatus.self, GatewayFailover.self], defaultSubcommand: GatewayStatus.self)
}

struct GatewaySocketOptions: ParsableArguments {
    @Option(help: "The socket of vpcgw.", completion: .file())
    var socket = ControlClient.standardPath

    /// What vpcgw answers.
    func ask(_ request: ControlRequest, _ global: GlobalOptions) throws -> ControlAnswer {
        do {
            if let answer = try ControlClient.ask(request, at: socket) { return answer }
            global.error(
                "no vpcgw answers at \(socket): is this a gateway of a pair? 'systemctl status vpcgw' says more")
        } catch {
            global.error("\(error)")
        }
        throw ExitStatus.failed.code
    }
}

struct GatewayStatus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say how the pairs of gateways are that this host is in.")

    @OptionGroup var gateway: GatewaySocketOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let answer = try gateway.ask(.status, global)
        if let error = answer.error { global.warning(error) }
        var table = TextTable(["NETWORK", "ROLE", "ACTIVE", "SINCE", "OTHER", "SYNCHRONIZED", "CONNECTIONS"])
        table.rows = answer.pairs.map { pair in
            [
                pair.network, pair.role, pair.active ?? "nobody", WallClock.text(secondsSince1970: pair.since),
                pair.peerRole.map { "\(pair.peer) \($0)" } ?? "\(pair.peer) is silent",
                pair.isSynchronized ? "yes" : "no", "\(pair.connections)",
            ]
        }
        if table.rows.isEmpty {
            global.note("this host is in no pair of gateways")
        } else {
            for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        }
        for pair in answer.pairs {
            for problem in pair.problems { global.warning("\(pair.network): \(problem)") }
        }
    }
}

struct GatewayFailover: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "failover", abstract: "Have the other gateway of a pair take over, without losing a packet.",
        discussion: """
            On either of the two: the one that is active hands over when the other one has all connections. Nobody takes \
            the place back by itself; saying it again does.
            """)

    @Argument(help: "The name of the external network, or of one of its NAT gateways.")
    var name: String
    @Flag(help: "Also where the other one does not have all connections: some will break.")
    var force = false
    @OptionGroup var gateway: GatewaySocketOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let answer = try gateway.ask(.failover(name, isForced: force), global)
        if let error = answer.error {
            global.error(error)
            throw ExitStatus.failed.code
        }
        for pair in answer.pairs { global.note("\(pair.network): \(pair.active ?? "nobody") is active") }
    }
}
