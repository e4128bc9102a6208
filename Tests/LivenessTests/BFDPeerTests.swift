import Foundation
import Glibc
import IPAddressing
import Liveness
import Netlink
import Synchronization
import TestSupport
import Testing

/// A host with a port and a guest behind it, in which somebody else's BFD runs.
private final class Guest {
    let host: String
    let guest: String
    let folder: URL
    private var programs: [Program] = []

    static let gateway = IPAddress(v4: 0x0A00_0101)
    static let address = IPAddress(v4: 0x0A00_010A)
    private static let counter = Atomic<Int>(0)

    init() throws {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        host = "bfd-host-\(getpid())-\(number)"
        guest = "bfd-guest-\(getpid())-\(number)"
        folder = URL(filePath: "/tmp/\(guest)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // FRR's daemons give up being root.
        chmod(folder.path(), 0o777)
        for name in [host, guest] { try NetworkNamespace.create(named: name) }
        try ip("link", "add", "port", "netns", host, "type", "veth", "peer", "name", "eth0", "netns", guest)
        try ip("-n", host, "address", "add", "10.0.1.1/24", "dev", "port")
        try ip("-n", guest, "address", "add", "10.0.1.10/24", "dev", "eth0")
        for (name, device) in [(host, "port"), (guest, "eth0"), (host, "lo"), (guest, "lo")] {
            try ip("-n", name, "link", "set", device, "up")
        }
    }

    deinit {
        killAll()
        for name in [host, guest] { try? NetworkNamespace.remove(named: name) }
        try? FileManager.default.removeItem(at: folder)
    }

    func ip(_ arguments: String...) throws { try Run.checked(["ip"] + arguments) }

    func path(_ name: String) -> String { folder.appending(path: name).path() }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
    }

    func start(_ command: String...) throws {
        programs.append(try Program(["ip", "netns", "exec", guest] + command))
    }

    /// As if their machine had gone.
    func killAll() {
        for program in programs {
            program.send(SIGKILL)
            program.wait()
        }
        programs = []
    }

    // MARK: BIRD

    func startBIRD(_ options: String = "interval 200 ms; multiplier 3;") throws {
        try write(
            "bird.conf",
            """
            router id 10.0.1.10;
            protocol device {}
            protocol bfd peer {
                interface "eth0" { \(options) };
                multihop { \(options) };
                neighbor 10.0.1.1 dev "eth0" local 10.0.1.10;
            }
            """)
        try start("bird", "-f", "-c", path("bird.conf"), "-s", path("bird.ctl"), "-P", path("bird.pid"))
    }

    func birdc(_ words: String...) throws -> String {
        try Run.checked(["birdc", "-s", path("bird.ctl")] + words)
    }

    // MARK: FRR

    func startFRR() throws {
        try write("zebra.conf", "hostname guest\n")
        try write(
            "bfdd.conf",
            """
            bfd
             peer 10.0.1.1 interface eth0
              detect-multiplier 3
              receive-interval 200
              transmit-interval 200
              no shutdown

            """)
        let common = ["--vty_socket", folder.path(), "-z", path("zserv"), "-P", "0"]
        try launch("zebra", common)
        try waitFor("zebra's socket") { FileManager.default.fileExists(atPath: path("zserv")) }
        try launch("bfdd", common + ["--bfdctl", path("bfdd.ctl")])
        try waitFor("bfdd's terminal") { FileManager.default.fileExists(atPath: path("bfdd.vty")) }
    }

    private func launch(_ name: String, _ options: [String]) throws {
        programs.append(
            try Program(
                [
                    "ip", "netns", "exec", guest, "/usr/lib/frr/\(name)", "-f", path("\(name).conf"), "-i",
                    path("\(name).pid"),
                ]
                    + options))
    }

    func vtysh(_ lines: String...) throws -> String {
        try Run.checked(["vtysh", "--vty_socket", folder.path()] + lines.flatMap { ["-c", $0] })
    }
}

/// Our end, and when it thought what.
private final class Watcher: Sendable {
    let service: LivenessService
    let key: FactKey
    private let bell = DispatchSemaphore(value: 0)

