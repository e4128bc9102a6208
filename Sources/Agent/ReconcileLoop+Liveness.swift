import Liveness
import VPCCompiler
import VPCModel
import VPCTopology

/// What the loop remembers of those that are watched: next hops that say `liveness`, targets with a health check.
struct LivenessState {
    /// The revision whose next hops and targets are watched.
    var revision: Int?
    var report = LivenessReport()
}

extension ReconcileLoop {
    /// Has those watched that a new desired state names, and the pairs of gateways. Their ports are there by now.
    func watch(over desired: Desired) {
        agent.pairs.follow(desired.topology.pairedNetworks(of: desired.host))
        guard let service = agent.liveness, liveness.revision != desired.revision.number else { return }
        do throws(AgentError) {
            try service.follow(LivenessPlan(of: desired.host, in: desired.topology))
            liveness.revision = desired.revision.number
            publication.watchingFailed(liveness.report.exchangeComplaint)
        } catch {
            publication.watchingFailed("\(error)")
        }
        publish(liveness.report)
    }

    /// Takes in who answers, and who does not any more: the routes are made anew at once.
    func take(_ report: LivenessReport) {
        let former = liveness.report
        liveness.report = report
        let known = KnownLiveness(report)
        if known != hostPass.liveness {
            hostPass.liveness = known
            pass()
            // The packets come first.
            agent.liveness?.remember(known)
        }
        publication.turned(from: former, to: report)
        publication.watchingFailed(report.exchangeComplaint)
        publish(report)
    }

    private func publish(_ report: LivenessReport) {
        guard let desired else { return publication.watched([], [], notes: [:]) }
        publication.watched(
            desired.topology.gateways(report, on: desired.host), desired.topology.targets(report),
            notes: desired.topology.notes(of: hostPass.liveness.deadNextHops, report))
    }
}

extension Topology {
    /// How those are that are watched, in the order of their names.
    fileprivate func gateways(_ report: LivenessReport, on host: Int) -> [AgentStatus.Gateway] {
        watchedNextHops.compactMap { key, number in
            guard let verdict = report.verdicts[key], let hop = WatchedNextHop(key) else { return nil }
            let session = report.sessions[key]
            return AgentStatus.Gateway(
                interface: hop.interface, liveness: hop.liveness, host: hosts[interfaces[number].host].metadata.name,
                isUp: verdict.isAlive, reason: verdict.reason, detectionTime: session?.detectionTime,
                failures: session?.failures)
        }
    }

    /// How those are that are asked whether they are healthy, by group and name.
    fileprivate func targets(_ report: LivenessReport) -> [AgentStatus.Target] {
        watchedTargets.compactMap { group, number in
            let target = WatchedTarget(group: targetGroups[group].name, interface: interfaces[number].name)
            let key = FactKey(target)
            guard let verdict = report.verdicts[key] else { return nil }
            return AgentStatus.Target(
                group: target.group, interface: target.interface,
                host: hosts[interfaces[number].host].metadata.name, isHealthy: verdict.isAlive,
                reason: verdict.reason, failures: report.sessions[key]?.failures)
        }.sorted { ($0.group, $0.interface) < ($1.group, $1.interface) }
    }

    /// What is to be said of route tables and interfaces.
    fileprivate func notes(
        of dead: Set<WatchedNextHop>, _ report: LivenessReport
    ) -> [ResourceReference: String] {
        var notes: [ResourceReference: String] = [:]
        if dead.isEmpty { return notes }
        for table in routeTables {
            var sentences: [String] = []
            for route in table.routes {
                let hops = route.nextHops.compactMap { hop in
                    hop.interface.map { WatchedNextHop(interfaces[$0].name, hop.liveness) }
                }
                let missing = hops.filter(dead.contains)
                if missing.isEmpty { continue }
                for hop in missing {
                    let why = FactKey(hop).flatMap { report.verdicts[$0]?.reason } ?? "as before"
                    notes[ResourceReference(.networkInterface, hop.interface)] = "as a next hop it is down: \(why)"
                }
                let names = missing.map(\.interface).joined(separator: ", ")
                sentences.append(
                    missing.count == hops.count
                        ? "\(route.destination): no next hop answers, so all are used"
                        : "\(route.destination): without \(names)")
            }
            if !sentences.isEmpty {
                notes[ResourceReference(.routeTable, table.name)] = sentences.joined(separator: "; ")
            }
        }
        return notes
    }
}
