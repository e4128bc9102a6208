import Agent
import Glibc
import HTTPTypes
import KernelModel
import Presentation
import Reconciler
import VPCManifest

/// What can be read.
extension API {
    var stateRoutes: [Route] {
        [
            Route(method: .get, path: "/v1/status") { _ in .json(status) },
            Route(method: .get, path: "/v1/plan", isWork: true) { plan(try await agent.plan(nil, while: $0.isWanted)) },
            Route(method: .get, path: "/v1/revisions", isWork: true) { _ in try await revisions() },
            Route(method: .get, path: "/v1/revisions/{number}", isWork: true) { try await revision($0) },
            Route(method: .get, path: "/v1/events", query: ["after", "follow"]) { try events($0) },
            Route(method: .get, path: "/v1/objects", isWork: true) { _ in try await objects() },
            Route(method: .get, path: "/v1/counters", isWork: true) { _ in try await counters() },
        ]
    }

    // MARK: Status

    private var status: StructuredValue {
        guard case .object(let members) = agent.status.structured else { return .null }
        return .object(
            members + [
                StructuredValue.Member("version", .string(version)),
                StructuredValue.Member("pid", .integer(Int(getpid()))),
                // By which a client knows whether it is its own.
                StructuredValue.Member(
                    "networkNamespace", .integer(orNull: agent.networkNamespace.map { Int(clamping: $0) })),
            ])
    }

    // MARK: Plans

    /// A plan, an operation a line: there may be a million.
    func plan(_ planned: PlannedRevision) -> HTTPAnswer {
        let presentation = PlanPresentation(planned)
        let operations = planned.plan.changes.operations
        return .list(
            [
                ("apiVersion", .apiVersion), ("kind", "ChangePlan"), ("host", .string(orNull: presentation.host)),
                ("summary", planned.plan.changes.counts.structured),
                ("routeAggregation", planned.plan.aggregation?.structured ?? .null),
                ("obstacles", .list(presentation.obstacles.map { .string($0) })),
                ("warnings", .list(presentation.warnings.map { .string($0) })),
                ("refused", .boolean(presentation.isRefused)),
            ], "operations", count: operations.count
        ) { presentation.presented(operations[$0]).structured }
    }

    // MARK: Revisions

    private func revisions() async throws -> HTTPAnswer {
        let list = try await blocking { [agent] in try agent.history() }
        let status = agent.status
        return .list(
            [
                ("apiVersion", .apiVersion), ("kind", "RevisionList"),
                ("desired", .integer(orNull: status.desiredRevision)),
                ("observed", .integer(orNull: status.observedRevision)),
            ], "items", count: list.count
        ) { list[$0].presented }
    }

    private func revision(_ call: Route.Call) async throws -> HTTPAnswer {
        guard let number = call.parameters.first.flatMap({ Int($0) }), number > 0 else {
            throw HTTPProblem.badRequest("the number of a revision is a whole number from 1 up")
        }
        let revision = try await blocking { [agent] in try agent.revision(number) }
        let sources = try await blocking { [agent] in try agent.manifests(of: number) }
        let chosen = try await blocking { [agent] in try agent.chosenAddresses(of: revision) }
        guard case .object(let members) = revision.presented else { return .json(.null) }
        let manifests = sources.map { source -> StructuredValue in
            ["name": .string(source.name), "text": .string(String(decoding: source.bytes, as: UTF8.self))]
        }
        let addresses = chosen.sorted { $0.interface < $1.interface }.map { chosen -> StructuredValue in
            [
                "interface": .string(chosen.interface), "subnet": .string(chosen.subnet),
                "address": .string(chosen.address.description),
            ]
        }
        return .json(
            .object(
                members + [
                    StructuredValue.Member("manifests", .list(manifests)),
                    StructuredValue.Member("addresses", .list(addresses)),
                ]))
    }

    // MARK: Events

