import AgentClient
import CommandOptions
import Console
import IPAddressing
import Presentation
import VPCManifest
import VPCModel
import VPCTopology

/// How a resource is, in the agent's words.
struct ResourceStatus {
    var phase: String
    var reason: String?
    /// `api`, or a file of manifests.
    var origin: String

    /// - Parameter item: A resource as the agent tells of it.
    init(_ item: StructuredValue) {
        phase = item["status"]?["phase"]?.text ?? "-"
        reason = item["status"]?["reason"]?.text
        origin = item["origin"]?["file"]?.text ?? item["origin"]?["source"]?.text ?? "-"
    }
}

/// `vpcctl get KIND` of what an agent keeps.
extension LocalAgent {
    func list(_ kind: KindArgument, name: String?, _ format: OutputFormat, _ global: GlobalOptions) throws {
        let (revision, items) = try askingAgent(global) { () throws(AgentClientError) in
            try resources(kind, name: name)
        }
        if let name, items.isEmpty {
            global.error("there is no \(kind.title) named '\(name)' in revision \(revision.map { "\($0)" } ?? "-")")
            throw ExitStatus.failed.code
        }
        switch format {
        case .json:
            let isSingle = name != nil && items.count == 1
            let list: StructuredValue = ["apiVersion": .apiVersion, "kind": "List", "items": .list(items)]
            Streams.output((isSingle ? items[0] : list).json)
        case .yaml: Streams.output(items.map { "---\n" + $0.yaml }.joined())
        case .name: for item in items { Streams.outputLine(Self.reference(item)) }
        case .table, .wide:
            guard let revision, !items.isEmpty else { return global.note("no resources found") }
            let manifests = try manifests(of: revision, global)
            try show(items, kind, manifests, format, global)
        }
    }

    static func reference(_ item: StructuredValue) -> String {
        "\(item["kind"]?.text ?? "?")/\(item["metadata"]?["name"]?.text ?? "?")"
    }

    private func resources(
        _ kind: KindArgument, name: String?
    ) throws(AgentClientError) -> (revision: Int?, items: [StructuredValue]) {
        let kindName = kind.kinds.count == 1 ? kind.kinds[0].rawValue : nil
        let path = AgentPath.path("/v1/resources", [("kind", kindName), ("name", name)])
        let value = try quickClient.get(path)
        guard case .list(let items)? = value["items"] else { throw Self.unknownAnswer }
        return (value["revision"]?.number, items)
    }

    /// What a revision says, resolved: subnets of interfaces and their like are in it.
    private func manifests(of revision: Int, _ global: GlobalOptions) throws -> ResolvedManifests {
        try askingAgent(global) { () throws(AgentClientError) in
            let value = try quickClient.get("/v1/revisions/\(revision)")
            let sources = (value["manifests"]?.elements ?? []).compactMap { item -> ManifestSource? in
                guard let name = item["name"]?.text, let text = item["text"]?.text else { return nil }
                return ManifestSource(name: name, text: text)
            }
            let set = ManifestSet(sources)
            let kept = KeptAddresses(value.chosenAddresses)
            guard let topology = Topology.resolve(set.model, keeping: kept).topology else { throw Self.unknownAnswer }
            return ResolvedManifests(set, topology)
        }
    }

    private func show(
        _ items: [StructuredValue], _ kind: KindArgument, _ manifests: ResolvedManifests, _ format: OutputFormat,
        _ global: GlobalOptions
    ) throws {
        var statuses: [String: ResourceStatus] = [:]
        for item in items {
            statuses[Self.reference(item)] = ResourceStatus(item)
        }
        var isFirst = true
        for kind in kind.kinds {
            let resources = manifests.set.model.resources(of: kind).filter {
                statuses[$0.reference.description] != nil
            }.sorted { $0.reference < $1.reference }
            if resources.isEmpty { continue }
            if !isFirst { Streams.outputLine("") }
            isFirst = false
            let byReference = Dictionary(
                resources.compactMap { resource in
                    statuses[resource.reference.description].map { (resource.reference, $0) }
                }, uniquingKeysWith: { first, _ in first })
            var table = kind.listed.table(of: resources, manifests.topology, format, statuses: byReference)
            if kind == .vpc, format == .wide { try addConnections(to: &table, global) }
            if kind == .natGateway, format == .wide { try addSessions(to: &table, global) }
            if kind == .elasticIP, format == .wide { try addCapped(to: &table, global) }
            if kind == .targetGroup, format == .wide { try addHealth(to: &table, global) }
            for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        }
    }
}

