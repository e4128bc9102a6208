import Foundation
import IPAddressing
import Netlink
import TestSupport
import Testing

@testable import HTTPBalancer

/// An instance with a real HAProxy, in a namespace of its own whose `lo` has the servers.
@Suite(
    .enabled(if: HAProxyProcess.isInstalled && getuid() == 0, "needs haproxy and root"), .timeLimit(minutes: 10),
    .serialized)
struct BalancerKeeperTests {
    /// Everything there is to one.
    final class Place {
        let folder = try? Folder()
        let namespace = "vpclb-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        var servers: Conversation?
        var keeper: BalancerKeeper
        var balancer: HTTPBalancer
        let certificate: String

        init() throws {
            let folder = try #require(folder)
            certificate = try folder.certificate("shop.example")
            keeper = Self.keeper(folder, namespace)
            balancer = HTTPBalancer(name: "shop")
            var plain = HTTPBalancer.Listener(.http, port: 80)
            plain.rules = [.init(host: "shop.example", path: nil, group: "web")]
            var secure = HTTPBalancer.Listener(.https, port: 443)
            secure.rules = [.init(host: nil, path: nil, group: "web")]
            secure.certificates = [.init(name: "shop.example", file: certificate)]
            balancer.listeners = [plain, secure]
            balancer.groups = [
                .init(
                    name: "web", scheme: .http,
                    check: .init(
                        kind: .http, path: "/health", status: [200], interval: .milliseconds(200), timeout: .seconds(1),
                        healthy: 1, unhealthy: 1), drain: .seconds(30), failsOpen: false,
                    servers: [
                        HAProxyConfigurationTests.server("web1", 11), HAProxyConfigurationTests.server("web2", 12),
                    ])
            ]
            try serve()
        }

        deinit { try? keeper.remove() }

        static func keeper(_ folder: Folder, _ namespace: String) -> BalancerKeeper {
            BalancerKeeper(
                in: folder.path, name: "shop.h1", namespace: namespace, hasServiceManager: false, threads: 2)
        }

        /// The first turn makes the namespace.
        private func serve() throws {
            let report = bring()
            try #require(report.problem == nil, "\(report)")
            try Run.checked("ip", "-n", namespace, "link", "set", "lo", "up")
            servers = try Conversation(
                python: WebPrograms.server, (1...3).map { "web\($0)=127.0.0.1\($0):8080" }, in: namespace)
            #expect(servers?.line() == "ready")
            try awaitAnswer()
        }

        /// Health checks say at once what has come up.
        func awaitAnswer() throws {
            let deadline = Date.now + 20
            while try status() != "200" { try #require(Date.now < deadline, "nobody answers") }
        }

        @discardableResult
        func bring() -> BalancerKeeper.Report { keeper.bring(to: balancer, at: .now) }

        func curl(_ arguments: String...) throws -> String {
            try Run(["ip", "netns", "exec", namespace, "curl", "-s", "-m", "10"] + arguments).output
        }

        func status() throws -> String {
            try curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: shop.example", "http://127.0.0.1/")
        }

        func load() throws -> Conversation {
            let load = try Conversation(
                python: WebPrograms.load, ["127.0.0.1", "80", "shop.example"], in: namespace)
            #expect(load.line() == "began")
            return load
        }

        func worker() throws -> String {
            try WorkerState(HAProxySocket(path: "\(#require(folder).path)/shop.h1/cli")).process
        }

        func serial() throws -> String {
            let line =
                "echo | timeout 10 ip netns exec \(namespace) openssl s_client -connect 127.0.0.1:443"
                + " -servername shop.example 2>/dev/null | openssl x509 -noout -serial"
            return try Run(["/bin/sh", "-c", line]).output
        }
    }

