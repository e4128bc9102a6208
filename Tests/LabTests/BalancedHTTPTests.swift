import Foundation
import Netlink
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCLab

extension LabTests {
    /// A balancer of HTTP that `vpcd` runs, between guests of two hosts.
    @Suite(
        .needsOverlay, .enabled(if: access("/usr/sbin/haproxy", X_OK) == 0, "needs haproxy"), .timeLimit(minutes: 15),
        .serialized)
    struct BalancedHTTPTests {
        /// A daemon for each of two hosts, and guests that serve.
        final class Place {
            let lab: TestLab
            let daemons: [Daemon]
            var servers: [Conversation] = []
            let certificate: String
            var scenario: Scenario

            /// - Parameter name: Of the balancer: namespaces of instances are the machine's.
            init(_ name: String) throws {
                let lab = try TestLab(Self.guests)
                self.lab = lab
                certificate = "/tmp/\(lab.prefix)shop.pem"
                let key = certificate + ".key"
                try Run.checked([
                    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                    "/CN=shop.example", "-keyout", key, "-out", certificate,
                ])
                try
                    (String(contentsOfFile: certificate, encoding: .utf8) + String(contentsOfFile: key, encoding: .utf8))
                    .write(toFile: certificate, atomically: true, encoding: .utf8)
                scenario = Self.guests
                scenario.add(Self.balancer(name, certificate))
                daemons = try ["h1", "h2"].map { try Daemon(lab, host: $0) }
                for guest in ["web1", "web2", "api1"] {
                    let server = try Conversation(
                        python: WebPrograms.server, ["\(guest)=0.0.0.0:8080"], in: lab.namespace(guest))
                    try #require(server.line() == "ready")
                    servers.append(server)
                }
                for daemon in daemons {
                    try daemon.write(scenario)
                    try daemon.start()
                    try daemon.awaitApplied()
                }
                try awaitStatus("200")
            }

            deinit {
                servers = []
                try? apply(Self.guests)
                for _ in 0..<100 where NetworkNamespace.named(namespace).exists { usleep(100_000) }
                for daemon in daemons { daemon.remove() }
                for suffix in ["", ".key"] { unlink(certificate + suffix) }
                lab.tearDown()
            }

            var namespace: String { "vpc-lb-\(scenario.model.loadBalancers.first?.metadata.name ?? "").h1" }

            func apply(_ scenario: Scenario) throws { for daemon in daemons { try daemon.write(scenario) } }

            /// Who asks is on the other host.
            func curl(_ arguments: String...) throws -> String {
                try Run(["ip", "netns", "exec", lab.namespace("client"), "curl", "-s", "-m", "10"] + arguments).output
            }

            /// Asks until the answer is that: what has been written has to be brought to three processes.
            func ask(until wanted: String, _ arguments: String...) throws {
                let deadline = Date.now + 30
                var answer = ""
                repeat {
                    answer = try Run(
                        ["ip", "netns", "exec", lab.namespace("client"), "curl", "-s", "-m", "5"] + arguments
                    ).output
                    if answer == wanted { return }
                } while Date.now < deadline
                throw ProgramFailure("\(arguments): '\(answer)' is not '\(wanted)'")
            }

            func awaitStatus(_ status: String) throws {
                try ask(
                    until: status, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: shop.example",
                    "http://10.0.1.80/")
            }

            func load() throws -> Conversation {
                let load = try Conversation(
                    python: WebPrograms.load, ["10.0.1.80", "80", "shop.example"], in: lab.namespace("client"))
                try #require(load.line() == "began")
                return load
            }

            static let guests: Scenario = {
                var scenario = Scenario()
                scenario.host("h1", "172.31.0.1")
                scenario.host("h2", "172.31.0.2")
                scenario.vpc("blue", 101, "10.0.0.0/16")
                scenario.subnet("web", "blue", "10.0.1.0/24")
                scenario.interface("web1", "web", on: "h1", "10.0.1.11")
                scenario.interface("web2", "web", on: "h2", "10.0.1.12")
                scenario.interface("api1", "web", on: "h2", "10.0.1.13")
                scenario.interface("client", "web", on: "h2", "10.0.1.20")
                return scenario
            }()

            /// The targets are reached by the balancer and by nobody else.
            private static func balancer(_ name: String, _ certificate: String) -> String {
                """
                apiVersion: vpcctl.dev/v1
                kind: TargetGroup
                metadata: {name: web}
                spec:
                  {vpc: blue, port: 8080, protocol: http, interfaces: [{name: web1}, {name: web2}],
                   healthCheck: {protocol: http, path: /health, interval: 1s, timeout: 1s, healthy: 1}}
                ---
                kind: TargetGroup
                metadata: {name: api}
                spec: {vpc: blue, port: 8080, protocol: http, interfaces: [{name: api1}]}
                ---
                kind: SecurityGroup
                metadata: {name: behind}
                spec: {vpc: blue, ingress: [{protocol: tcp, ports: [8080], from: [{loadBalancer: \(name)}]}]}
                ---
                kind: LoadBalancer
                metadata: {name: \(name)}
                spec:
                  vpc: blue
                  type: l7
                  instances: [{subnet: web, host: h1, address: 10.0.1.80}]
                  accessLog: true
                  listeners:
                    - protocol: http
                      port: 80
                      rules: [{host: shop.example, path: /api/, targetGroup: api}, {host: shop.example, targetGroup: web}]
                    - protocol: https
                      port: 443
                      certificates: [{name: shop.example, file: \(certificate)}]
                      rules: [{targetGroup: web}]
                    - {protocol: http, port: 81, redirect: https}
                """
            }
        }

