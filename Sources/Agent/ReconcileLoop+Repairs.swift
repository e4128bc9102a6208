import KernelModel
import Logging

/// What somebody else had changed: said, and where it is a fight, an alarm.
extension ReconcileLoop {
    /// What was done in this pass because somebody else had changed it.
    func repairedOperations(_ result: PassResult) -> [Operation] {
        if result.plan.changes.counts.total == 0 { return [] }
        let failed = Set(result.outcome.report.failures.map { RepairLedger.Subject($0.operation) })
        var operations: [Operation] = []
        result.plan.changes.forEachOperation { operation in
            if operation.action != .wait, !failed.contains(RepairLedger.Subject(operation)) {
                operations.append(operation)
            }
        }
        return operations
    }

    /// One line an object; of very many at once, one a kind.
    func logRepairs(_ operations: [Operation], _ desired: Desired) {
        if operations.count > Self.longestListing { return summarize(operations, desired) }
        for operation in operations {
            let resource = resource(operation.origin, desired)
            let difference = operation.difference
            agent.log.warning(
                "repaired \(operation.object): \(difference)",
                metadata: [
                    "kind": "\(operation.kind.rawValue)", "resource": "\(resource ?? "-")",
                    "namespace": "\(operation.namespace?.rawValue ?? "-")",
                ])
            agent.events.add(
                .driftRepaired, difference, object: operation.object, resource: resource,
                revision: desired.revision.number)
        }
    }

    private static let longestListing = 32

    private func summarize(_ operations: [Operation], _ desired: Desired) {
        for kind in ObjectKind.allCases {
            let ofKind = operations.filter { $0.kind == kind }
            guard let first = ofKind.first else { continue }
            let text =
                "\(ofKind.count) changes of kind \(kind.rawValue), the first: \(first.object): \(first.difference)"
            agent.log.warning("repaired \(text)", metadata: ["kind": "\(kind.rawValue)"])
            for operation in ofKind { agent.log.debug("repaired \(operation.object): \(operation.difference)") }
            agent.events.add(
                .driftRepaired, text, object: first.object, resource: resource(first.origin, desired),
                revision: desired.revision.number)
        }
    }

    func resource(_ origin: Origin, _ desired: Desired) -> String? {
        origin == .none ? nil : desired.topology.resource(of: origin)?.description
    }

    // MARK: - Alarms

    func alarms(_ now: ContinuousClock.Instant) -> [AgentStatus.Alarm] {
        ledger.fights.map { subject, entry in
            let pause = entry.pausedUntil.map { max(.zero, now.duration(to: $0)) } ?? .zero
            return AgentStatus.Alarm(
                object: subject.object, kind: subject.kind, resource: entry.resource,
                repairs: entry.repairs, pauseSeconds: Int(pause.components.seconds))
        }
    }

    func raiseAlarm(_ subject: RepairLedger.Subject, _ desired: Desired) {
        let text =
            "somebody else changes \(subject.object) again and again; it is repaired at longer and longer intervals"
        agent.log.critical("\(text)", metadata: ["kind": "\(subject.kind.rawValue)"])
        agent.events.add(.alarmRaised, text, object: subject.object, revision: desired.revision.number)
    }

    func clearAlarm(_ subject: RepairLedger.Subject) {
        agent.log.notice("nobody changes \(subject.object) any more")
        agent.events.add(.alarmCleared, "nobody changes it any more", object: subject.object)
        agent.shared.withLock { state in state.status.alarms.removeAll { $0.object == subject.object } }
    }
}

extension Operation {
    /// What somebody else had done.
    fileprivate var difference: String {
        switch action {
        case .create: "it was missing"
        case .delete: "it did not belong here"
        case .change, .wait: previous.map { "it was \($0)" } ?? "it was different"
        }
    }
}