    init(
        _ guest: Guest, _ kind: FactKind = .bfd, by device: String? = "port", to address: IPAddress = Guest.address
    ) throws {
        key = FactKey(kind, "fw")
        let bell = bell
        service = try LivenessService { _ in bell.signal() }
        var plan = LivenessPlan()
        plan.watches = [
            .init(key, in: guest.host, by: device, from: Guest.gateway, to: address)
        ]
        service.follow(plan)
    }

    var session: LivenessReport.Session? { service.report.sessions[key] }
    var isUp: Bool { session?.isUp ?? false }
    var verdict: LivenessVerdict? { service.report.verdicts[key] }

    /// Waits for the service to tell.
    /// - Returns: how long it took.
    @discardableResult
    func wait(_ what: String, seconds: Double = 20, _ body: (Watcher) -> Bool) throws -> Duration {
        let begin = ContinuousClock.now
        while !body(self) {
            guard begin.duration(to: .now) < .seconds(seconds) else {
                throw ProgramFailure("\(what): not within \(seconds) seconds; \(service.report)")
            }
            _ = bell.wait(timeout: .now() + .milliseconds(20))
        }
        return begin.duration(to: .now)
    }

    func waitUntilUp() throws { try wait("up") { $0.verdict == LivenessVerdict(isAlive: true, "up") } }
}

@Suite(.serialized, .timeLimit(minutes: 10))
struct BFDPeerTests {
    /// What 600 ms become on a machine that does other things, too.
    private static let detection = Duration.milliseconds(600) + .milliseconds(300)

    @Test func birdComesUpDiesAndComesBack() throws {
        let guest = try Guest()
        try guest.startBIRD()
        let watcher = try Watcher(guest)
        try watcher.waitUntilUp()
        try waitFor("BIRD's end") { try guest.birdc("show", "bfd", "sessions").contains(" Up ") }
        // The interval is agreed upon a moment later.
        try watcher.wait("the interval") { $0.session?.detectionTime == .milliseconds(600) }
        guest.killAll()
        let took = try watcher.wait("death") { !($0.verdict?.isAlive ?? true) }
        #expect(took < Self.detection)
        #expect(watcher.verdict?.reason == "detection time expired")
        try guest.startBIRD()
        try watcher.waitUntilUp()
        #expect(watcher.session?.failures == 1)
    }

    @Test func birdsLinkGoesDown() throws {
        let guest = try Guest()
        try guest.startBIRD()
        let watcher = try Watcher(guest)
        try watcher.waitUntilUp()
        try watcher.wait("the interval") { $0.session?.detectionTime == .milliseconds(600) }
        try guest.ip("-n", guest.guest, "link", "set", "eth0", "down")
        #expect(try watcher.wait("death") { !($0.verdict?.isAlive ?? true) } < Self.detection)
        try guest.ip("-n", guest.guest, "link", "set", "eth0", "up")
        try watcher.waitUntilUp()
    }

    @Test func birdIsSwitchedOffAndOn() throws {
        let guest = try Guest()
        try guest.startBIRD()
        let watcher = try Watcher(guest)
        try watcher.waitUntilUp()
        _ = try guest.birdc("disable", "peer")
        try watcher.wait("being switched off") { !($0.verdict?.isAlive ?? true) }
        _ = try guest.birdc("enable", "peer")
        try watcher.waitUntilUp()
    }

    /// Our end goes: to the other one that is no failure but an end.
    @Test func birdIsToldOfOurEnd() throws {
        let guest = try Guest()
        try guest.startBIRD()
        do {
            let watcher = try Watcher(guest)
            try watcher.waitUntilUp()
            try waitFor("BIRD's end") { try guest.birdc("show", "bfd", "sessions").contains(" Up ") }
            watcher.service.stop()
            let begin = ContinuousClock.now
            try waitFor("BIRD's end") { try !guest.birdc("show", "bfd", "sessions").contains(" Up ") }
            // Sooner than it would have noticed.
            #expect(begin.duration(to: .now) < .milliseconds(550))
        }
    }

    @Test func birdsAuthenticationIsRefusedByItsName() throws {
        let guest = try Guest()
        try guest.startBIRD(
            "interval 200 ms; multiplier 3; authentication simple; password \"abc\" { id 1; };")
        let watcher = try Watcher(guest)
        try watcher.wait("a complaint") { $0.session?.complaint?.contains("switch authentication off") ?? false }
        #expect(!watcher.isUp)
    }