        @Test func requestsAreLedByWhatTheyAsk() throws {
            let place = try Place("led")
            let shop = ["-H", "Host: shop.example"]
            let first = try place.curl(shop[0], shop[1], "-H", "X-Forwarded-For: 6.6.6.6", "http://10.0.1.80/x")
            #expect(first.contains("host=shop.example path=/x for=10.0.1.20 proto=http peer=10.0.1.80"), "\(first)")
            let second = try place.curl(shop[0], shop[1], "http://10.0.1.80/x")
            #expect(Set([first, second].map { $0.prefix(4) }) == ["web1", "web2"])
            #expect(try place.curl(shop[0], shop[1], "http://10.0.1.80/api/y").hasPrefix("api1 "))
            let status = ["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"]
            #expect(try place.curl(status[0], status[1], status[2], status[3], "http://10.0.1.80/") == "404 ")
            #expect(
                try place.curl(status[0], status[1], status[2], status[3], shop[0], shop[1], "http://10.0.1.80:81/a?b")
                    == "308 https://shop.example/a?b")
            let secure = try place.curl(
                "--cacert", place.certificate, "--resolve", "shop.example:443:10.0.1.80", "-w", "%{http_version}",
                "https://shop.example/s")
            #expect(secure.contains("path=/s for=10.0.1.20 proto=https") && secure.hasSuffix("2"), "\(secure)")
            // The groups of the targets let the balancer in, and nobody who goes round it.
            #expect(try place.curl("-m", "2", "http://10.0.1.11:8080/") == "")
            let web = try place.lab.shell(
                "client", "timeout 10 curl -s -m 5 -H 'Host: shop.example' http://10.0.1.80/logged")
            #expect(web.contains("path=/logged"))
            let log = try String(
                contentsOfFile: "/tmp/\(place.lab.prefix)h1-vpcd/state/balancers/led.h1/log", encoding: .utf8)
            #expect(log.contains("10.0.1.20:") && log.contains("\"GET /logged HTTP/1.1\""), "\(log)")
        }

        /// A daemon that is killed, and one that is started, fail no request; nor does a target that leaves and comes back.
        @Test func requestsGoOnWithoutTheDaemon() throws {
            let place = try Place("alone")
            let daemon = place.daemons[0]
            let load = try place.load()
            daemon.kill()
            var fewer = place.scenario
            let web = try #require(fewer.model.targetGroups.firstIndex { $0.metadata.name == "web" })
            fewer.model.targetGroups[web].members = .interfaces([.init("web1")])
            try place.apply(fewer)
            try daemon.start()
            try daemon.awaitApplied()
            // Until it has gone from the worker.
            let deadline = Date.now + 60
            while try place.servers(of: "alone").contains("web2") { try #require(Date.now < deadline) }
            try place.apply(place.scenario)
            while try !place.servers(of: "alone").contains("web2") { try #require(Date.now < deadline) }
            let result = try WebLoad(load)
            #expect(result.bad == 0 && result.good > 100, "\(result)")
        }

        /// Nothing of a balancer stays that is gone.
        @Test func itIsRemoved() throws {
            let place = try Place("gone")
            #expect(NetworkNamespace.named(place.namespace).exists)
            try place.apply(Place.guests)
            let deadline = Date.now + 30
            let folder = "/tmp/\(place.lab.prefix)h1-vpcd/state/balancers/gone.h1"
            while NetworkNamespace.named(place.namespace).exists || FileManager.default.fileExists(atPath: folder) {
                try #require(Date.now < deadline)
            }
            #expect(!Command.run("pgrep -a haproxy").output.contains(folder))
            #expect(!(try place.lab.shell("vpc-h1", "ip -br link")).contains("gone"))
        }
    }
}

extension LabTests.BalancedHTTPTests.Place {
    /// What the running worker says of its servers.
    func servers(of balancer: String) throws -> String {
        let socket = "/tmp/\(lab.prefix)h1-vpcd/state/balancers/\(balancer).h1/cli"
        return try Run([
            "/usr/bin/python3", "-c",
            "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(5)\ns.connect(sys.argv[1])\n"
                + "s.sendall(b'show servers state\\n')\nwhile d:=s.recv(9999): print(d.decode())", socket,
        ]).output
    }
}

extension Scenario {
    /// What a text declares beside.
    mutating func add(_ text: String) {
        let more = ManifestSet(text: text, name: "more.yaml").model
        model.targetGroups += more.targetGroups
        model.securityGroups += more.securityGroups
        model.loadBalancers += more.loadBalancers
        for name in ["web1", "web2", "api1"] {
            guard let index = model.interfaces.firstIndex(where: { $0.metadata.name == name }) else { continue }
            model.interfaces[index].securityGroups = more.securityGroups.map(\.metadata.name)
        }
    }
}
