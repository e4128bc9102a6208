import Foundation
import Glibc
import HTTPBalancer
import Netlink
import Synchronization
import Traffic
import VPCModel
import VPCTopology

/// Keeps this host's instances of load balancers of HTTP, on a thread of its own: starting a process takes time. What they
/// are stays when the agent ends; the next one finds them.
final class HostBalancers: Sendable {
    private let folder: String
    private let publication: Publication
    private let state: Mutex<State>
    private let bell: Bell

    private struct State {
        var wanted: [String: HTTPBalancer] = [:]
        var isStarted = false
        /// Whether there were some of before, which only the first call has to find out.
        var hasLooked = false
        var isEnding = false
    }

    /// How often each is looked at though nobody has changed anything.
    private static let patience = Duration.seconds(2)

    /// - Parameter folder: Of all instances.
    init(_ folder: String, _ publication: Publication) throws(AgentError) {
        (self.folder, self.publication) = (folder, publication)
        state = Mutex(State())
        do { bell = try Bell() } catch { throw AgentError(.kernel, "pipe: \(error)") }
    }

    /// From now on these are the instances that there shall be, by the names of their interfaces.
    func follow(_ wanted: [String: HTTPBalancer]) {
        let (isNew, mustStart) = state.withLock { state in
            let isNew = state.wanted != wanted
            state.wanted = wanted
            let hasFormer = !state.hasLooked && !BalancerKeeper.names(in: folder).isEmpty
            state.hasLooked = true
            let mustStart = !state.isStarted && (!wanted.isEmpty || hasFormer)
            if mustStart { state.isStarted = true }
            return (isNew, mustStart)
        }
        if mustStart {
            Thread.detachNewThread { [self] in
                var turns = BalancerTurns(folder, publication)
                while let wanted = state.withLock({ $0.isEnding ? nil : $0.wanted }) {
                    turns.turn(wanted)
                    var poll = PollSet()
                    poll.add(bell.descriptor, POLLIN)
                    poll.wait(until: turns.isIdle ? nil : .now + Self.patience)
                    if poll.isReady(0) { bell.hush() }
                }
            }
        }
        if isNew { bell.ring() }
    }

    func stop() {
        state.withLock { $0.isEnding = true }
        bell.ring()
    }
}

/// What the thread does.
private struct BalancerTurns {
    private let folder: String
    private let publication: Publication
    private let hasServiceManager: Bool
    private var keepers: [String: BalancerKeeper] = [:]
    private var reports: [String: BalancerKeeper.Report] = [:]

    init(_ folder: String, _ publication: Publication) {
        (self.folder, self.publication) = (folder, publication)
        // The unit names that folder.
        hasServiceManager = access("/run/systemd/system", F_OK) == 0 && folder == "/var/lib/vpcctl/balancers"
    }

    /// Whether there is nothing to look at.
    var isIdle: Bool { keepers.isEmpty }

    mutating func turn(_ wanted: [String: HTTPBalancer]) {
        var reports: [String: BalancerKeeper.Report] = [:]
        if !wanted.isEmpty { try? Files.makeDirectory(folder, mode: 0o700) }
        for (name, balancer) in wanted.sorted(by: { $0.key < $1.key }) {
            var keeper = keepers[name] ?? keeper(name)
            reports[name] = keeper.bring(to: balancer, at: .now)
            keepers[name] = keeper
        }
        for name in Set(BalancerKeeper.names(in: folder)).union(keepers.keys) where wanted[name] == nil {
            do {
                try (keepers[name] ?? keeper(name)).remove()
                keepers[name] = nil
            } catch {
                publication.log.error("instance \(name) of a load balancer cannot be removed: \(error)")
            }
        }
        if reports != self.reports { publication.balanced(reports) }
        self.reports = reports
    }

    private func keeper(_ name: String) -> BalancerKeeper {
        BalancerKeeper(
            in: folder, name: name, namespace: BalancerInstance.namespacePrefix + name,
            hasServiceManager: hasServiceManager, threads: min(4, ProcessInfo.processInfo.activeProcessorCount))
    }
}

extension Topology {
    /// The instances on a host, by the names of their interfaces.
    func httpBalancers(on host: Int) -> [String: HTTPBalancer] {
        var balancers: [String: HTTPBalancer] = [:]
        for balancer in loadBalancers
        where balancer.type == .l7 && balancer.instances.contains(where: { $0.host == host }) {
            let name = BalancerInstance.interfaceName(of: balancer.name, on: hosts[host].metadata.name)
            balancers[name] = httpBalancer(balancer)
        }
        return balancers
    }

    private func httpBalancer(_ balancer: ResolvedLoadBalancer) -> HTTPBalancer {
        var result = HTTPBalancer(name: balancer.name)
        let securePort = balancer.listeners.first { $0.transport == .https }?.port ?? 443
        result.listeners = balancer.listeners.map { listener in
            var own = HTTPBalancer.Listener(listener.transport == .https ? .https : .http, port: listener.port)
            own.rules = listener.rules.map {
                .init(host: $0.host, path: $0.path, group: targetGroups[$0.targetGroup].name)
            }
            own.certificates = listener.certificates.map { .init(name: $0.name, file: $0.file) }
            own.redirectPort = listener.redirect == nil ? nil : securePort
            return own
        }
        result.groups = balancer.targetGroups.map { group(targetGroups[$0]) }.sorted { $0.name < $1.name }
        result.clientAddress = balancer.clientAddress == .proxyV2 ? .proxyV2 : .forwardedFor
        result.logsRequests = balancer.logsAccesses
        return result
    }

    private func group(_ group: ResolvedTargetGroup) -> HTTPBalancer.Group {
        HTTPBalancer.Group(
            name: group.name, scheme: group.transport == .https ? .https : .http,
            check: group.healthCheck.flatMap(HTTPBalancer.Check.init), drain: group.drain,
            failsOpen: group.whenAllUnhealthy == .useAll,
            servers: group.targets.map { target in
                let interface = interfaces[target.interface]
                return .init(
                    name: interface.name, address: interface.address, port: group.port, weight: target.weight)
            })
    }
}

extension HTTPBalancer.Check {
    /// Nil where it is none of TCP.
    fileprivate init?(_ check: TargetGroup.HealthCheck) {
        let kind: Kind
        switch check.transport {
        case .tcp: kind = .tcp
        case .http: kind = .http
        case .https: kind = .https
        case .udp: return nil
        }
        self.init(
            kind: kind, path: check.path, status: check.status, interval: check.interval, timeout: check.timeout,
            healthy: check.healthy, unhealthy: check.unhealthy)
    }
}
