import CommandOptions
import Console
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology
import VPCTrace

/// A trace for people and for programs.
struct TracePresentation {
    let trace: Trace
    /// What became of a real packet; nil where none was sent.
    var live: LiveResult?
    let manifests: Manifests

    private var topology: Topology { manifests.topology }

    func show(_ format: OutputFormat, _ global: GlobalOptions) {
        switch format {
        case .json: Streams.output(structured.json)
        case .yaml: Streams.output(structured.yaml)
        case .name: Streams.outputLine(live?.comparison.verdict.rawValue ?? (trace.isAnswered ? "allow" : "deny"))
        case .table, .wide:
            var text = ""
            let style = global.outputStyle
            append(trace.forward, title: "forward", isWide: format == .wide, style, to: &text)
            for journey in trace.returns {
                append(journey, title: title(ofReturn: journey), isWide: format == .wide, style, to: &text)
            }
            if let live { append(live, style, to: &text) }
            Streams.output(text)
        }
    }

    // MARK: Text

    private func append(_ live: LiveResult, _ style: Style, to text: inout String) {
        if let sender = trace.from.map({ topology.interfaces[$0] }) {
            let host = topology.hosts[sender.host].metadata.name
            text += style.bold("live") + ": sent from \(sender.name), seen on \(host)\n"
        }
        for finding in live.comparison.findings { text += "  \(finding)\n" }
        if !live.sighting.counted.isEmpty {
            let counts = countedNames(live.sighting).map { "\($0.name) +\($0.packets)" }
            text += style.dim("  counted meanwhile: " + counts.joined(separator: ", ")) + "\n"
        }
        text += "  => "
        switch live.comparison.verdict {
        case .agrees: text += style.green("agrees with the trace")
        case .differs: text += style.red("differs from the trace")
        case .cannotTell: text += style.yellow("cannot tell whether it agrees with the trace")
        }
        text += "\n"
    }

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
            text +=
                indent + hosts[position].padded(to: widths.host) + "  " + step.stage.title.padded(to: widths.stage)
                + "  "
            text += verdict + "  " + step.text
            if isWide || step.verdict == .deny || step.stage.isPolicy, let place = places[position] {
                text += style.dim("  (\(place))")
            }
            text += "\n"
        }
        let isGood = isGood(journey)
        text += "  => " + (isGood ? style.green(outcome(of: journey)) : style.red(outcome(of: journey))) + "\n"
    }

    private func name(of sender: Journey.Sender) -> String {
        switch sender {
        case .interface(let index): topology.interfaces[index].name
        case .host(let index): "host \(topology.hosts[index].metadata.name)"
        case .external(let index): "external network \(topology.externalNetworks[index].name)"
        }
    }

    private func isGood(_ journey: Journey) -> Bool {
        if journey == trace.forward { return trace.isDelivered }
        return trace.isAnswer(journey)
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
            return "delivered to \(target.name) on \(topology.hosts[target.host].metadata.name)" + change(of: journey)
        case .deliveredToGateways(let gateways):
            return gateways.count == 1
                ? "delivered to the gateway \(names(gateways)), which decides what becomes of it"
                : "delivered to one of the gateways \(names(gateways)), which decides what becomes of it"
        case .dependsOnGateway(let reaching, let dropped):
            return "flows that go to \(names(reaching)) are delivered, those to \(names(dropped)) are dropped"
        case .answeredByHost(let host): return "answered by host \(topology.hosts[host].metadata.name) itself"
        case .sentOut(let index):
            return "sent out to external network \(topology.externalNetworks[index].name)" + change(of: journey)
        case .staysInGuest: return "answered inside the guest"
        case .dropped: return "dropped\(place)"
        case .unreachable: return "unreachable\(place)"
        case .blackhole: return "dropped\(place): blackhole"
        }
    }

    /// What it is when it arrives, where that is another packet.
    private func change(of journey: Journey) -> String {
        journey.arrival == journey.packet ? "" : ", as \(journey.arrival)"
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
            "from": .string(
                trace.from.map { topology.interfaces[$0].name } ?? "external:\(trace.forward.packet.source)"),
            "to": .string(
                trace.toInterface.map { topology.interfaces[$0].name } ?? trace.forward.packet.destination.description),
            "delivered": .boolean(trace.isDelivered), "answered": .boolean(trace.isAnswered),
            "forward": structured(trace.forward), "returns": .list(trace.returns.map(structured)),
            "live": live.map(structured) ?? .null,
        ]
    }

    /// By name.
    private func countedNames(_ sighting: Sighting) -> [(name: String, packets: UInt64)] {
        sighting.counted.map { ("\($0.key)", $0.value) }.sorted { $0.name < $1.name }
    }

    private func structured(_ live: LiveResult) -> StructuredValue {
        let sighting = live.sighting
        let answer: String? =
            switch sighting.answer {
            case .reply: "reply"
            case .refused: "refused"
            case .portUnreachable: "portUnreachable"
            case .error(let text): text
            case nil: nil
            }
        let exits = sighting.exits.sorted().flatMap { exit -> [StructuredValue] in
            switch exit {
            case .port(let index): [.string(topology.interfaces[index].portName.rawValue)]
            case .tunnel: sighting.tunnels.sorted().map { .string($0) }
            case .other(let device): [.string(device)]
            }
        }
        return [
            "verdict": .string(live.comparison.verdict.rawValue),
            "findings": .list(live.comparison.findings.map { .string($0) }),
            "enteredHost": .boolean(sighting.hasEnteredHost), "leftBy": .list(exits),
            "answered": .boolean(sighting.isAnswered), "answer": .string(orNull: answer),
            "counted": .object(countedNames(sighting).map { .init($0.name, .integer(Int($0.packets))) }),
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
                "translated": step.translated.map { .object(members(of: $0)) } ?? .null,
            ]
        }
        let sender: [StructuredValue.Member] = [.init("sender", .string(name(of: journey.sender)))]
        return .object(
            sender + members(of: journey.packet) + [
                .init("protocol", .string(journey.packet.ipProtocol.description)),
                .init("arrival", .object(members(of: journey.arrival))),
                .init("verdict", .string(journey.verdict.word)),
                .init("reached", .list(journey.verdict.reached.map { .string(topology.interfaces[$0].name) })),
                .init("summary", .string(outcome(of: journey))), .init("steps", .list(steps)),
            ])
    }

    private func members(of packet: Packet) -> [StructuredValue.Member] {
        let ports = packet.content.ports
        return [
            .init("source", .string(packet.source.description)),
            .init("destination", .string(packet.destination.description)),
            .init("sourcePort", ports.map { .integer(Int($0.source)) } ?? .null),
            .init("destinationPort", ports.map { .integer(Int($0.destination)) } ?? .null),
        ]
    }
}

extension TraceStep.Stage {
    /// Stages at which manifests allow or deny: where the line matters.
    fileprivate var isPolicy: Bool {
        switch self {
        case .route, .aclEgress, .aclIngress, .groupEgress, .groupIngress: true
        case .interface, .sourceCheck, .tunnel, .connection, .host, .translation, .delivery: false
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
        case .sentOut: "sentOut"
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
        case .answeredByHost, .sentOut, .staysInGuest, .dropped, .unreachable, .blackhole: []
        }
    }
}
