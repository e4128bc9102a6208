import Glibc
import IPAddressing
import Liveness
import Netlink
import Synchronization
import VPCCompiler
import VPCModel
import VPCTopology

/// Who answers among the next hops that say `liveness` and the targets with a health check, as long as the agent runs, and what
/// was known of that before.
final class HostLiveness: Sendable {
    private let memory: LivenessMemory
    private let underlay: NetworkNamespace
    private let keyFile: String?
    private let service = Mutex<LivenessService?>(nil)
    let whenChanged: @Sendable (LivenessReport) -> Void

    /// - Parameters:
    ///   - underlay: Where hosts speak with each other.
    ///   - keyFile: Of the key that the hosts share; nil: there is none.
    ///   - whenChanged: Called on a thread of its own, with how things are then.
    init(
        stateDirectory: String, underlay: NetworkNamespace, keyFile: String?,
        whenChanged: @escaping @Sendable (LivenessReport) -> Void
    ) {
        memory = LivenessMemory(path: "\(stateDirectory)/liveness")
        (self.underlay, self.keyFile) = (underlay, keyFile)
        self.whenChanged = whenChanged
    }

    /// What was known when the process before this one ended. A target of which nothing is known is not healthy.
    var remembered: KnownLiveness {
        let keys = memory.read()
        return KnownLiveness(
            deadNextHops: Set(keys.compactMap(WatchedNextHop.init)),
            healthyTargets: Set(keys.compactMap(WatchedTarget.init)))
    }

    /// Says what is to be watched. A service is made when there is something for the first time.
    func follow(_ plan: LivenessPlan) throws(AgentError) {
        try service.withLock { service throws(AgentError) in
            if let service { return service.follow(plan) }
            if plan.isEmpty { return }
            let seal = try keyFile.map { path throws(AgentError) in try Self.seal(path) }
            do {
                let new = try LivenessService(
                    underlay: underlay, seal: seal,
                    remembered: Dictionary(uniqueKeysWithValues: memory.read().map { ($0, $0.kind == .health) }),
                    whenChanged: whenChanged)
                new.follow(plan)
                service = new
            } catch {
                throw AgentError(.kernel, "\(error)")
            }
        }
    }

    func remember(_ known: KnownLiveness) {
        memory.write(known.deadNextHops.compactMap(FactKey.init) + (known.healthyTargets ?? []).map(FactKey.init))
    }

    func stop() { service.withLock { $0.take() }?.stop() }

    private static func seal(_ path: String) throws(AgentError) -> FactSeal {
        guard var key = try Files.read(path, limit: 4096) else { throw AgentError(.storage, "there is no key \(path)") }
        // As an editor ends a file.
        while key.last == 0x0A || key.last == 0x0D { key.removeLast() }
        guard let seal = FactSeal(key: key) else {
            throw AgentError(
                .storage,
                "the key in \(path) has \(key.count) bytes, fewer than \(FactSeal.shortestKey): make one with 'openssl rand -hex 32'"
            )
        }
        return seal
    }
}

/// Which next hops were held for dead and which targets for healthy, for the process that comes after this one. What another boot knew is of no use: the guests were
/// started anew as well.
private struct LivenessMemory {
    let path: String

    private static let boot =
        (try? Files.read("/proc/sys/kernel/random/boot_id")).flatMap { $0 }
        .map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } } ?? ""

    func read() -> [FactKey] {
        guard let bytes = try? Files.read(path) else { return [] }
        var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard !lines.isEmpty, lines.removeFirst() == Self.boot else { return [] }
        let keys = lines.compactMap { line -> FactKey? in
            let words = line.split(separator: " ")
            guard words.count == 2, let kind = UInt8(words[0]) else { return nil }
            return FactKey(FactKind(rawValue: kind), String(words[1]))
        }
        return Array(Set(keys))
    }

    /// Without waiting for the disk: a machine that fails needs it no more.
    func write(_ keys: [FactKey]) {
        let lines = [Self.boot] + keys.sorted().map { "\($0.kind.rawValue) \($0.name)" }
        let bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard file >= 0 else { return }
        let isWhole = Glibc.write(file, bytes, bytes.count) == bytes.count
        close(file)
        if isWhole { rename(temporary, path) } else { unlink(temporary) }
    }
}

