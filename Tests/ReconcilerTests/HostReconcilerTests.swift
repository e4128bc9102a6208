import FakeKernel
import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

@testable import Reconciler

/// A host is made of manifests, whatever the kernel and everybody else do meanwhile.
@Suite(.timeLimit(minutes: 10)) struct HostReconcilerTests {
    private let kernel: FakeKernel
    private let reconciler: HostReconciler
    private let guest = NamespaceName("web")

    init() throws {
        kernel = FakeKernel(
            FakeWorld(
                owner: Conventions.ownership, parameters: Conventions.sysctlPaths,
                uplink: try #require(InterfaceName("eth0")), address: try #require(IPAddress("172.31.0.1")),
                remotes: [try #require(IPAddress("172.31.0.2"))], guests: [guest]))
        reconciler = HostReconciler(kernel: kernel)
    }

    private func topology(interfaces: Int = 1, rule: String = "") throws -> Topology {
        var text = """
            apiVersion: vpcctl.dev/v1
            kind: Host
            metadata: {name: h1}
            spec: {underlay: {address: 172.31.0.1}}
            ---
            kind: Host
            metadata: {name: h2}
            spec: {underlay: {address: 172.31.0.2}}
            ---
            kind: VPC
            metadata: {name: v}
            spec: {id: 1, cidrs: [10.0.0.0/16]}
            ---
            kind: Subnet
            metadata: {name: s}
            spec: {vpc: v, cidr: 10.0.1.0/24}
            ---
            kind: SecurityGroup
            metadata: {name: g}
            spec:
              vpc: v
              ingress: [\(rule)]
            ---
            kind: NetworkInterface
            metadata: {name: there}
            spec: {subnet: s, address: 10.0.1.99, host: h2, attachment: {netns: other, device: eth0}}

            """
        text += ManifestHead.guests(interfaces, more: "securityGroups: [g]")
        let set = ManifestSet([ManifestSource(name: "all.yaml", text: text)])
        let resolution = Topology.resolve(set.model)
        return try #require(resolution.topology, "\(set.located(resolution.diagnostics))")
    }

    private func expectDone(_ topology: Topology, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let left = try reconciler.plan(topology, host: 0).changes
        #expect(left.operations.map(\.object) == [], sourceLocation: sourceLocation)
    }

    private func make(_ topology: Topology) throws {
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        try #require(outcome.report.failures == [] && outcome.remaining.isEmpty)
    }

    @Test func aHostIsMadeAndUnmade() throws {
        let before = kernel.world
        let topology = try topology(interfaces: 2)
        try make(topology)
        try expectDone(topology)
        let commits = kernel.commits.count
        let idle = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(idle.report == CommitReport() && kernel.commits.count == commits)

        let outcome = try reconciler.apply(reconciler.removalPlan())
        #expect(outcome.report.failures == [] && outcome.remaining.isEmpty)
        let after = kernel.world
        #expect(after.host.state.links == before.host.state.links)
        #expect(after.host.state.routes == [] && after.host.state.nexthops == [])
        #expect(after.host.state.firewall.tables == [])
        #expect(after.guests[guest]?.state == before.guests[guest]?.state)
    }

    // MARK: - Somebody else's transactions

    @Test func aStaleGenerationIsPlannedAgain() throws {
        let topology = try topology()
        for _ in 0..<3 { kernel.beforeNextCommit { $0.host.state.firewall.generation += 1 } }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(outcome.report.failures == [] && outcome.remaining.isEmpty)
        #expect(kernel.commits.count == 4)
        // Each object is counted once, in whichever attempt it was made.
        #expect(outcome.report.applied.created == kernel.commits[0].counts.created)
        try expectDone(topology)
    }

    @Test func whoNeverComesToAnEndSaysSo() throws {
        let topology = try topology()
        for _ in 0..<20 { kernel.beforeNextCommit { $0.host.state.firewall.generation += 1 } }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(kernel.commits.count == 8)
        #expect(outcome.report.failures.contains { $0.reason == .stale })
        #expect(outcome.report.failures.allSatisfy { $0.reason.isInterference })
        #expect(!outcome.remaining.isEmpty)
        // No port is there without the policy for it.
        #expect(!kernel.world.host.state.links.contains { $0.link.kind.isVeth })
    }

    // MARK: - Refusals and what is gone

    @Test func whatIsRefusedKeepsNothingElseBack() throws {
        let topology = try topology(interfaces: 2)
        let refused = CommitReport.Reason.refused(code: "ENOMEM", message: "no memory", attribute: nil)
        kernel.refuse { $0.kind == .link && $0.object.contains("peer eth1") && $0.action == .create ? refused : nil }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(kernel.commits.count == 1)
        #expect(outcome.report.failures.first?.reason == refused)
        // What sits on it is not tried.
        #expect(outcome.report.failures.dropFirst().allSatisfy { $0.reason.isInterference })
        #expect(outcome.remaining.operations.contains { $0.object.contains("peer eth1") })
        #expect(kernel.world.guests[guest]?.state.links.map(\.link.name.description) == ["eth0", "lo"])

        kernel.refuse(nil)
        try make(topology)
        try expectDone(topology)
    }

    @Test func aRefusedFirewallOpensNothing() throws {
        let topology = try topology()
        kernel.refuse { operation in
            operation.kind == .firewall ? .refused(code: "ENOMEM", message: "no memory", attribute: nil) : nil
        }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(outcome.report.failures.contains { $0.reason == .dependency("the firewall") })
        #expect(!kernel.world.host.state.links.contains { $0.link.kind.isVeth })
    }

    @Test func aGuestThatGoesMeanwhileIsReported() throws {
        let topology = try topology()
        kernel.beforeNextCommit { $0.guests.removeAll() }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(outcome.report.failures.contains { $0.reason == .dependency("namespace web") })
        #expect(outcome.report.failures.allSatisfy { $0.reason.isInterference })
        // Without the guest there is nothing for it, either.
        try make(topology)
        try expectDone(topology)
        #expect(try reconciler.plan(topology, host: 0).unattached.count == 1)
    }

    @Test func aDeviceThatGoesMeanwhileIsMadeAgain() throws {
        try make(try topology(interfaces: 1))
        let port = try #require(kernel.world.host.state.links.first { $0.link.kind.isVeth }?.link.name)
        let topology = try topology(interfaces: 2)
        kernel.beforeNextCommit { $0.remove(port) }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(outcome.remaining.operations.contains { $0.object.hasPrefix("link \(port)") && $0.action == .create })
        try make(topology)
        try expectDone(topology)
    }

    @Test func whatSomebodyUndoesIsLeftToDo() throws {
        let topology = try topology()
        kernel.afterEveryCommit { $0.host.state.routes.removeAll() }
        let outcome = try reconciler.apply(reconciler.plan(topology, host: 0))
        #expect(outcome.report.failures == [] && kernel.commits.count == 1)
        let left = outcome.remaining.operations
        #expect(!left.isEmpty && left.allSatisfy { $0.kind == .route && $0.action == .create })
    }

    // MARK: - Reading

    @Test func whatCannotBeReadBackIsDoneAllTheSame() throws {
        let topology = try topology()
        let plan = try reconciler.plan(topology, host: 0)
        kernel.failReadings(.disturbedDump)
        #expect(throws: FakeKernelFailure.self) { try reconciler.apply(plan) }
        try expectDone(topology)
    }

    @Test func whatCannotBeReadIsNotTouched() throws {
        let topology = try topology()
        kernel.failReadings(.disturbedDump)
        #expect(throws: FakeKernelFailure.self) { try reconciler.plan(topology, host: 0) }
        #expect(kernel.commits.isEmpty)
    }

    // MARK: - Connections

    private static let web = "{protocol: tcp, ports: [80], from: [{cidr: 0.0.0.0/0}]}"

    private var connection: Connection {
        get throws {
            Connection(
                id: 7, zone: 1, ipProtocol: 6, source: try #require(IPAddress("10.0.1.99")),
                destination: try #require(IPAddress("10.0.1.10")), sourcePort: 40_000, destinationPort: 80)
        }
    }

    /// What began when the plan was made already, while the old policy was still in, is cut as well.
    @Test func aConnectionThatBeganTooLateIsCut() throws {
        try make(try topology(rule: Self.web))
        var late = try connection
        late.id = 8
        let (first, second) = (try connection, late)
        kernel.disturb { $0.connections = [first] }
        let plan = try reconciler.plan(try topology(), host: 0)
        #expect(plan.changes.operations.contains { $0.kind == .connection })
        kernel.beforeNextCommit { $0.connections.append(second) }
        let outcome = try reconciler.apply(plan)
        #expect(outcome.report.failures == [])
        #expect(kernel.world.connections == [])
        #expect(kernel.commits.last?.steps.map(\.work.kind) == [.connection])
    }
}

extension Link.Kind {
    fileprivate var isVeth: Bool { if case .veth = self { true } else { false } }
}
