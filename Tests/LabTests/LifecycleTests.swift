import Foundation
import Netlink
import TestSupport
import Testing
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// Whose namespaces are whose. Needs no special kernel: nothing is applied.
    @Suite(.needsRoot, .timeLimit(minutes: 10)) struct LifecycleTests {
        private let prefix = TestLab.uniquePrefix()
        private let store: LabStore

        init() { store = LabStore(path: "/tmp/vpclab-\(prefix)state") }

        private func lab(_ name: String = "lab", _ scenario: Scenario = .pair) throws -> Lab {
            let topology = try #require(Topology.resolve(scenario.model).topology)
            return Lab(try LabPlan(topology, name: prefix + name, options: .init(prefix: prefix)), store: store)
        }

        private func exists(_ name: String) -> Bool { NetworkNamespace.named(prefix + name).exists }
        private var isNothingLeft: Bool {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: NetworkNamespace.directory)) ?? []
            return access(store.path, F_OK) != 0 && !names.contains { $0.hasPrefix(prefix) || $0.hasPrefix("vpclab-") }
        }

        private func tearDown() {
            for name in store.labs() { _ = try? store.remove(name) }
        }

        @Test func upMakesAndDownRemoves() throws {
            defer { tearDown() }
            let lab = try lab()
            #expect(!lab.isUp)
            _ = try lab.up(applying: false)
            #expect(lab.isUp)
            try lab.requireUp()
            #expect(exists("h1") && exists("web1") && exists("web2") && exists("\(prefix)lab-underlay"))
            #expect(store.labs() == [lab.plan.name])
            // The hosts are joined.
            #expect(
                try Station(.named(lab.plan.underlay)).ping("172.31.0.1", PingOptions(attempts: 1)).isReply == false)
            #expect(try store.remove(lab.plan.name).removed.count == 4)
            #expect(isNothingLeft)
            #expect(try store.remove(lab.plan.name).removed.isEmpty)
        }

        @Test func hostsReachEachOtherOnTheUnderlay() throws {
            defer { tearDown() }
            var scenario = Scenario.tenants
            // Not only in one network, and not only with ordinary addresses.
            scenario.host("h4", "192.0.2.255")
            let lab = try lab("far", scenario)
            _ = try lab.up(applying: false)
            for from in ["h1", "h4"] {
                for to in lab.plan.hosts where to.name != from {
                    #expect(try Station(.named(prefix + from)).ping(to.address).isReply, "\(from) to \(to.name)")
                }
            }
        }

        @Test func aForeignNamespaceIsNeverTakenOver() throws {
            defer { tearDown() }
            let foreign = prefix + "web2"
            let cookie = try NetworkNamespace.create(named: foreign).cookie()
            defer { try? NetworkNamespace.remove(named: foreign) }
            let lab = try lab()
            let error = #expect(throws: LabError.self) { try lab.up() }
            #expect(error?.code == .nameTaken)
            #expect(error?.message == "network namespace \(foreign) exists and was not made by vpclab")
            #expect(!exists("h1") && !exists("web1"), "nothing was made")
            #expect(access(store.path, F_OK) != 0)
            #expect(try NetworkNamespace.named(foreign).cookie() == cookie)
        }

        @Test func aNamespaceOfAnotherLabIsNeverTakenOver() throws {
            defer { tearDown() }
            _ = try lab("first").up(applying: false)
            let error = #expect(throws: LabError.self) { try lab("second").up() }
            #expect(error?.code == .nameTaken)
            #expect(error?.description.contains("belongs to lab \(prefix)first") == true)
            #expect(try lab("first").isUp)
        }

        /// Somebody removed ours and made his own under the same name: `down` leaves it, `up` refuses it.
        @Test func aNameThatChangedHandsIsLeftAlone() throws {
            defer { tearDown() }
            let lab = try lab()
            _ = try lab.up(applying: false)
            let name = prefix + "web1"
            try NetworkNamespace.remove(named: name)
            let cookie = try NetworkNamespace.create(named: name).cookie()
            defer { try? NetworkNamespace.remove(named: name) }
            #expect(!lab.isUp)
            #expect(throws: LabError.self) { try lab.requireUp() }
            #expect(throws: LabError.self) { try lab.up() }
            let removal = try store.remove(lab.plan.name)
            #expect(removal.foreign == [name])
            #expect(removal.removed.count == 3)
            #expect(try NetworkNamespace.named(name).cookie() == cookie)
        }

        @Test func upCompletesWhatIsMissing() throws {
            defer { tearDown() }
            let lab = try lab()
            _ = try lab.up(applying: false)
            let cookie = try NetworkNamespace.named(prefix + "web2").cookie()
            try NetworkNamespace.remove(named: prefix + "web1")
            #expect(!lab.isUp)
            _ = try lab.up(applying: false)
            #expect(lab.isUp)
            #expect(try NetworkNamespace.named(prefix + "web2").cookie() == cookie, "what was there stays")
        }

        @Test func upFollowsTheManifest() throws {
            defer { tearDown() }
            _ = try lab().up(applying: false)
            var changed = Scenario.pair.without(interface: "web2")
            changed.host("h2", "172.31.0.2")
            changed.interface("web3", "web", on: "h2", "10.0.1.13")
            _ = try lab("lab", changed).up(applying: false)
            #expect(exists("web1") && exists("web3") && exists("h2"))
            #expect(!exists("web2"))
            #expect(try Station(.named(prefix + "h1")).ping("172.31.0.2").isReply)
            #expect(try store.remove(prefix + "lab").removed.count == 5)
            #expect(isNothingLeft)
        }

        /// With a host goes the namespace of its VPCs, whether the manifest has lost it or all is removed.
        @Test func hostsTakeTheirVPCsAlong() throws {
            defer { tearDown() }
            var scenario = Scenario.pair
            scenario.host("h2", "172.31.0.2")
            _ = try lab("lab", scenario).up()
            #expect(exists("vpc-h1") && exists("vpc-h2"))
            _ = try lab().up()
            #expect(exists("vpc-h1") && !exists("vpc-h2"))
            _ = try store.remove(prefix + "lab")
            #expect(isNothingLeft)
        }

        @Test func twoAtOnceOnOneLabAreRefused() throws {
            defer { tearDown() }
            let lab = try lab()
            let lock = try LabLock(store, lab.plan.name)
            let error = #expect(throws: LabError.self) { try lab.up() }
            #expect(error?.code == .busy)
            #expect(throws: LabError.self) { try store.remove(lab.plan.name) }
            lock.unlock()
            _ = try lab.up(applying: false)
        }

        @Test func nodesAreFoundByName() throws {
            defer { tearDown() }
            let lab = try lab()
            _ = try lab.up(applying: false)
            let found = try store.namespace(of: "web1", in: lab.plan.name)
            #expect(found == .named(prefix + "web1"))
            #expect(try store.namespace(of: "underlay", in: lab.plan.name) == .named(lab.plan.underlay))
            let error = #expect(throws: LabError.self) { try store.namespace(of: "web9", in: lab.plan.name) }
            #expect(error?.code == .unknownNode)
        }
    }
}
