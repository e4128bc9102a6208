import Agent
import KernelModel
import Presentation
import Reconciler
import VPCManifest
import VPCModel

/// What is found to say about one resource.
struct ResourceStatus: Sendable {
    var phase: AgentStatus.Phase
    var reason: String?
    /// The last revision for which the resource was looked at.
    var observedRevision: Int?

    var structured: StructuredValue {
        [
            "phase": .string(phase.rawValue), "reason": .string(orNull: reason),
            "observedRevision": .integer(orNull: observedRevision),
        ]
    }
}

extension AgentStatus {
    /// How one resource of a revision is on this host.
    func status(of resource: ResourceReference, in revision: Int) -> ResourceStatus {
        guard examinedRevision == revision else {
            return ResourceStatus(
                phase: .pending, reason: "revision \(revision) is being applied", observedRevision: examinedRevision)
        }
        guard let problem = problems[resource] else {
            return ResourceStatus(phase: .ready, reason: notes[resource], observedRevision: examinedRevision)
        }
        return ResourceStatus(phase: problem.phase, reason: problem.reason, observedRevision: examinedRevision)
    }

    var resourceCounts: (ready: Int, pending: Int, failed: Int) {
        guard examinedRevision == desiredRevision else { return (0, resourceCount, 0) }
        let failed = problems.values.count { $0.phase == .failed }
        let pending = problems.count - failed
        return (resourceCount - failed - pending, pending, failed)
    }

    var structured: StructuredValue {
        let counts = resourceCounts
        return [
            "apiVersion": .apiVersion, "kind": "AgentStatus", "host": .string(orNull: host),
            "phase": .string(phase.rawValue), "reason": .string(orNull: reason),
            "desiredRevision": .integer(orNull: desiredRevision),
            "observedRevision": .integer(orNull: observedRevision), "source": .string(orNull: source),
            "resources": [
                "total": .integer(resourceCount), "ready": .integer(counts.ready), "pending": .integer(counts.pending),
                "failed": .integer(counts.failed),
            ],
            "rejected": .list(rejected.map { StructuredValue($0) }),
            "confirmation": confirmation.map(\.structured) ?? .null, "alarms": .list(alarms.map(\.structured)),
            "gateways": .list(gateways.map(\.structured)), "targets": .list(targets.map(\.structured)),
            "livenessComplaint": .string(orNull: livenessComplaint),
            "gatewayPairs": .list(gatewayPairs.map(\.structured)),
            "obstacles": .list(obstacles.map(\.structured)),
            "connections": trackingTable.map(connections(in:)) ?? .null,
            "natGateways": .list(natGateways.map { .object($0.members) }),
            "uplinks": .list(uplinks.map(\.structured)), "unplaced": .integer(unplaced),
            "started": .string(timestamp(started)),
        ]
    }

    /// The table, and the VPCs and NAT gateways that are near their limits.
    private func connections(in table: TrackingTable) -> StructuredValue {
        [
            "tracked": .integer(table.count), "room": .integer(table.room),
            "alarms": .list(
                connections.filter(\.isAlarming).map { use in
                    .object([
                        StructuredValue.Member(
                            use.owner.kind == .vpc ? "vpc" : "natGateway", .string(use.owner.name)),
                        StructuredValue.Member("tracked", .integer(use.tracked)),
                        StructuredValue.Member("limit", .integer(use.limit)),
                        StructuredValue.Member("refused", .boolean(use.isRefused)),
                    ])
                }),
        ]
    }
}

extension NATGatewayUse {
    var members: [StructuredValue.Member] {
        [
            StructuredValue.Member("name", .string(name)), StructuredValue.Member("sessions", .integer(sessions)),
            StructuredValue.Member("ports", .integer(ports)),
            StructuredValue.Member("alarming", .boolean(isAlarming)),
        ]
    }
}

extension AgentStatus.Uplink {
    fileprivate var structured: StructuredValue {
        [
            "network": .string(network), "device": .string(device), "up": .boolean(isUp),
            "reason": .string(orNull: reason),
        ]
    }
}

extension AgentStatus.GatewayPair {
    fileprivate var structured: StructuredValue {
        [
            "network": .string(network), "role": .string(orNull: pair?.role), "reason": .string(orNull: pair?.reason),
            "active": .string(orNull: pair?.active), "peer": .string(orNull: pair?.peer),
            "peerRole": .string(orNull: pair?.peerRole), "synchronized": .boolean(pair?.isSynchronized ?? false),
            "connections": .integer(pair?.connections ?? 0), "problems": .list(problems.map { .string($0) }),
        ]
    }
}

extension TunnelObstacle {
    fileprivate var structured: StructuredValue {
        [
            "message": .string("\(self)"), "remedy": .string(remedy), "certain": .boolean(isCertain),
            "table": .string("\(table)"), "chain": .string(chain),
            "handle": .integer(orNull: handle.map { Int(clamping: $0) }), "rule": .string(rule),
        ]
    }
}

extension AgentStatus.Confirmation {
    fileprivate var structured: StructuredValue {
        [
            "revision": .integer(revision), "previous": .integer(previous), "deadline": .string(timestamp(deadline)),
        ]
    }
}

extension AgentStatus.Gateway {
    fileprivate var structured: StructuredValue {
        let milliseconds = detectionTime.map { duration in
            Int(duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000)
        }
        return [
            "interface": .string(interface), "liveness": .string(liveness.rawValue), "host": .string(host),
            "up": .boolean(isUp), "reason": .string(reason), "detectionMilliseconds": .integer(orNull: milliseconds),
            "failures": .integer(orNull: failures),
        ]
    }
}

extension AgentStatus.Target {
    fileprivate var structured: StructuredValue {
        [
            "group": .string(group), "interface": .string(interface), "host": .string(host),
            "healthy": .boolean(isHealthy), "reason": .string(reason), "failures": .integer(orNull: failures),
        ]
    }
}

extension AgentStatus.Alarm {
    fileprivate var structured: StructuredValue {
        [
            "kind": .string(kind.rawValue), "object": .string(object), "resource": .string(orNull: resource),
            "repairs": .integer(repairs), "pauseSeconds": .integer(pauseSeconds),
        ]
    }
}

extension AgentEvent {
    var structured: StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "Event", "sequence": .integer(sequence),
            "time": .string(timestamp(time, milliseconds: milliseconds)), "type": .string(type.rawValue),
            "message": .string(message), "object": .string(orNull: object), "resource": .string(orNull: resource),
            "revision": .integer(orNull: revision),
        ]
    }
}

extension Revision {
    /// As the API tells of it.
    var presented: StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "Revision", "number": .integer(number),
            "time": .string(timestamp(time)), "cause": .string("\(cause)"),
            "digest": .string(String(digest, radix: 16)), "files": .list(files.map { .string($0.name) }),
            "confirmBy": confirmBy.map { .string(timestamp($0)) } ?? .null,
        ]
    }
}