    @Test func frrComesUpDiesIsSwitchedOffAndComesBack() throws {
        let guest = try Guest()
        try guest.startFRR()
        let watcher = try Watcher(guest)
        try watcher.waitUntilUp()
        try waitFor("FRR's end") { try guest.vtysh("show bfd peers brief").contains(" up ") }
        try watcher.wait("the interval") { $0.session?.detectionTime == .milliseconds(600) }
        _ = try guest.vtysh("configure", "bfd", "peer 10.0.1.1 interface eth0", "shutdown")
        try watcher.wait("being switched off") { !($0.verdict?.isAlive ?? true) }
        #expect(watcher.verdict?.reason == "it is administratively down")
        _ = try guest.vtysh("configure", "bfd", "peer 10.0.1.1 interface eth0", "no shutdown")
        try watcher.waitUntilUp()
        try watcher.wait("the interval") { $0.session?.detectionTime == .milliseconds(600) }
        guest.killAll()
        #expect(try watcher.wait("death") { !($0.verdict?.isAlive ?? true) } < Self.detection)
        try guest.startFRR()
        try watcher.waitUntilUp()
    }

    /// From further away than the link: TTL 254 comes from behind a router (RFC 5881, section 5).
    @Test func whatPassedARouterIsNotTaken() throws {
        let guest = try Guest()
        let watcher = try Watcher(guest)
        try watcher.wait("an opened session") { $0.session?.complaint == "its BFD has never answered" }
        let speak = """
            socket, struct, sys = map(__import__, ['socket', 'struct', 'sys'])
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(('10.0.1.10', 50000))
            r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            r.bind(('10.0.1.10', 3784))
            r.settimeout(5)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, int(sys.argv[1]))
            yours = 0
            for _ in range(6):
                state = 1 if yours == 0 else 3
                s.sendto(struct.pack('>BBBBIIIII', 0x20, state << 6, 3, 24, 77, yours, 200000, 200000, 0), ('10.0.1.1', 3784))
                answer = r.recv(100)
                yours = struct.unpack('>I', answer[4:8])[0]
                print(answer[1] >> 6)
            """
        func states(ttl: Int) throws -> [String] {
            try Run.checked("ip", "netns", "exec", guest.guest, "python3", "-c", speak, "\(ttl)").split(separator: "\n")
                .map(String.init)
        }
        #expect(try Set(states(ttl: 254)) == ["1"])
        #expect(!watcher.isUp)
        #expect(try states(ttl: 255).contains("3"))
    }

    @Test func aDeviceThatComesLateAndAnew() throws {
        let guest = try Guest()
        try guest.ip("-n", guest.host, "link", "delete", "port")
        let watcher = try Watcher(guest)
        try watcher.wait("a complaint") { $0.session?.complaint?.contains("port") ?? false }
        for _ in 0..<2 {
            try guest.ip(
                "link", "add", "port", "netns", guest.host, "type", "veth", "peer", "name", "eth0", "netns", guest.guest
            )
            try guest.ip("-n", guest.host, "address", "add", "10.0.1.1/24", "dev", "port")
            try guest.ip("-n", guest.guest, "address", "add", "10.0.1.10/24", "dev", "eth0")
            try guest.ip("-n", guest.host, "link", "set", "port", "up")
            try guest.ip("-n", guest.guest, "link", "set", "eth0", "up")
            try guest.startBIRD()
            try watcher.waitUntilUp()
            guest.killAll()
            try guest.ip("-n", guest.host, "link", "delete", "port")
            try watcher.wait("death") { !($0.verdict?.isAlive ?? true) }
        }
    }