    private func events(_ call: Route.Call) throws(HTTPProblem) -> HTTPAnswer {
        let after = try call.number("after", in: 0...Int.max) ?? 0
        guard try call.flag("follow") else {
            let list = agent.events.events(after: after)
            return .list(
                [("apiVersion", .apiVersion), ("kind", "EventList")], "items", count: list.count
            ) { list[$0].structured }
        }
        let events = agent.events.stream(after: after)
        let (lines, continuation) = AsyncStream.makeStream(
            of: [UInt8].self, bufferingPolicy: .bufferingNewest(Self.eventsOfSlowReader))
        let pump = Task {
            for await event in events { continuation.yield(Array((event.structured.compactJSON + "\n").utf8)) }
            continuation.finish()
        }
        followers.add(1)
        continuation.onTermination = { [followers] _ in
            followers.add(-1)
            pump.cancel()
        }
        return HTTPAnswer(contentType: "application/x-ndjson", body: .lines(lines, end: { continuation.finish() }))
    }

    private static let eventsOfSlowReader = 1000

    // MARK: The kernel

    private func objects() async throws -> HTTPAnswer {
        let objects = try await blocking { [agent] in try agent.ownedObjects() }
        return .list(
            [
                ("apiVersion", .apiVersion), ("kind", "KernelObjectList"),
                ("host", .string(orNull: agent.status.host)),
            ], "items", count: objects.count
        ) { objects[$0].structured }
    }

    private static func connections(_ use: ConnectionUse?, refused: Int?) -> StructuredValue.Member {
        StructuredValue.Member(
            "connections",
            [
                "tracked": .integer(orNull: use?.tracked), "limit": .integer(orNull: use?.limit),
                "full": .boolean(use?.isRefused ?? false), "refused": .integer(refused ?? 0),
            ])
    }

    private func natGateways(_ refusals: Refusals) -> [StructuredValue] {
        agent.status.natGateways.map { use in
            let refused = refusals.natGateways[use.name] ?? Refusals.OfEdge()
            let count = StructuredValue.Member("refused", .integer(refused.connections))
            return .object(use.members + [refused.capped, count])
        }
    }

    private static func elasticIPs(_ refusals: Refusals) -> [StructuredValue] {
        refusals.elasticIPs.sorted { $0.key < $1.key }.map { name, refused in
            .object([StructuredValue.Member("name", .string(name)), refused.capped])
        }
    }

    private func counters() async throws -> HTTPAnswer {
        let reading = try await blocking { [agent, traffic] in try traffic.collect(agent) }
        let uses = Dictionary(
            agent.status.connections.filter { $0.owner.kind == .vpc }.map { ($0.owner.name, $0) },
            uniquingKeysWith: { first, _ in first })
        return .list(
            [
                ("apiVersion", .apiVersion), ("kind", "TrafficCounters"),
                ("host", .string(orNull: agent.status.host)),
                (
                    "vpcs",
                    .list(
                        reading.vpcs.map { vpc in
                            .object(
                                [StructuredValue.Member("name", .string(vpc.name))] + vpc.traffic.members
                                    + [Self.connections(uses[vpc.name], refused: reading.refusals.vpcs[vpc.name])])
                        })
                ),
                ("natGateways", .list(natGateways(reading.refusals))),
                ("elasticIPs", .list(Self.elasticIPs(reading.refusals))),
            ], "interfaces", count: reading.interfaces.count
        ) { index in
            let interface = reading.interfaces[index]
            return .object(
                [
                    StructuredValue.Member("name", .string(interface.name)),
                    StructuredValue.Member("vpc", .string(interface.vpc)),
                    StructuredValue.Member("subnet", .string(interface.subnet)),
                    StructuredValue.Member("device", .string(interface.device)),
                ] + interface.traffic.members)
        }
    }
}

extension PlanPresentation {
    init(_ planned: PlannedRevision) {
        self.init(
            planned.plan, ResolvedManifests(planned.manifests, planned.topology),
            host: planned.topology.hosts[planned.host].metadata.name)
    }
}

extension Refusals.OfEdge {
    /// Packets that were more than a bandwidth; null where there is none.
    fileprivate var capped: StructuredValue.Member {
        StructuredValue.Member("capped", ["egress": .integer(orNull: egress), "ingress": .integer(orNull: ingress)])
    }
}
