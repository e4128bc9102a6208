import ArgumentParser
import CommandOptions
import Console
import IPAddressing
import Presentation
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
            """)

    @Argument(help: "The name of the sending network interface.") var from: String
    @Argument(help: "The name of a network interface, or an address.") var to: String
    @Option(
        name: .customLong("protocol"),
        help: "tcp, udp or icmp (an echo request); by default tcp with --port, else icmp.")
    var transport: TransportArgument?
    @Option(help: "The destination port of tcp and udp.") var port: UInt16?
    @Option(name: .customLong("source-port"), help: "The source port of tcp and udp.")
    var sourcePort: UInt16?
    @Option(help: "The source address; by default the sender's own.") var source: AddressArgument?
    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        switch transport {
        case .tcp, .udp:
            if port == nil { throw ValidationError("Name the destination port of \(protocolName) with --port.") }
        case .icmp:
            if port != nil || sourcePort != nil { throw ValidationError("ICMP has no ports.") }
        case nil:
            if port == nil, sourcePort != nil { throw ValidationError("--source-port needs --port.") }
        }
    }

    func run() throws {
        let manifests = try Manifests(manifests, global)
        let topology = manifests.topology
        let from = try interface(named: from, topology)
        let (address, target) = try destination(topology)
        let trace = topology.traced(
            from: from, to: address, toInterface: target, content, source: source?.address, model: manifests.set.model)
        TracePresentation(trace: trace, manifests: manifests).show(output.format, global)
        if !trace.isAnswered { throw ExitStatus.failed.code }
    }

    private var protocolName: String { transport?.rawValue ?? "tcp" }

    private var content: Packet.Content {
        let sourcePort = sourcePort ?? Packet.ephemeralPort
        guard let port else { return Packet.echoRequest }
        return transport == .udp
            ? .udp(sourcePort: sourcePort, destinationPort: port)
            : .tcp(sourcePort: sourcePort, destinationPort: port)
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
    case icmp
}

struct AddressArgument: ExpressibleByArgument {
    let address: IPAddress

    init?(argument: String) {
        guard let address = IPAddress(argument), address.family == .ipv4 else { return nil }
        self.address = address
    }
}

/// A trace for people and for programs.
struct TracePresentation {
    let trace: Trace
    let manifests: Manifests

    private var topology: Topology { manifests.topology }

    func show(_ format: OutputFormat, _ global: GlobalOptions) {
        switch format {
        case .json: Streams.output(structured.json)
        case .yaml: Streams.output(structured.yaml)
        case .name: Streams.outputLine(trace.isAnswered ? "allow" : "deny")
        case .table, .wide:
            var text = ""
            let style = global.outputStyle
            append(trace.forward, title: "forward", isWide: format == .wide, style, to: &text)
            for journey in trace.returns {
                append(journey, title: title(ofReturn: journey), isWide: format == .wide, style, to: &text)
            }
            Streams.output(text)
        }
    }

    // MARK: Text

    private func title(ofReturn journey: Journey) -> String {
        switch trace.forward.verdict {
        case .deliveredToGateways, .dependsOnGateway: "return, if \(name(of: journey.sender)) sends the answer"
        default: "return"
        }
    }

    private func append(_ journey: Journey, title: String, isWide: Bool, _ style: Style, to text: inout String) {
        text += style.bold(title) + ": \(journey.packet)\n"
        let steps = journey.steps
        let hosts = steps.map { topology.hosts[$0.host].metadata.name }
        let widths = (host: hosts.map(\.count).max() ?? 0, stage: steps.map(\.stage.title.count).max() ?? 0)
        let places = self.places(of: steps)
        var gateway: Int?
        for (position, step) in steps.enumerated() {
            if let branch = step.gateway, branch != gateway {
                text += "  if the flow goes to \(topology.interfaces[branch].name):\n"
            }
            gateway = step.gateway
            let indent = gateway == nil ? "  " : "    "
            let verdict: String =
                switch step.verdict {
                case .note: "     "
                case .allow: style.green("allow")
                case .deny: style.red("deny ")
                }
            text += indent + padded(hosts[position], widths.host) + "  " + padded(step.stage.title, widths.stage) + "  "
            text += verdict + "  " + step.text
            if isWide || step.verdict == .deny || step.stage.isPolicy, let place = places[position] {
                text += style.dim("  (\(place))")
            }
            text += "\n"
        }
        let isGood = isGood(journey)
        text += "  => " + (isGood ? style.green(outcome(of: journey)) : style.red(outcome(of: journey))) + "\n"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func name(of sender: Journey.Sender) -> String {
        switch sender {
        case .interface(let index): topology.interfaces[index].name
        case .host(let index): "host \(topology.hosts[index].metadata.name)"
        }
    }

    private func isGood(_ journey: Journey) -> Bool {
        if journey == trace.forward { return trace.isDelivered }
        switch journey.verdict {
        case .delivered, .deliveredToGateways, .staysInGuest: return true
        case .answeredByHost, .dependsOnGateway, .dropped, .unreachable, .blackhole: return false
        }
    }

    private func outcome(of journey: Journey) -> String {
        if journey == trace.forward, trace.isOtherVPC, let meant = trace.toInterface {
            return "no way from VPC to VPC: \(topology.interfaces[meant].name) gets nothing of this"
        }
        let names = { (interfaces: [Int]) in interfaces.map { topology.interfaces[$0].name }.joined(separator: ", ") }
        let last = journey.steps.last { $0.verdict == .deny }
        let place = last.map { " on \(topology.hosts[$0.host].metadata.name) by \($0.stage.title)" } ?? ""
        switch journey.verdict {
        case .delivered(let index):
            let target = topology.interfaces[index]
            return "delivered to \(target.name) on \(topology.hosts[target.host].metadata.name)"
        case .deliveredToGateways(let gateways):
            return gateways.count == 1
                ? "delivered to the gateway \(names(gateways)), which decides what becomes of it"
                : "delivered to one of the gateways \(names(gateways)), which decides what becomes of it"
        case .dependsOnGateway(let reaching, let dropped):
            return "flows that go to \(names(reaching)) are delivered, those to \(names(dropped)) are dropped"
        case .answeredByHost(let host): return "answered by host \(topology.hosts[host].metadata.name) itself"
        case .staysInGuest: return "answered inside the guest"
        case .dropped: return "dropped\(place)"
        case .unreachable: return "unreachable\(place)"
        case .blackhole: return "dropped\(place): blackhole"
        }
    }

    /// `blue.yaml:12:8`, for each step that something in the manifests decides.
    private func places(of steps: [TraceStep]) -> [String?] {
        let known = steps.enumerated().compactMap { index, step in step.resource.map { (index, $0, step.path) } }
        let locations = manifests.set.locations(of: known.map { ($0.1, $0.2) })
        var places = [String?](repeating: nil, count: steps.count)
        for (position, entry) in known.enumerated() { places[entry.0] = locations[position]?.position.description }
        return places
    }

    // MARK: Structure

    private var structured: StructuredValue {
        [
            "apiVersion": "vpcctl.dev/v1", "kind": "Trace",
            "from": .string(topology.interfaces[trace.from].name),
            "to": .string(
                trace.toInterface.map { topology.interfaces[$0].name } ?? trace.forward.packet.destination.description),
            "delivered": .boolean(trace.isDelivered), "answered": .boolean(trace.isAnswered),
            "forward": structured(trace.forward), "returns": .list(trace.returns.map(structured)),
        ]
    }

    private func structured(_ journey: Journey) -> StructuredValue {
        let places = places(of: journey.steps)
        let steps = journey.steps.indices.map { index -> StructuredValue in
            let step = journey.steps[index]
            return [
                "host": .string(topology.hosts[step.host].metadata.name), "stage": .string(step.stage.rawValue),
                "verdict": .string(step.verdict.rawValue), "text": .string(step.text),
                "gateway": .string(orNull: step.gateway.map { topology.interfaces[$0].name }),
                "resource": .string(orNull: step.resource?.description),
                "field": .string(orNull: step.path.components.isEmpty ? nil : step.path.description),
                "place": .string(orNull: places[index]),
            ]
        }
        let packet = journey.packet
        var ports: (source: Int, destination: Int)?
        if case .tcp(let source, let destination) = packet.content { ports = (Int(source), Int(destination)) }
        if case .udp(let source, let destination) = packet.content { ports = (Int(source), Int(destination)) }
        return [
            "sender": .string(name(of: journey.sender)), "source": .string(packet.source.description),
            "destination": .string(packet.destination.description), "protocol": .string(packet.ipProtocol.description),
            "sourcePort": ports.map { .integer($0.source) } ?? .null,
            "destinationPort": ports.map { .integer($0.destination) } ?? .null,
            "verdict": .string(journey.verdict.word),
            "reached": .list(journey.verdict.reached.map { .string(topology.interfaces[$0].name) }),
            "summary": .string(outcome(of: journey)), "steps": .list(steps),
        ]
    }
}

extension TraceStep.Stage {
    /// Stages at which manifests allow or deny: where the line matters.
    fileprivate var isPolicy: Bool {
        switch self {
        case .route, .aclEgress, .aclIngress, .groupEgress, .groupIngress: true
        case .interface, .sourceCheck, .tunnel, .connection, .host, .delivery: false
        }
    }
}

extension TraceVerdict {
    fileprivate var word: String {
        switch self {
        case .delivered: "delivered"
        case .deliveredToGateways: "deliveredToGateway"
        case .dependsOnGateway: "dependsOnGateway"
        case .answeredByHost: "answeredByHost"
        case .staysInGuest: "staysInGuest"
        case .dropped: "dropped"
        case .unreachable: "unreachable"
        case .blackhole: "blackhole"
        }
    }

    /// The interfaces that may have the packet in the end.
    fileprivate var reached: [Int] {
        switch self {
        case .delivered(let index): [index]
        case .deliveredToGateways(let gateways), .dependsOnGateway(let gateways, _): gateways
        case .answeredByHost, .staysInGuest, .dropped, .unreachable, .blackhole: []
        }
    }
}
