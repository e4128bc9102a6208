import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Netlink

@Suite(.timeLimit(minutes: 10)) struct NamespaceTests {
    @Test func iproute2SeesWhatWeMakeAndTheOtherWayRound() throws {
        try withScratchNamespace { name, namespace in
            #expect(namespace.exists)
            #expect(try run("ip", "netns").split(whereSeparator: \.isWhitespace).contains { $0 == name })
            #expect(try run("ip", "netns", "exec", name, "true") == "")
            #expect(try NetworkNamespace.names().contains(name))
            try run("ip", "netns", "del", name)
            #expect(!namespace.exists)
            try run("ip", "netns", "add", name)
            #expect(namespace.exists)
            try NetworkNamespace.remove(named: name)
            #expect(try !run("ip", "netns").split(whereSeparator: \.isWhitespace).contains { $0 == name })
            #expect(throws: NetlinkError.self) { try NetworkNamespace.remove(named: name) }
            // For the scratch namespace's own removal.
            try NetworkNamespace.create(named: name)
        }
    }

    @Test func aNameIsUsedOnce() throws {
        try withScratchNamespace { name, _ throws in
            let error = #expect(throws: NetlinkError.self) { try NetworkNamespace.create(named: name) }
            #expect(error?.errno == EEXIST)
            #expect(try devices(name) == [])
        }
    }

    @Test(arguments: ["", ".", "..", "a/b", "../x", String(repeating: "x", count: 300)])
    func namesThatAreNoFileNames(name: String) {
        #expect(throws: NetlinkError.self) { try NetworkNamespace.create(named: name) }
        #expect(throws: NetlinkError.self) { try NetworkNamespace.remove(named: name) }
    }

    @Test func whatIsNotThereCannotBeEntered() throws {
        let missing = NetworkNamespace.named("nltest-missing-\(getpid())")
        #expect(!missing.exists)
        let error = #expect(throws: NetlinkError.self) { try missing.enter { 0 } }
        #expect(error?.errno == ENOENT)
        let file = NetworkNamespace.path("/etc/hostname")
        #expect(!file.exists)
        #expect(throws: NetlinkError.self) { try file.enter { 0 } }
    }

    @Test func enteringDisturbsNoOtherThread() throws {
        let before = try NetworkNamespace.current.identity()
        try withScratchNamespace { _, namespace in
            let inside = try namespace.identity()
            #expect(inside != before)
            let stop = Atomic<Bool>(false)
            let strays = Atomic<Int>(0)
            let looks = Atomic<Int>(0)
            // Others look all the time where they are, while we go in and out.
            let others = try (0..<2).map { _ in
                try Writer {
                    while !stop.load(ordering: .acquiring) {
                        if try NetworkNamespace.current.identity() != before { strays.add(1, ordering: .relaxed) }
                        looks.add(1, ordering: .relaxed)
                    }
                }
            }
            for _ in 0..<200 {
                let seen = try namespace.enter { () throws(NetlinkError) in
                    try NetworkNamespace.current.identity()
                }
                #expect(seen == inside)
                #expect(try NetworkNamespace.current.identity() == before)
            }
            stop.store(true, ordering: .releasing)
            for other in others { try other.join() }
            #expect(strays.load(ordering: .relaxed) == 0)
            #expect(looks.load(ordering: .relaxed) > 0)
        }
    }

    @Test func socketsStayWhereTheyWereOpened() throws {
        try withScratchNamespace { name, namespace in
            var inside = try NetlinkSocket(in: namespace)
            var outside = try NetlinkSocket()
            let device = "nlt\(getpid() % 100_000)"
            try inside.addBridge(device)
            #expect(try ip(name, "link", "show", device).count == 1)
            #expect(throws: NetlinkError.self) { try outside.index(of: device) }
        }
    }

    @Test func errorsComeOutAsTheyAre() throws {
        try withScratchNamespace { _, namespace in
            let thrown = NetlinkError(errno: EPERM, operation: "test")
            let caught = #expect(throws: NetlinkError.self) {
                try namespace.enter { () throws(NetlinkError) -> Int in throw thrown }
            }
            #expect(caught == thrown)
        }
    }
}