    /// RFC 5883: behind a router, which is what makes the TTL another.
    @Test func severalHopsAreWatched() throws {
        let guest = try Guest()
        let far = guest.guest + "-far"
        try NetworkNamespace.create(named: far)
        defer { try? NetworkNamespace.remove(named: far) }
        try guest.ip("link", "add", "eth1", "netns", guest.guest, "type", "veth", "peer", "name", "eth0", "netns", far)
        try guest.ip("-n", guest.guest, "address", "add", "10.0.2.1/24", "dev", "eth1")
        try guest.ip("-n", far, "address", "add", "10.0.2.10/24", "dev", "eth0")
        try guest.ip("-n", guest.guest, "link", "set", "eth1", "up")
        try guest.ip("-n", far, "link", "set", "eth0", "up")
        try guest.ip("-n", far, "route", "add", "default", "via", "10.0.2.1")
        try guest.ip("-n", guest.host, "route", "add", "10.0.2.0/24", "via", "10.0.1.10")
        try Run.checked("ip", "netns", "exec", guest.guest, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        try guest.write(
            "bird.conf",
            """
            router id 10.0.2.10;
            protocol device {}
            protocol bfd {
                multihop { interval 200 ms; multiplier 3; };
                neighbor 10.0.1.1 local 10.0.2.10 multihop yes;
            }
            """)
        let bird = try Program(
            [
                "ip", "netns", "exec", far, "bird", "-f", "-c", guest.path("bird.conf"), "-s", guest.path("bird.ctl"),
                "-P", guest.path("bird.pid"),
            ])
        defer { bird.send(SIGKILL) }
        let watcher = try Watcher(guest, by: nil, to: IPAddress(v4: 0x0A00_020A))
        try watcher.waitUntilUp()
        try watcher.wait("the interval") { $0.session?.detectionTime == .milliseconds(600) }
        try guest.ip("-n", guest.guest, "link", "set", "eth1", "down")
        #expect(try watcher.wait("death") { !($0.verdict?.isAlive ?? true) } < Self.detection)
    }

    /// Both ends ours, one of each session here and there.
    @Test func aHundredSessionsStayUp() async throws {
        let (guest, count) = (try Guest(), 100)
        var commands = ""
        for number in 1...count {
            commands += "address add 10.2.\(number).1/24 dev port\n"
        }
        try Run.checked(["sh", "-c", "printf '\(commands)' | ip -n \(guest.host) -batch -"])
        try Run.checked([
            "sh", "-c",
            "printf '\(commands.replacing(".1/24 dev port", with: ".10/24 dev eth0"))' | ip -n \(guest.guest) -batch -",
        ])
        func plan(_ namespace: String, _ device: String, _ own: UInt32, _ other: UInt32) -> LivenessPlan {
            var plan = LivenessPlan()
            plan.watches = (1...UInt32(count)).map { number in
                .init(
                    FactKey(.bfd, "session-\(number)"), in: namespace, by: device,
                    from: IPAddress(v4: 0x0A02_0000 | number << 8 | own),
                    to: IPAddress(v4: 0x0A02_0000 | number << 8 | other))
            }
            return plan
        }
        let ends = try [LivenessService { _ in }, LivenessService { _ in }]
        ends[0].follow(plan(guest.host, "port", 1, 10))
        ends[1].follow(plan(guest.guest, "eth0", 10, 1))
        func failures() -> Int { ends.flatMap(\.report.sessions.values).reduce(0) { $0 + $1.failures } }
        let failed = try await Stalls.undisturbed({ $0 == 0 }) {
            try waitFor("all up") { ends.allSatisfy { $0.report.sessions.count { $0.value.isUp } == count } }
            let (begin, before, former) = (ContinuousClock.now, Self.processorTime, failures())
            try await Task.sleep(for: .seconds(3))
            let part = (Self.processorTime - before) / (begin.duration(to: .now) / .seconds(1))
            print(
                "liveness: a session takes \(Int(part * 500_000 / Double(count))) µs of processor a second at each end")
            return failures() - former
        }
        #expect(failed ?? 0 == 0)
        for end in ends { end.stop() }
    }

    private static var processorTime: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    @Test func echoIsAnsweredAndNot() throws {
        let guest = try Guest()
        let watcher = try Watcher(guest, .echo)
        try watcher.waitUntilUp()
        try guest.ip("-n", guest.guest, "link", "set", "eth0", "down")
        #expect(try watcher.wait("death") { !($0.verdict?.isAlive ?? true) } < Self.detection)
        try guest.ip("-n", guest.guest, "link", "set", "eth0", "up")
        try watcher.waitUntilUp()
    }
}