extension FactKey {
    init?(_ hop: WatchedNextHop) {
        switch hop.liveness {
        case .none: return nil
        case .bfd: self.init(.bfd, hop.interface)
        case .ping: self.init(.echo, hop.interface)
        }
    }
}

extension FactKey {
    init(_ target: WatchedTarget) { self.init(.health, "\(target.group)/\(target.interface)") }
}

extension WatchedTarget {
    init?(_ key: FactKey) {
        let names = key.name.split(separator: "/")
        guard key.kind == .health, names.count == 2 else { return nil }
        self.init(group: String(names[0]), interface: String(names[1]))
    }
}

extension WatchedNextHop {
    init?(_ key: FactKey) {
        switch key.kind {
        case .bfd: self.init(key.name, .bfd)
        case .echo: self.init(key.name, .ping)
        default: return nil
        }
    }
}

extension KnownLiveness {
    init(_ report: LivenessReport) {
        self.init(
            deadNextHops: Set(report.verdicts.filter { !$0.value.isAlive }.keys.compactMap(WatchedNextHop.init)),
            healthyTargets: Set(report.verdicts.filter(\.value.isAlive).keys.compactMap(WatchedTarget.init)))
    }
}

extension LivenessPlan {
    var isEmpty: Bool { watches.isEmpty && remote.isEmpty }

    /// What a host watches: its own guests among the next hops and targets, and it tells the hosts with interfaces of their
    /// VPCs; of the others of its VPCs it is told.
    init(of host: Int, in topology: Topology) {
        self.init()
        address = topology.hosts[host].underlayAddress
        var told: Set<Int> = []
        let asking = topology.balancerAddresses
        typealias Subject = (key: FactKey, interface: Int, check: HealthCheck?, source: IPAddress?)
        let hops = topology.watchedNextHops.map { hop -> Subject in (hop.key, hop.interface, nil, nil) }
        let targets = topology.watchedTargets.map { number, interface -> Subject in
            let group = topology.targetGroups[number]
            let target = WatchedTarget(group: group.name, interface: topology.interfaces[interface].name)
            return (FactKey(target), interface, group.livenessCheck, asking[number])
        }
        for (key, interface, check, source) in hops + targets {
            let resolved = topology.interfaces[interface]
            if resolved.host == host {
                watches.append(
                    Watch(
                        key, in: topology.hosts[host].networkNamespace, by: resolved.portName.rawValue,
                        from: source ?? topology.subnets[resolved.subnet].gateway, to: resolved.address, check))
                told.insert(resolved.vpc)
            } else if topology.hasInterface(of: [resolved.vpc], on: host) {
                remote[key] = topology.hosts[resolved.host].underlayAddress
            }
        }
        if told.isEmpty { return }
        for other in topology.hosts.indices where other != host && topology.hasInterface(of: Array(told), on: other) {
            readers.insert(topology.hosts[other].underlayAddress)
        }
    }
}

extension ResolvedTargetGroup {
    /// What its targets are asked.
    fileprivate var livenessCheck: HealthCheck? {
        guard let check = healthCheck else { return nil }
        let request = HealthCheck.HTTPRequest(path: check.path, statuses: Set(check.status))
        let question: HealthCheck.Question =
            switch check.transport {
            case .tcp: .tcp
            case .udp: .udp
            case .http: .http(request)
            case .https: .https(request)
            }
        return HealthCheck(
            question, port: port, interval: check.interval, timeout: check.timeout, healthy: check.healthy,
            unhealthy: check.unhealthy)
    }
}

extension Topology {
    /// By target group, the address of a balancer that leads to it: of several the first one by name.
    fileprivate var balancerAddresses: [Int: IPAddress] {
        var addresses: [Int: IPAddress] = [:]
        for balancer in loadBalancers.sorted(by: { $0.name < $1.name }) {
            guard let address = balancer.inside?.address else { continue }
            for group in balancer.targetGroups where addresses[group] == nil { addresses[group] = address }
        }
        return addresses
    }

    /// Each once, in the order of their names.
    var watchedNextHops: [(key: FactKey, interface: Int)] {
        watchedInterfaces.compactMap { watched in
            FactKey(WatchedNextHop(interfaces[watched.interface].name, watched.liveness)).map {
                ($0, watched.interface)
            }
        }.sorted { $0.key < $1.key }
    }
}
