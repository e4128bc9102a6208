import Foundation
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver
@testable import KernelModel

extension LabTests {
    /// Flowtables as the driver makes, changes and reads them.
    @Suite(.needsOverlay, .timeLimit(minutes: 10)) struct FlowtableTests {
        private static let table = NFTable(.inet, "flows")

        private func intent(_ devices: [InterfaceName], in flowtable: String = "fast") -> NFTableIntent {
            var table = NFTableIntent(Self.table)
            table.flowtables = [NFFlowtable(flowtable, devices: devices)]
            table.chain("enter") { $0.rule(.offload(to: flowtable)) }
            table.chain("forward", NFBaseChain(.filter, .forward, priority: 0)) { $0.rule(.goto("enter")) }
            return table
        }

        private func withDevices(
            _ count: Int, _ body: (String, NetworkNamespace, [InterfaceName], inout FirewallDriver) throws -> Void
        ) throws {
            try withScratchNamespace { name, namespace in
                let names = (0..<count).map { "guest-port-\($0)" }
                let lines = names.map { "link add \($0) type dummy\n" }.joined()
                let run = try Run(["ip", "-n", name, "-batch", "-"], input: Data(lines.utf8))
                try #require(run.status == 0, "\(run.error)")
                var driver = try FirewallDriver(in: namespace)
                try body(name, namespace, try names.map { try $0.device }.sorted(), &driver)
            }
        }

        private func changes(
            _ intent: NFTableIntent, _ driver: inout FirewallDriver, renewing: ChangedKeys<String> = .none
        ) throws -> NFChangeSet {
            var intent = intent
            intent.normalize()
            return intent.changes(from: try driver.observe([Self.table]).table(Self.table), renewing: renewing)
        }

        /// Commits what there is to do and says what that was.
        @discardableResult
        private func apply(
            _ intent: NFTableIntent, _ driver: inout FirewallDriver, renewing: ChangedKeys<String> = .none
        ) throws -> [String] {
            let changes = try changes(intent, &driver, renewing: renewing)
            let (outcome, _) = try driver.commit(inOrder: changes.transactions(), generation: nil)
            guard case .committed = outcome else {
                Issue.record("\(outcome)")
                return []
            }
            return changes.items.map(\.object)
        }

        /// Devices join and leave by one message; what leads into the flowtable goes meanwhile where one leaves.
        @Test func devicesComeAndGo() throws {
            try withDevices(4) { name, _, devices, driver in
                try apply(intent(Array(devices[..<2])), &driver)
                #expect(try apply(intent(Array(devices[..<2])), &driver).isEmpty)
                let joined = try apply(intent(Array(devices[..<3])), &driver)
                #expect(joined == ["flowtable inet flows fast { hook ingress priority 0 devices { guest-port-2 } }"])
                let left = try apply(intent(Array(devices[1..<3])), &driver)
                #expect(
                    left.prefix(2) == [
                        "rules of chain inet flows enter", "devices of flowtable inet flows fast { guest-port-0 }",
                    ] && left.count == 3)
                #expect(try apply(intent(Array(devices[1..<3])), &driver).isEmpty)
                // Somebody takes one out, and a device goes and comes again: neither is told.
                try run(
                    "ip", "netns", "exec", name, "nft",
                    "delete flowtable inet flows fast { devices = { guest-port-1 }; }")
                #expect(try apply(intent(Array(devices[1..<3])), &driver).count == 1)
                try run("ip", "-n", name, "link", "del", "guest-port-1")
                try run("ip", "-n", name, "link", "add", "guest-port-1", "type", "dummy")
                #expect(try apply(intent(Array(devices[1..<3])), &driver).count == 1)
                // Another name, and none.
                try apply(intent(Array(devices[1..<3]), in: "other"), &driver)
                #expect(try driver.flowtables(of: Self.table).map(\.name) == ["other"])
                var empty = intent([])
                (empty.flowtables, empty.chains[0].rules) = ([], [])
                try apply(empty, &driver)
                #expect(try driver.flowtables(of: Self.table).isEmpty)
            }
        }

        /// Somebody's flag or priority is put right, too.
        @Test func itsFormIsPutRight() throws {
            try withDevices(1) { name, _, devices, driver in
                for form in ["hook ingress priority 5; counter;", "hook ingress priority 0;"] {
                    try run(
                        "ip", "netns", "exec", name, "nft",
                        "table inet flows { flowtable fast { \(form) devices = { guest-port-0 }; }; }")
                    #expect(try !apply(intent(devices), &driver).isEmpty)
                    #expect(try apply(intent(devices), &driver).isEmpty)
                    try run("ip", "netns", "exec", name, "nft", "delete table inet flows")
                }
            }
        }

        /// What is told of a large one fits into a message, so nobody who listens loses track; and it is listed whole.
        @Test(arguments: [100, 1024]) func largeOnesAreToldAndListed(count: Int) throws {
            try withDevices(count) { name, namespace, devices, driver in
                var monitor = try FirewallMonitor(in: namespace)
                func expectTold(_ transactions: Int) throws {
                    for _ in 0..<transactions {
                        let event = try monitor.next(timeout: .seconds(5))
                        guard case .generation = event else {
                            Issue.record("\(event)")
                            return
                        }
                    }
                }
                let clock = ContinuousClock()
                func measure(_ what: String, _ intent: NFTableIntent, transactions: Int) throws {
                    let changes = try changes(intent, &driver)
                    let time = try clock.measure {
                        let (outcome, _) = try driver.commit(inOrder: changes.transactions(), generation: nil)
                        if case .committed = outcome { return }
                        Issue.record("\(outcome)")
                    }
                    try expectTold(transactions)
                    // With VPCCTL_LAB_CLOCK=instructions these are instructions, our own part of them in a debug build.
                    print("flowtable of \(count), \(what): \(time)")
                }
                try measure("made", intent(devices), transactions: 1)
                #expect(try driver.flowtables(of: Self.table).first?.devices == devices)
                try measure("one less", intent(Array(devices.dropLast())), transactions: 2)
                try measure("one more", intent(devices), transactions: 1)
                #expect(try driver.flowtables(of: Self.table).first?.devices == devices)
                try measure("half of them", intent(Array(devices[..<(count / 2)])), transactions: 2)
                try measure("all again", intent(devices), transactions: 1)
                // Another form: all of it goes, and comes again.
                var other = intent(devices)
                other.flowtables[0].priority = 7
                try measure("made anew", other, transactions: 2)
                #expect(try apply(other, &driver).isEmpty)
            }
        }

        /// What is judged anew costs the same however many devices there are: nothing is said of them.
        @Test func whatIsJudgedAnewIsNotMadeAnew() throws {
            try withDevices(4) { _, _, devices, driver in
                try apply(intent(devices), &driver)
                let changes = try changes(intent(devices), &driver, renewing: .any)
                #expect(changes.turn.map { $0.text(in: Self.table) } == ["rules of chain inet flows enter"])
                #expect(changes.completion.count == 1 && changes.leadsAgain)
                #expect(try apply(intent(devices), &driver, renewing: .any).count == 2)
                #expect(try !self.changes(intent(devices), &driver).leadsAgain)
            }
        }
    }
}
