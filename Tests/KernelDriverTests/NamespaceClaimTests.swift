import Foundation
import KernelModel
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

@Suite(.enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct NamespaceClaimTests {
    private let table = NFTable(.inet, "claimed")

    @Test func oneHasItAtATime() throws {
        try withScratchNamespace { name, namespace in
            do {
                let claim = try NamespaceClaim(table, comment: "pid 17", in: namespace)
                for _ in 1...3 {
                    let failure = #expect(throws: NamespaceClaim.Failure.self) {
                        try NamespaceClaim(table, comment: "pid 18", in: namespace)
                    }
                    guard case .held("pid 17") = failure else {
                        Issue.record("\(String(describing: failure))")
                        return
                    }
                }
                // Whoever has come too late has taken nothing away.
                #expect(try Run.checked("ip", "netns", "exec", name, "nft", "list", "tables") == "table inet claimed\n")
                withExtendedLifetime(claim) {}
            }
            _ = try NamespaceClaim(table, comment: "pid 19", in: namespace)
        }
    }

    /// Not even root can take it away by chance, and another namespace has its own.
    @Test func nobodyElseCanRemoveIt() throws {
        try withScratchNamespace { name, namespace in
            let claim = try NamespaceClaim(table, comment: "pid 17", in: namespace)
            try run("ip", "netns", "exec", name, "nft", "flush", "ruleset")
            #expect(throws: (any Error).self) {
                try run("ip", "netns", "exec", name, "nft", "delete", "table", "inet", "claimed")
            }
            #expect(throws: NamespaceClaim.Failure.self) {
                try NamespaceClaim(table, comment: "pid 18", in: namespace)
            }
            try withScratchNamespace { _, other in
                _ = try NamespaceClaim(table, comment: "pid 18", in: other)
            }
            withExtendedLifetime(claim) {}
        }
    }

    @Test func aTableOfThatNameIsNamed() throws {
        try withScratchNamespace { name, namespace in
            try run("ip", "netns", "exec", name, "nft", "add", "table", "inet", "claimed")
            let failure = #expect(throws: NamespaceClaim.Failure.self) {
                try NamespaceClaim(table, comment: "pid 18", in: namespace)
            }
            guard case .blocked = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
        }
    }

    /// The kernel takes it back with the process, and a user without privileges cannot have it.
    @Test func itGoesWithItsProcessAndIsNotForAnybody() throws {
        try withScratchNamespace { name, namespace in
            let (input, output) = (Pipe(), Pipe())
            let enter = ["ip", "netns", "exec", name]
            let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            #expect(throws: (any Error).self) {
                try Run.checked(enter + user + ["nft", "add", "table", "inet", "claimed"])
            }
            let holder = try Program(
                enter + ["nft", "--interactive"], input: input.fileHandleForReading.fileDescriptor,
                output: output.fileHandleForWriting.fileDescriptor)
            try input.fileHandleForWriting.write(
                contentsOf: Data("add table inet claimed { flags owner; }\nlist tables\n".utf8))
            // It has answered: it is done.
            _ = output.fileHandleForReading.availableData
            #expect(throws: NamespaceClaim.Failure.self) { try NamespaceClaim(table, comment: "pid 1", in: namespace) }
            holder.send(SIGKILL)
            holder.wait()
            _ = try NamespaceClaim(table, comment: "pid 1", in: namespace)
        }
    }
}
