import Glibc
import IPAddressing
public import KernelModel
import KernelNames
import VPCCompiler

/// One thing that this product needs of a machine, and whether it is there.
public struct Finding: Sendable, Hashable {
    public var subject: String
    public var isGood: Bool
    /// Nothing is missing, but every packet costs more than it need.
    public var isCostly = false
    /// It depends on what cannot be told from here.
    public var isUncertain = false
    /// Two readers of the kernel tell different things of it.
    public var isDisputed = false
    /// What was found.
    public var detail: String
    /// What to do, where something is missing.
    public var remedy: String?

    public init(
        subject: String, isGood: Bool, isCostly: Bool = false, isUncertain: Bool = false, isDisputed: Bool = false,
        detail: String, remedy: String? = nil
    ) {
        self.subject = subject
        self.isGood = isGood
        self.isCostly = isCostly
        self.isUncertain = isUncertain
        self.isDisputed = isDisputed
        self.detail = detail
        self.remedy = remedy
    }
}

extension Finding {
    /// Of what was tried.
    init(of subject: String, _ failure: CommitReport.Failure?, remedy: String) {
        self.init(
            subject: subject, isGood: failure == nil, detail: failure.map { "\($0.reason)" } ?? "works",
            remedy: failure == nil ? nil : remedy)
    }
}

/// Looks at the machine by doing what will be done: every kind of object is made once in a network namespace that only
/// this process sees and that is gone afterwards.
public struct Doctor {
    public init() {}

    /// What can be told without touching a kernel object.
    public func environment() -> [Finding] { [kernelRelease()] + Capability.allCases.map(capability) }

    /// What the kernel makes of one object of every kind.
    /// - Parameter kernel: of an empty network namespace.
    public func kernelObjects(_ kernel: some KernelAccess) -> [Finding] {
        let report = kernel.commit(Self.trialPlan, owner: Conventions.ownership)
        var findings = Self.trials.map { trial -> Finding in
            let failure = report.failures.first { $0.operation.object == trial.object }
            return Finding(of: trial.subject, failure, remedy: trial.remedy)
        }
        findings += firewallFeatures(kernel)
        findings += sysctls()
        return findings
    }

    // MARK: - Environment

    private func kernelRelease() -> Finding {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        let isGood = numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 1)
        return Finding(
            subject: "kernel", isGood: isGood, detail: release,
            remedy: isGood ? nil : "use Linux 6.1 or later (Debian 12's own kernel)")
    }

    private func capability(_ capability: Capability) -> Finding {
        let isGood = !Capability.missing().contains(capability)
        return Finding(
            subject: "permission \(capability)", isGood: isGood, detail: isGood ? "held" : "not held",
            remedy: isGood ? nil : "run as root (sudo), or give the process \(capability)")
    }

    // MARK: - Objects

    private struct Trial {
        var subject: String
        var object: String
        var remedy: String
        var work: ChangePlan.Work
    }

    private static let trialPlan: ChangePlan = {
        var plan = ChangePlan()
        plan.steps = trials.map { ChangePlan.Step($0.work) }
        return plan
    }()

    private static let trials: [Trial] = {
        guard let loopback = InterfaceName("lo"), let vrf = InterfaceName("vrf0"), let gre = InterfaceName("gre1"),
            let external = InterfaceName("gx0")
        else { return [] }
        let address = IPAddress(v4: 0xC000_0201)  // 192.0.2.1 (RFC 5737)
        let other = IPAddress(v4: 0xC000_0202)
        let gateway = GREEncapsulation(key: 1, source: address, destination: other, ttl: 64)
        let algorithm = NexthopGroup.Algorithm.resilient(buckets: 64, idleTimer: 6000)
        let group = NexthopGroup(members: [.init(id: NexthopID(1), weight: 1)], algorithm: algorithm)
        let links: [(String, String, Link)] = [
            ("VRF devices", "modprobe vrf (CONFIG_NET_VRF)", Link(name: vrf, kind: .vrf(table: TableID(7)))),
            (
                "GRE devices with a key", "modprobe ip_gre (CONFIG_NET_IPGRE)",
                Link(name: gre, kind: .gre(GRETunnel(local: address, key: 1, ttl: 64, underlay: loopback)))
            ),
            (
                "GRE devices for nexthops", "modprobe ip_gre (CONFIG_NET_IPGRE)",
                Link(name: external, kind: .greExternal(underlay: loopback))
            ),
        ]
        let nexthops: [(String, String, Nexthop)] = [
            (
                "nexthop objects with GRE", "use a kernel with CONFIG_LWTUNNEL; and modprobe ip_gre",
                Nexthop(id: NexthopID(1), body: .encapsulate(gateway, device: external))
            ),
            (
                "resilient nexthop groups", "use Linux 5.13 or later",
                Nexthop(id: NexthopID(2), body: .group(group))
            ),
        ]
        let rule = Rule(
            priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: Conventions.ownership.routeProtocol)
        return links.map { subject, remedy, link in
            Trial(
                subject: subject, object: link.description, remedy: remedy,
                work: .links(ChangeSet(creations: [Attributed(link, from: .none)])))
        } + [
            Trial(
                subject: "rules for VRFs", object: rule.description,
                remedy: "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_NET_L3_MASTER_DEV",
                work: .rules(ChangeSet(creations: [Attributed(rule, from: .none)])))
        ]
            + nexthops.map { subject, remedy, nexthop in
                Trial(
                    subject: subject, object: nexthop.description, remedy: remedy,
                    work: .nexthops(ChangeSet(creations: [Attributed(nexthop, from: .none)])))
            }
    }()

    private func sysctls() -> [Finding] {
        Conventions.sysctlPaths.compactMap { path in
            if access("/proc/sys/\(path)", F_OK) == 0 { return nil }
            return Finding(
                subject: "parameter \(path.replacingSlashes)", isGood: false, detail: "not there",
                remedy: "use Linux 5.12 or later, and modprobe vrf for the l3mdev parameters")
        }
    }
}

extension String {
    fileprivate var replacingSlashes: String { String(map { $0 == "/" ? "." : $0 }) }
}
