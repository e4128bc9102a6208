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

            With --live the packet is also sent, from the sender's namespace: run it on the sender's host. What the \
            kernel does is compared with what the trace says. Exit codes then: 3 where they differ, 75 where no answer \
            came in time and what was seen leaves that open, else 0 and 1 as above.
            """)

    @Argument(help: "The name of the sending network interface.", completion: .resourceNames(.networkInterface))
    var from: String
    @Argument(help: "The name of a network interface, or an address.", completion: .resourceNames(.networkInterface))
    var to: String
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
        let from = try interface(named: from, topology)
        let (address, target) = try destination(topology)
        let trace = topology.traced(
            from: from, to: address, toInterface: target, content, source: source?.address, model: manifests.set.model)
        let result = try live ? compare(trace, manifests) : nil
        TracePresentation(trace: trace, live: result, manifests: manifests).show(output.format, global)
        switch result?.comparison.verdict {
        case .differs: throw ExitStatus.verificationFailed.code
        case .cannotTell: throw ExitStatus.timedOut.code
        case .agrees, nil: if !isAnswered(trace, result) { throw ExitStatus.failed.code }
        }
    }

    /// A gateway may answer, or not: the trace does not know, but an answer was seen.
    private func isAnswered(_ trace: Trace, _ result: LiveResult?) -> Bool {
        trace.isAnswered || result?.sighting.isAnswered == true && !trace.isOtherVPC
    }

    private func compare(_ trace: Trace, _ manifests: Manifests) throws -> LiveResult {
        let kernel = try Kernel.open(global, toModify: true)
        return try Kernel.reporting(global) {
            let topology = manifests.topology
            let sender = topology.interfaces[trace.from]
            let here = try manifests.host(host, kernel)
            guard sender.host == here else {
                throw ValidationError(
                    "\(sender.name) is on \(topology.hosts[sender.host].metadata.name), this is"
                        + " \(topology.hosts[here].metadata.name): --live sends from the sender's host.")
            }
            let probe = LiveProbe(
                trace: trace, topology: topology, timeout: .seconds(timeout ?? 3), isNewConnection: sourcePort == nil)
            let sighting = try probe.run(
                HostReconciler(kernel: kernel, for: here, in: topology), in: Kernel.host(of: kernel))
            return LiveResult(sighting: sighting, comparison: Comparison(of: trace, with: sighting, topology))
        }
    }

    private var protocolName: String { transport?.rawValue ?? "tcp" }

    private var content: Packet.Content {
        // A connection that was there before would not be judged anew.
        let sourcePort = sourcePort ?? (live ? .random(in: Packet.ephemeralPort ... .max) : Packet.ephemeralPort)
        guard let port else { return Packet.echoRequest }
        return switch transport {
        case .udp: .udp(sourcePort: sourcePort, destinationPort: port)
        case .sctp: .sctp(sourcePort: sourcePort, destinationPort: port)
        case .tcp, .icmp, nil: .tcp(sourcePort: sourcePort, destinationPort: port)
        }
    }

    private func destination(_ topology: Topology) throws -> (IPAddress, interface: Int?) {
        if let address = IPAddress(to) {
            guard address.family == .ipv4 else { throw ValidationError("'\(to)': VPCs are IPv4.") }
            return (address, nil)
        }
        let index = try interface(named: to, topology)
        return (topology.interfaces[index].address, index)
    }

    private func interface(named name: String, _ topology: Topology) throws -> Int {
        if let index = topology.interfaces.firstIndex(where: { $0.name == name }) { return index }
        throw ValidationError("No NetworkInterface is named '\(name)' in the manifests (see 'vpcctl get enis').")
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
