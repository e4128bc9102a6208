import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCLab

/// Which namespaces a manifest becomes; nothing here touches the kernel.
@Suite(.timeLimit(minutes: 10)) struct LabPlanTests {
    private func plan(_ scenario: Scenario, prefix: String = "") throws -> LabPlan {
        let topology = try #require(Topology.resolve(scenario.model).topology)
        return try LabPlan(topology, name: "lab", options: .init(prefix: prefix))
    }

    private func guest(_ name: String, _ plan: LabPlan) throws -> LabPlan.GuestNode {
        try #require(plan.guests.first { $0.name == name })
    }

    @Test func nodesHaveTheNamesOfTheManifest() throws {
        let plan = try plan(.tenants)
        #expect(plan.underlay == "lab-underlay")
        #expect(plan.hosts.map(\.namespace) == ["h1", "h2", "h3"])
        #expect(plan.hosts.map(\.port.description) == ["h1", "h2", "h3"])
        // One guest for its three interfaces; without a namespace the interface gives its name.
        #expect(try guest("dual", plan).interfaces.count == 3)
        #expect(try guest("vm1", plan).namespace == "vm1")
        let interface = try #require(plan.topology.interfaces.firstIndex { $0.name == "dual-green" })
        #expect(plan.guests[plan.guestOfInterface[interface]].name == "dual")
    }

    @Test func aPrefixIsInAllNames() throws {
        let plan = try plan(.tenants, prefix: "x-")
        #expect(plan.nodes.allSatisfy { $0.namespace.hasPrefix("x-") && !$0.name.hasPrefix("x-") })
        for interface in plan.topology.interfaces {
            if case .namespace(let name, _) = interface.attachment { #expect(name.hasPrefix("x-")) }
        }
    }

    @Test func gatewaysForwardToAnInternetWithTheProbedAddresses() throws {
        var scenario = Scenario.tenants
        scenario.probe("blackhole", "app1", toAddress: "192.168.66.1", .icmp, .deny)
        scenario.probe("underlay", "app1", toAddress: "172.31.0.2", .icmp, .deny)
        scenario.probe("inside", "app1", toAddress: "10.0.77.77", .icmp, .deny)
        let plan = try plan(scenario)
        for name in ["gw-a", "gw-b", "gw-c"] {
            let gateway = try guest(name, plan)
            #expect(gateway.isGateway)
            #expect(gateway.internet?.name == name + "-inet")
            // Hosts' addresses are the hosts', and the VPC's own are inside.
            #expect(gateway.internet?.addresses == ["192.168.66.1", "198.51.100.7"])
        }
        #expect(try !guest("web1", plan).isGateway)
    }

    @Test func gatewaysThatNoProbeNeedsHaveNoInternet() throws {
        var scenario = Scenario.tenants
        scenario.model.probes = []
        #expect(try plan(scenario).guests.allSatisfy { $0.internet == nil })
    }

    @Test func oneNameForTwoIsRefused() throws {
        var scenario = Scenario.pair
        scenario.interface("other", "web", on: "h1", "10.0.1.13", netns: "h1")
        let error = #expect(throws: LabError.self) { try plan(scenario) }
        #expect(error?.code == .nameClash)
        #expect(error?.message.contains("network namespace h1 is needed twice") == true)

        scenario = .pair
        scenario.interface("tapped", "web", on: "h1", "10.0.1.13", tap: "tap1")
        scenario.interface("other", "web", on: "h1", "10.0.1.14", netns: "tapped")
        #expect(throws: LabError.self) { try plan(scenario) }
    }

    @Test(arguments: [
        ("Examples/two-tenants.yaml", "two-tenants"), ("/etc/vpc/", "vpc"), ("-", "stdin"), (".", "lab"), ("..", "lab"),
        ("a b/c d.json", "c-d"), (".hidden", "-hidden"),
    ])
    func labsAreNamedAfterTheirManifests(path: String, expected: String) {
        #expect(LabStore.name(forManifests: [path, "other.yaml"]) == expected)
        #expect(LabStore.isName(expected))
    }
}

/// What is on disk of a lab.
@Suite(.timeLimit(minutes: 10)) struct LabRecordTests {
    private let path = "/tmp/vpclab-\(TestLab.uniquePrefix())record"
    private let options = LabPlan.Options(prefix: "x-", underlayMTU: 9000)
    private let entry = LabRecord.Entry(role: .guest, name: "web1", namespace: "x-web1", cookie: 4711)

    @Test func whatIsWrittenIsRead() throws {
        defer { unlink(path) }
        var record = try LabRecord.begin(at: path, options)
        try record.append(entry, to: path)
        #expect(LabRecord(readFrom: path)?.entries == [entry])
        #expect(LabRecord(readFrom: path)?.token == record.token)
        #expect(LabRecord(readFrom: path)?.options == options)
        #expect(LabRecord(readFrom: path)?.isComplete == false)
        try record.markComplete(true, in: path)
        #expect(LabRecord(readFrom: path)?.isComplete == true)
        try record.markComplete(false, in: path)
        #expect(LabRecord(readFrom: path)?.isComplete == false)
    }

    @Test func aLineThatWasCutOffIsNone() throws {
        defer { unlink(path) }
        var record = try LabRecord.begin(at: path, options)
        try record.append(entry, to: path)
        let text = try #require(TextFile.read(path))
        for length in 0...text.utf8.count {
            try String(decoding: text.utf8.prefix(length), as: UTF8.self).write(
                toFile: path, atomically: false, encoding: .utf8)
            let read = LabRecord(readFrom: path)
            #expect(read == nil || read?.entries.isEmpty == true || length == text.utf8.count)
        }
    }

    /// Cookies count from the start of the machine.
    @Test func aRecordOfAnEarlierStartIsVoid() throws {
        defer { unlink(path) }
        var record = try LabRecord.begin(at: path, options)
        try record.append(entry, to: path)
        let text = try #require(TextFile.read(path))
        let boot = try #require(text.split(separator: "\n").dropFirst().first)
        try text.replacing(boot, with: "boot 00000000-0000-0000-0000-000000000000").write(
            toFile: path, atomically: false, encoding: .utf8)
        #expect(LabRecord(readFrom: path) == nil)
    }
}
