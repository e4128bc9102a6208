import Foundation
public import IPAddressing
import KernelDriver
import KernelNames
import Netlink
import Synchronization
import TestSupport
import Testing
import VPCCompiler
import VPCModel
import VPCTopology

@testable import VPCLab

/// What the machine offers.
enum Machine {
    static let isRoot = geteuid() == 0

    /// Whether this kernel has the devices the product is made of.
    static let hasOverlayDevices =
        isRoot
        && Command.run(
            """
            unshare --net sh -c 'ip link add vrf7 type vrf table 7 &&
                ip link add gre7 type gre local 192.0.2.1 remote 192.0.2.2 key 7' >/dev/null 2>&1
            """
        ).status == 0

    static let overlayHint: Comment = "needs root and a kernel with GRE and VRF devices: run it by scripts/lab.sh"
}

/// A command of the system.
struct Command {
    var status: Int32
    /// Standard output and error together.
    var output: String

    /// Runs a line of shell, inside a namespace where one is named.
    static func run(_ line: String, in namespace: String? = nil) -> Command {
        let shell = namespace.map { "exec ip netns exec \($0) sh -c '\(line.replacing("'", with: "'\\''"))'" } ?? line
        do {
            let run = try Run(["/bin/sh", "-c", shell], mergingErrors: true)
            return Command(status: run.status, output: run.output)
        } catch {
            return Command(status: -1, output: "\(error)")
        }
    }
}

/// A lab of its own for a suite, with a responder in every guest.
final class TestLab: Sendable {
    @TaskLocal static var shared: TestLab?

    /// The lab of the suite that the current test is in.
    static var current: TestLab { get throws { try #require(shared, "the suite has no lab") } }

    let prefix: String
    private let underlayMTU: UInt32
    private let store: LabStore
    private let state: Mutex<State>
    private let responders: Responders

    private struct State {
        var lab: Lab
        var scenario: Scenario
        /// Guests that answer, with their namespaces' cookies.
        var served: [String: UInt64] = [:]
    }

    private static let counter = Atomic<Int>(0)

    /// No two labs of this machine have the same.
    static func uniquePrefix() -> String {
        "t\(getpid())-\(counter.add(1, ordering: .relaxed).newValue)-"
    }

    /// - Parameter underlayMTU: Bytes.
    init(_ scenario: Scenario, underlayMTU: UInt32 = 1500) throws {
        prefix = Self.uniquePrefix()
        self.underlayMTU = underlayMTU
        store = LabStore(path: "/tmp/vpclab-tests-\(getpid())")
        responders = try Responders()
        let lab = Lab(try Self.plan(scenario, .init(prefix: prefix, underlayMTU: underlayMTU)), store: store)
        state = Mutex(State(lab: lab, scenario: scenario))
        do {
            try requireClean(try lab.up())
            try serve()
        } catch {
            tearDown()
            throw error
        }
    }

    private static func plan(_ scenario: Scenario, _ options: LabPlan.Options) throws -> LabPlan {
        let resolution = Topology.resolve(scenario.model, keeping: KeptAddresses())
        let topology = try #require(resolution.topology, "\(resolution.diagnostics)")
        return try LabPlan(topology, name: options.prefix + "lab", options: options)
    }

    func tearDown() {
        responders.stop()
        do {
            _ = try store.remove(lab.plan.name)
        } catch {
            Issue.record("the lab cannot be taken down: \(error)")
        }
    }

    // MARK: Change

    var lab: Lab { state.withLock { $0.lab } }

    /// Makes the lab be this scenario; all at once, everywhere.
    @discardableResult
    func become(_ scenario: Scenario) throws -> [Lab.HostReport] {
        if state.withLock({ $0.scenario == scenario }) { return [] }
        try adopt(scenario)
        let reports = try lab.up()
        try requireClean(reports)
        try serve()
        return reports
    }

    /// Takes over the scenario and makes new guests, and applies nothing.
    func adopt(_ scenario: Scenario) throws {
        let lab = Lab(try Self.plan(scenario, .init(prefix: prefix, underlayMTU: underlayMTU)), store: store)
        try lab.prepare()
        state.withLock {
            $0.lab = lab
            $0.scenario = scenario
        }
        try serve()
    }

    func requireClean(_ reports: [Lab.HostReport]) throws {
        for report in reports { try #require(report.problems.isEmpty, "\(report.host): \(report.problems)") }
    }

    private func serve() throws {
        try state.withLock { state in
            for node in state.lab.plan.nodes where node.role == .guest || node.role == .internet {
                let cookie = try NetworkNamespace.named(node.namespace).cookie()
                if state.served.updateValue(cookie, forKey: node.name) == cookie { continue }
                try responders.serve(
                    as: node.name, in: .named(node.namespace), udp: [Station.udpPort], tcp: [Station.tcpPort])
            }
        }
    }

    /// Makes every guest one that has been in its place for long: its host believes it nothing that it has not seen begin.
    func settle() throws {
        for host in lab.plan.hosts { try shell("vpc-\(host.name)", "nft flush set inet vpcctl arrived_ports") }
    }

    // MARK: Places

    /// Of a host or guest, by its name; of a host's VPCs by `vpc-` and the host's.
    func namespace(_ name: String) -> String { prefix + name }

    /// Of a host, with all that is the VPCs' there.
    func kernel(_ host: String) -> KernelDriver {
        KernelDriver(namespace: .named(namespace(host))).withOwnNamespace(
            NamespaceName(namespace("vpc-\(host)")), of: Conventions.ownership)
    }

    /// Somebody who sends, by the name of the host or guest.
    func station(_ name: String, source: String? = nil) throws -> Station {
        Station(.named(namespace(name)), source: try source.map { try #require(IPAddress($0)) })
    }

    /// Runs a line of shell on a host, among its VPCs, or in a guest.
    @discardableResult
    func shell(_ name: String, _ line: String) throws -> String {
        let command = Command.run(line, in: namespace(name))
        try #require(command.status == 0, "\(line): \(command.output)")
        return command.output
    }
}

/// Gives a suite a lab that all its tests share.
struct LabTrait: SuiteTrait, TestScoping {
    let scenario: Scenario

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard Machine.hasOverlayDevices else { return try await function() }
        let lab = try TestLab(scenario)
        defer { lab.tearDown() }
        try await TestLab.$shared.withValue(lab) { try await function() }
    }
}

extension Trait where Self == LabTrait {
    static func lab(_ scenario: Scenario) -> LabTrait { LabTrait(scenario: scenario) }
}

extension Trait where Self == ConditionTrait {
    static var needsOverlay: ConditionTrait { .enabled(if: Machine.hasOverlayDevices, Machine.overlayHint) }
    static var needsRoot: ConditionTrait { .enabled(if: Machine.isRoot, "needs root") }
}

/// An address in a test's own words.
extension IPAddress: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) {
        guard let address = IPAddress(text) else { preconditionFailure("'\(text)' is no address") }
        self = address
    }
}
