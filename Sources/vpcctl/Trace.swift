import ArgumentParser
import CommandOptions
import Console
import IPAddressing
import Presentation
import Reconciler
import VPCManifest
import VPCModel
import VPCTopology
import VPCTrace

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Show the way of one packet and of its answer, and every decision on it.",
        discussion: """
            'vpcctl trace web1 db1 --protocol tcp --port 5432 -f manifests' follows a packet from interface web1 to \
            interface db1, and the answer back. Nothing is sent and no kernel is asked: it says what the hosts do once \
            all of them are applied. Exit codes: 0 delivered and answered, 1 not.

            'vpcctl trace --from external:198.51.100.7 --to 203.0.113.50:443 -f manifests' follows one that somebody in \
            an external network sends to a public address.

            With --live the packet is also sent, from the sender's namespace: run it on the sender's host. What the \
            kernel does is compared with what the trace says. Exit codes then: 3 where they differ, 75 where no answer \
            came in time and what was seen leaves that open, else 0 and 1 as above.
            """)

    @Argument(
        help: "The name of the sending network interface, or external:ADDRESS.",
        completion: .resourceNames(.networkInterface))
    var from: TraceEndpoint?
    @Argument(
        help: "The name of a network interface, or an address; with :PORT, as --port.",
        completion: .resourceNames(.networkInterface))
    var to: TraceEndpoint?
    @Option(name: .customLong("from"), help: "FROM, anywhere.", completion: .resourceNames(.networkInterface))
    var fromAnywhere: TraceEndpoint?
    @Option(name: .customLong("to"), help: "TO, anywhere.", completion: .resourceNames(.networkInterface))
    var toAnywhere: TraceEndpoint?
    @Option(
        name: .customLong("protocol"),
        help: "tcp, udp, sctp or icmp (an echo request); by default tcp with --port, else icmp.")
    var transport: TransportArgument?
    @Option(help: "The destination port of tcp, udp and sctp.") var port: UInt16?
    @Option(name: .customLong("source-port"), help: "The source port of tcp, udp and sctp.")
    var sourcePort: UInt16?
    @Option(help: "The source address; by default the sender's own.") var source: AddressArgument?
    @Flag(help: "Send the packet and compare what happens with what the trace says; on the sender's host.")
    var live = false
    @Option(help: "With --live: seconds to wait for an answer (3).") var timeout: Int?
    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        let (sender, receiver) = try ends
        if sender.port != nil { throw ValidationError("The sender's port is --source-port.") }
        if let port, let other = receiver.port, port != other {
            throw ValidationError("The destination port is \(other) or \(port), not both.")
        }
        if case .external = sender.place {
            if live { throw ValidationError("--live sends from a guest of this host, not from outside.") }
            if source != nil { throw ValidationError("Name the source address behind external:, without --source.") }
            if case .external = receiver.place { throw ValidationError("Both ends are outside.") }
        }
        let port = self.port ?? receiver.port
        switch transport {
        case .tcp, .udp, .sctp:
            if port == nil { throw ValidationError("Name the destination port of \(protocolName) with --port.") }
        case .icmp:
            if port != nil || sourcePort != nil { throw ValidationError("ICMP has no ports.") }
        case nil:
            if port == nil, sourcePort != nil { throw ValidationError("--source-port needs --port.") }
        }
        if !live, host.name != nil || timeout != nil { throw ValidationError("--host and --timeout go with --live.") }
        if let timeout, !(1...3600).contains(timeout) { throw ValidationError("--timeout is from 1 to 3600 seconds.") }
    }

    func run() throws {
        let manifests = try Manifests(manifests, global)
        let topology = manifests.topology
        let trace = try trace(topology, manifests.set.model)
        let result = try live ? trace.from.map { try compare(trace, from: $0, manifests) } : nil
        TracePresentation(trace: trace, live: result, manifests: manifests).show(output.format, global)
        if live { noteActiveGateways(of: trace, topology) }
        switch result?.comparison.verdict {
        case .differs: throw ExitStatus.verificationFailed.code
        case .cannotTell: throw ExitStatus.timedOut.code
        case .agrees, nil: if !isAnswered(trace, result) { throw ExitStatus.failed.code }
        }
    }

    /// Which gateway of a pair serves now, where this host knows.
    private func noteActiveGateways(of trace: Trace, _ topology: Topology) {
        let journeys = [trace.forward] + trace.returns
        let names = Set(journeys.flatMap(\.steps).compactMap(\.resource).filter { $0.kind == .natGateway }.map(\.name))
        for name in Set(topology.natGateways.filter { names.contains($0.name) }.map(\.network)).sorted() {
            let network = topology.externalNetworks[name]
            if network.pair == nil { continue }
            let active = PairStatuses.active(ofNetwork: network.name, topology)
            let hosts = network.uplinks.map { topology.hosts[$0.host].metadata.name }.joined(separator: " or ")
            global.note(
                active == "-"
                    ? "external network \(network.name): \(hosts) is active; 'vpcctl gateway' on either says which"
                    : "external network \(network.name): active is \(active)")
        }
    }

    /// A gateway may answer, or not: the trace does not know, but an answer was seen.
    private func isAnswered(_ trace: Trace, _ result: LiveResult?) -> Bool {
        trace.isAnswered || result?.sighting.isAnswered == true && !trace.isOtherVPC
    }

    private func compare(_ trace: Trace, from: Int, _ manifests: Manifests) throws -> LiveResult {
        let kernel = try Kernel.open(global, toModify: true)
        return try Kernel.reporting(global) {
            let topology = manifests.topology
            let sender = topology.interfaces[from]
            let here = try manifests.host(host, kernel)
            guard sender.host == here else {
                throw ValidationError(
                    "\(sender.name) is on \(topology.hosts[sender.host].metadata.name), this is"
                        + " \(topology.hosts[here].metadata.name): --live sends from the sender's host.")
            }
            let probe = LiveProbe(
                trace: trace, from: from, topology: topology, timeout: .seconds(timeout ?? 3),
                isNewConnection: sourcePort == nil)
            let sighting = try probe.run(
                HostReconciler(kernel: kernel, for: here, in: topology), in: Kernel.host(of: kernel))
            return LiveResult(sighting: sighting, comparison: Comparison(of: trace, with: sighting, topology))
        }
    }

    private var protocolName: String { transport?.rawValue ?? "tcp" }

    private var content: Packet.Content {
        // A connection that was there before would not be judged anew.
        let sourcePort = sourcePort ?? (live ? .random(in: Packet.ephemeralPort ... .max) : Packet.ephemeralPort)
        guard let port = port ?? (try? ends)?.receiver.port else { return Packet.echoRequest }
        return switch transport {
        case .udp: .udp(sourcePort: sourcePort, destinationPort: port)
        case .sctp: .sctp(sourcePort: sourcePort, destinationPort: port)
        case .tcp, .icmp, nil: .tcp(sourcePort: sourcePort, destinationPort: port)
        }
    }

    // MARK: Ends

    /// What is not named by an option is so by its position.
    private var ends: (sender: TraceEndpoint, receiver: TraceEndpoint) {
        get throws {
            var words = [from, to].compactMap(\.self)[...]
            guard let sender = fromAnywhere ?? words.popFirst(), let receiver = toAnywhere ?? words.popFirst() else {
                throw ValidationError("Name the sender and the receiver: vpcctl trace FROM TO.")
            }
            guard words.isEmpty else { throw ValidationError("Name the sender and the receiver once.") }
            return (sender, receiver)
        }
    }

    private func trace(_ topology: Topology, _ model: Model) throws -> Trace {
        let (sender, receiver) = try ends
        switch sender.place {
        case .external(let source):
            let address: IPAddress =
                switch receiver.place {
                case .interface(let name): try topology.publicAddress(ofInterface: name)
                case .address(let address), .external(let address): address
                }
            return topology.traced(
                fromOutside: source, by: try topology.requireNetwork(ofPublic: address), to: address, content,
                model: model)
        case .address(let address):
            throw ValidationError("'\(address)': name a network interface, or external:\(address) for one outside.")
        case .interface(let name):
            let from = try topology.interface(named: name)
            var target: Int?
            let address: IPAddress
            switch receiver.place {
            case .interface(let name):
                let index = try topology.interface(named: name)
                (target, address) = (index, topology.interfaces[index].address)
            case .address(let literal), .external(let literal): address = literal
            }
            return topology.traced(
                from: from, to: address, toInterface: target, content, source: source?.address, model: model)
        }
    }
}

enum TransportArgument: String, ExpressibleByArgument, CaseIterable {
    case tcp
    case udp
    case sctp
    case icmp
}

struct AddressArgument: ExpressibleByArgument {
    let address: IPAddress

    init?(argument: String) {
        guard let address = IPAddress(argument), address.family == .ipv4 else { return nil }
        self.address = address
    }
}