extension LocalAgent {
    /// Tracked connections on the agent's host, of how many there may be; and how many were refused.
    private func addConnections(to table: inout TextTable, _ global: GlobalOptions) throws {
        let vpcs = try askingAgent(global) { () throws(AgentClientError) in
            try quickClient.get("/v1/counters")["vpcs"]?.elements ?? []
        }
        let uses = Dictionary(
            vpcs.map { ($0["name"]?.text ?? "?", $0["connections"]) }, uniquingKeysWith: { first, _ in first })
        table.header += ["CONNECTIONS", "REFUSED"]
        for index in table.rows.indices {
            // None of its guests is on this host.
            let use = uses[table.rows[index][0]] ?? nil
            let count = use.flatMap { use in
                use["tracked"]?.number.map { "\($0) of \(use["limit"]?.number ?? 0)" }
            }
            table.rows[index] += [count ?? "-", use?["refused"]?.number.map { "\($0)" } ?? "-"]
        }
    }
}

extension LocalAgent {
    /// How many targets are healthy of those that are asked, and what is wrong with the others.
    private func addHealth(to table: inout TextTable, _ global: GlobalOptions) throws {
        let targets = try askingAgent(global) { () throws(AgentClientError) in
            try quickClient.get("/v1/status")["targets"]?.elements ?? []
        }
        let ofGroups = Dictionary(grouping: targets) { $0["group"]?.text ?? "?" }
        table.header += ["HEALTHY", "UNHEALTHY"]
        for index in table.rows.indices {
            guard let targets = ofGroups[table.rows[index][0]] else {
                table.rows[index] += ["-", "-"]
                continue
            }
            let ill = targets.filter { $0["healthy"] != .boolean(true) }
            let reasons = ill.map { "\($0["interface"]?.text ?? "?"): \($0["reason"]?.text ?? "?")" }
            table.rows[index] += [
                "\(targets.count - ill.count) of \(targets.count)", ill.isEmpty ? "-" : reasons.joined(separator: "; "),
            ]
        }
    }

    /// What NAT gateways translate on the agent's host.
    private func addSessions(to table: inout TextTable, _ global: GlobalOptions) throws {
        let gateways = try askingAgent(global) { () throws(AgentClientError) in
            try quickClient.get("/v1/counters")["natGateways"]?.elements ?? []
        }
        let uses = Dictionary(gateways.map { ($0["name"]?.text ?? "?", $0) }, uniquingKeysWith: { first, _ in first })
        table.header += ["SESSIONS", "PORTS", "CAPPED", "REFUSED"]
        for index in table.rows.indices {
            // It is on another host.
            let use = uses[table.rows[index][0]]
            table.rows[index] += ["sessions", "ports"].map { use?[$0]?.number.map { "\($0)" } ?? "-" }
            table.rows[index] += [Self.capped(use), use?["refused"]?.number.map { "\($0)" } ?? "-"]
        }
    }

    /// What was more than the bandwidths of elastic IPs that come in on the agent's host.
    private func addCapped(to table: inout TextTable, _ global: GlobalOptions) throws {
        let elastic = try askingAgent(global) { () throws(AgentClientError) in
            try quickClient.get("/v1/counters")["elasticIPs"]?.elements ?? []
        }
        let uses = Dictionary(elastic.map { ($0["name"]?.text ?? "?", $0) }, uniquingKeysWith: { first, _ in first })
        table.header.append("CAPPED")
        for index in table.rows.indices { table.rows[index].append(Self.capped(uses[table.rows[index][0]])) }
    }

    /// Packets that were dropped: `12 out, 3 in`.
    private static func capped(_ use: StructuredValue?) -> String {
        let counts = [("egress", "out"), ("ingress", "in")].compactMap { field, word in
            use?["capped"]?[field]?.number.map { "\($0) \(word)" }
        }
        return counts.isEmpty ? "-" : counts.joined(separator: ", ")
    }
}

extension StructuredValue {
    /// Those of a revision that the agent has told of.
    var chosenAddresses: [ChosenAddress] {
        (self["addresses"]?.elements ?? []).compactMap { item in
            guard let interface = item["interface"]?.text, let subnet = item["subnet"]?.text,
                let address = item["address"]?.text.flatMap({ IPAddress($0) })
            else { return nil }
            return ChosenAddress(interface: interface, subnet: subnet, address: address)
        }
    }
}