    /// Requests go on, whatever is changed meanwhile; who leaves is asked no more, and a request that he has is answered.
    @Test func serversComeAndGoUnderLoad() throws {
        let place = try Place()
        let (worker, load) = (try place.worker(), try place.load())
        // Some that take a second are on their way to both.
        let slow = try Conversation(
            python: WebPrograms.slow, ["127.0.0.1", "80", "shop.example"], in: place.namespace)
        #expect(slow.line() == "began")
        let all = place.balancer.groups[0].servers
        place.balancer.groups[0].servers = [all[0], HAProxyConfigurationTests.server("web3", 13, weight: 2)]
        for _ in 0..<3 { #expect(place.bring().problem == nil) }
        for _ in 0..<2 { #expect(slow.line()?.contains("path=/slow") == true) }
        let first = try WebLoad(load)
        #expect(first.bad == 0 && first.names == ["web1", "web2", "web3"], "\(first)")
        // He is gone from the worker once he has nothing to do any more.
        let deadline = Date.now + 30
        while try HAProxySocket(path: "\(#require(place.folder).path)/shop.h1/cli").ask("show servers state")
            .contains("web2")
        {
            try #require(Date.now < deadline)
            place.bring()
        }
        let second = try place.load()
        place.balancer.groups[0].servers = all
        #expect(place.bring().problem == nil)
        let result = try WebLoad(second)
        #expect(result.bad == 0 && result.names.contains("web1") && !result.names.contains("-"), "\(result)")
        let third = try WebLoad(try place.load())
        #expect(third.bad == 0 && Set(third.names).isSubset(of: ["web1", "web2"]), "\(third)")
        #expect(try place.worker() == worker, "it took a new worker")
    }

    /// What needs a new worker fails no request, and a websocket lives on in the old one.
    @Test func newRulesFailNoRequest() throws {
        let place = try Place()
        let worker = try place.worker()
        let socket = try Conversation(
            python: WebPrograms.websocket, ["127.0.0.1", "80", "shop.example"], in: place.namespace)
        #expect(socket.line() == "HTTP/1.1 101 Switching Protocols")
        let load = try place.load()
        for number in 0..<5 {
            place.balancer.listeners[0].rules.append(.init(host: nil, path: "/\(number)", group: "web"))
            #expect(place.bring().problem == nil)
            try socket.say("m\(number)")
            #expect(socket.line()?.hasSuffix(":m\(number)") == true)
        }
        let result = try WebLoad(load)
        #expect(result.bad == 0 && result.good > 50, "\(result)")
        #expect(try place.worker() != worker)
        #expect(try place.curl("http://127.0.0.1/4").contains("path=/4"))
    }

    /// A certificate is renewed in the running worker; one that is no good changes nothing, and is told.
    @Test func certificatesAreRenewed() throws {
        let place = try Place()
        let folder = try #require(place.folder)
        let (worker, serial) = (try place.worker(), try place.serial())
        #expect(serial.hasPrefix("serial="))
        _ = try folder.certificate("shop.example")
        #expect(place.bring().problem == nil)
        let renewed = try place.serial()
        #expect(renewed.hasPrefix("serial=") && renewed != serial)
        let old = try String(contentsOfFile: folder.expiredCertificate("old"), encoding: .utf8)
        _ = try folder.file("shop.example.pem", old)
        let report = place.bring()
        #expect(report.problem == "\(place.certificate) has expired" && report.isServing)
        #expect(try place.serial() == renewed)
        #expect(try place.worker() == worker)
        #expect(
            try place.curl(
                "-k", "-w", "%{http_version}", "--resolve", "shop.example:443:127.0.0.1",
                "https://shop.example/"
            ).hasSuffix("2"))
        // With the good one back there is nothing to say.
        _ = try folder.certificate("shop.example")
        #expect(place.bring().problem == nil)
    }

    /// A configuration that HAProxy refuses leaves the one before in force, until there is a better one.
    @Test func whatIsRefusedChangesNothing() throws {
        let place = try Place()
        let worker = try place.worker()
        // The same port twice is refused before that; a name that is no name is not known here.
        let good = place.balancer
        place.balancer.groups[0].servers.append(HAProxyConfigurationTests.server("a name", 14))
        for _ in 0..<2 {
            let report = place.bring()
            #expect(report.problem?.hasPrefix("HAProxy refuses its configuration: ") == true, "\(report)")
            #expect(report.isServing)
        }
        #expect(try place.status() == "200")
        #expect(try place.worker() == worker)
        place.balancer = good
        #expect(place.bring().problem == nil)
    }

    /// Whoever comes after a keeper that was killed goes on with what there is; a process that has died is started anew.
    @Test func theNextKeeperGoesOn() throws {
        let place = try Place()
        let (folder, worker) = (try #require(place.folder), try place.worker())
        place.keeper = Place.keeper(folder, place.namespace)
        place.balancer.groups[0].servers.removeLast()
        #expect(place.bring().problem == nil)
        #expect(try place.worker() == worker)
        let master = try #require(
            pid_t(
                try String(contentsOfFile: "\(folder.path)/shop.h1/pid", encoding: .utf8).trimmingCharacters(
                    in: .newlines)))
        kill(master, SIGKILL)
        kill(try #require(pid_t(worker)), SIGKILL)
        // Whoever ends them: the kernel takes their sockets away when they are dead.
        while (try? place.worker()) != nil {}
        #expect(place.bring().problem == nil)
        #expect(try place.worker() != worker)
        try place.awaitAnswer()
    }

    /// A target that is not healthy is not asked; where none is, all are refused, or all are asked.
    @Test func theSickAreNotAsked() throws {
        let place = try Place()
        func turnOver(_ number: Int) throws { _ = try place.curl("http://127.0.0.1\(number):8080/sick") }
        func awaitUp(_ count: Int) throws {
            let deadline = Date.now + 20
            while place.bring().groups["web"] != .init(up: count, all: 2) { try #require(Date.now < deadline) }
        }
        try awaitUp(2)
        try turnOver(1)
        try awaitUp(1)
        let load = try WebLoad(try place.load())
        #expect(load.bad == 0 && load.names == ["web2"], "\(load)")
        try turnOver(2)
        try awaitUp(0)
        #expect(try place.status() == "503")
        place.balancer.groups[0].failsOpen = true
        #expect(place.bring().problem == nil)
        // The new worker takes them for healthy until it has asked.
        try awaitUp(0)
        #expect(try place.status() == "200")
    }

    /// Nothing is left of one that is removed; a namespace that was there before stays.
    @Test func itIsRemovedWhole() throws {
        let place = try Place()
        let folder = try #require(place.folder)
        let process = try #require(pid_t(place.worker()))
        try place.keeper.remove()
        #expect(!NetworkNamespace.named(place.namespace).exists)
        #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/shop.h1"))
        #expect(kill(process, 0) != 0 || isZombie(process))
        try NetworkNamespace.create(named: place.namespace)
        defer { try? NetworkNamespace.remove(named: place.namespace) }
        #expect(place.bring().problem == nil)
        try place.keeper.remove()
        #expect(NetworkNamespace.named(place.namespace).exists)
    }

    private func isZombie(_ process: pid_t) -> Bool {
        (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8))?.contains(") Z ") == true
    }
}
