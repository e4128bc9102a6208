import Foundation
import IPAddressing
import TestSupport
import Testing

@testable import HTTPBalancer

@Suite(.timeLimit(minutes: 10)) struct HAProxyConfigurationTests {
    /// Everything that a balancer can say, in one.
    static func whole(_ certificate: String) -> HTTPBalancer {
        var balancer = HTTPBalancer(name: "shop")
        var plain = HTTPBalancer.Listener(.http, port: 80)
        plain.redirectPort = 8443
        var secure = HTTPBalancer.Listener(.https, port: 8443)
        secure.certificates = [
            .init(name: "Shop.example", file: certificate), .init(name: "api.example", file: certificate),
        ]
        secure.rules = [
            .init(host: "api.example", path: "/v1/", group: "api"),
            .init(host: "Shop.example", path: nil, group: "web"),
            .init(host: nil, path: "/it's \"$HOME\" #1 {x} \\", group: "web"),
            .init(host: nil, path: nil, group: "web"),
        ]
        balancer.listeners = [plain, secure]
        balancer.groups = [
            .init(
                name: "api", scheme: .https,
                check: .init(
                    kind: .http, path: "/health'", status: [200, 204], interval: .seconds(5),
                    timeout: .milliseconds(1500), healthy: 2, unhealthy: 3), drain: .seconds(120), failsOpen: true,
                servers: [server("api1", 21, weight: 256)]),
            .init(
                name: "web", scheme: .http,
                check: .init(
                    kind: .tcp, path: "/", status: [200], interval: .seconds(1), timeout: .seconds(1), healthy: 1,
                    unhealthy: 1), drain: .seconds(10), failsOpen: false,
                servers: [server("web1", 11), server("web2", 12)]),
        ]
        balancer.logsRequests = true
        return balancer
    }

    static func server(_ name: String, _ number: UInt32, weight: Int = 1) -> HTTPBalancer.Server {
        .init(name: name, address: IPAddress(v4: 0x7F00_0000 + number), port: 8080, weight: weight)
    }

    @Test func itIsWrittenLikeThis() {
        let configuration = HAProxyConfiguration(Self.whole("/etc/shop.pem"), in: "/var/lib/b/shop.h1", threads: 4)
        let list = configuration.lists.keys.first ?? ""
        #expect(
            configuration.text == """
                # LoadBalancer/shop, written by vpcd: what is changed here is lost.
                global
                  description \(configuration.frame)
                  user haproxy
                  group haproxy
                  chroot /var/lib/b/shop.h1/empty
                  stats socket /var/lib/b/shop.h1/cli mode 600 level admin expose-fd listeners
                  log stdout format raw local0 info
                  hard-stop-after 120s
                  maxconn 8192
                  nbthread 4
                  ssl-default-bind-options ssl-min-ver TLSv1.2
                  tune.ssl.default-dh-param 2048

                defaults
                  mode http
                  log global
                  option dontlognull
                  option redispatch 1
                  retries 3
                  timeout connect 5s
                  timeout client 60s
                  timeout server 60s
                  timeout queue 10s
                  timeout http-request 10s
                  timeout http-keep-alive 10s
                  timeout client-fin 10s
                  timeout tunnel 1h
                  option httplog

                frontend http.80
                  bind :80
                  http-request redirect code 308 location 'https://%[req.hdr(host),host_only]:8443%[capture.req.uri]' if { req.hdr(host) -m found }
                  default_backend nobody

                frontend https.8443
                  bind :8443 ssl crt-list /var/lib/b/shop.h1/\(list) alpn h2,http/1.1
                  http-request del-header X-Forwarded-For
                  http-request set-header X-Forwarded-For %[src]
                  http-request set-header X-Forwarded-Proto https
                  use_backend unchecked.api if { req.hdr(host),host_only,lower -m str -- 'api.example' } { path_beg -- '/v1/' } { nbsrv(group.api) eq 0 }
                  use_backend group.api if { req.hdr(host),host_only,lower -m str -- 'api.example' } { path_beg -- '/v1/' }
                  use_backend group.web if { req.hdr(host),host_only,lower -m str -- 'shop.example' }
                  use_backend group.web if { path_beg -- '/it'\\''s "$HOME" #1 {x} \\' }
                  use_backend group.web if TRUE
                  default_backend nobody

                backend group.api
                  balance roundrobin
                  timeout check 1500ms
                  option httpchk
                  http-check send meth GET uri '/health'\\''' ver HTTP/1.1 hdr Host 'shop' hdr Connection close
                  http-check expect status 200,204
                  # servers: inter 5000ms rise 2 fall 3 no-check-ssl ssl verify none check
                  server api1 127.0.0.21:8080 weight 256 check inter 5000ms rise 2 fall 3 no-check-ssl ssl verify none

                backend unchecked.api
                  balance roundrobin
                  # servers: ssl verify none
                  server api1 127.0.0.21:8080 weight 256 ssl verify none

                backend group.web
                  balance roundrobin
                  timeout check 1000ms
                  # servers: inter 1000ms rise 1 fall 1 check
                  server web1 127.0.0.11:8080 weight 1 check inter 1000ms rise 1 fall 1
                  server web2 127.0.0.12:8080 weight 1 check inter 1000ms rise 1 fall 1

                backend nobody
                  http-request deny deny_status 404

                """)
        #expect(
            configuration.lists[list] == """
                /var/lib/b/shop.h1/8443-shop.example.pem shop.example
                /var/lib/b/shop.h1/8443-api.example.pem api.example

                """)
    }

    /// What is only told of servers needs no new worker, and all else does.
    @Test func theFrameIsWhatNeedsAnewWorker() {
        let former = Self.whole("/etc/shop.pem")
        func frame(_ change: (inout HTTPBalancer) -> Void) -> String {
            var balancer = former
            change(&balancer)
            return HAProxyConfiguration(balancer, in: "/b", threads: 1).frame
        }
        let same = frame { _ in }
        #expect(frame { $0.groups[1].servers.removeLast() } == same)
        #expect(frame { $0.groups[1].servers[0].weight = 7 } == same)
        #expect(frame { $0.groups[1].servers[0].address = IPAddress(v4: 0x7F00_0063) } == same)
        #expect(frame { $0.listeners[1].certificates[0].file = "/etc/other.pem" } == same)
        #expect(frame { $0.listeners[1].certificates[0].name = "other.example" } != same)
        #expect(frame { $0.listeners[1].rules.removeFirst() } != same)
        #expect(frame { $0.groups[1].check = nil } != same)
        #expect(frame { $0.groups[0].check?.interval = .seconds(9) } != same)
        #expect(frame { $0.groups[0].scheme = .http } != same)
        #expect(frame { $0.clientAddress = .proxyV2 } != same)
        #expect(frame { $0.logsRequests = false } != same)
    }

    /// HAProxy takes it, whatever a tenant writes where he may write.
    @Test(.enabled(if: HAProxyProcess.isInstalled, "needs haproxy"), arguments: [false, true])
    func haproxyTakesIt(_ proxies: Bool) throws {
        let folder = try Folder()
        let certificate = try folder.certificate("shop.example")
        var balancer = Self.whole(certificate)
        if proxies { balancer.clientAddress = .proxyV2 }
        let configuration = HAProxyConfiguration(balancer, in: folder.path, threads: 1)
        try FileManager.default.createDirectory(atPath: folder.path + "/empty", withIntermediateDirectories: true)
        for copy in configuration.certificates {
            try FileManager.default.copyItem(atPath: certificate, toPath: "\(folder.path)/\(copy.name)")
        }
        for (name, text) in configuration.lists {
            try text.write(toFile: "\(folder.path)/\(name)", atomically: false, encoding: .utf8)
        }
        let path = folder.path + "/haproxy.cfg"
        try configuration.text.write(toFile: path, atomically: false, encoding: .utf8)
        try HAProxyProcess.check(path)
        // And it says why where it does not.
        try (configuration.text + "  use_backend if\n").write(toFile: path, atomically: false, encoding: .utf8)
        let error = #expect(throws: BalancerError.self) { try HAProxyProcess.check(path) }
        #expect(error?.description.contains("use_backend") == true, "\(String(describing: error))")
    }

    @Test func whatHAProxyHasBecomesWhatItShallHave() throws {
        let states = try ServerState.list(
            """
            1
            # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port
            5 group.web 1 web1 127.0.0.11 2 0 1 8080
            5 group.web 2 web2 127.0.0.99 0 8 7 8080
            5 group.web 3 gone 127.0.0.13 2 0 1 8080
            """)
        #expect(states.map(\.isUp) == [true, false, true])
        #expect(states.map(\.isReady) == [true, false, true])
        var balancer = Self.whole("/etc/shop.pem")
        balancer.groups[1].servers.append(Self.server("web3", 14, weight: 3))
        let configuration = HAProxyConfiguration(balancer, in: "/b", threads: 1)
        let changes = ServerChanges(from: states, to: configuration.backends.filter { $0.key == "group.web" })
        #expect(
            changes.commands.map(\.text) == [
                "set server group.web/web2 addr 127.0.0.12 port 8080", "set server group.web/web2 weight 1",
                "set server group.web/web2 state ready",
                "add server group.web/web3 127.0.0.14:8080 weight 3 check inter 1000ms rise 1 fall 1",
                "enable health group.web/web3", "enable server group.web/web3", "set server group.web/gone state drain",
            ])
        #expect(changes.leaving.map(\.name) == ["gone"])
    }

    @Test func certificatesAreLookedThrough() throws {
        let folder = try Folder()
        func flaw(_ path: String) -> String? {
            do throws(BalancerError) {
                _ = try CertificateFile(SmallFile.read(path), of: "it")
                return nil
            } catch {
                return error.description
            }
        }
        let good = try folder.certificate("shop.example")
        #expect(flaw(good) == nil)
        let text = try String(contentsOfFile: good, encoding: .utf8)
        let key = try #require(text.range(of: "-----BEGIN PRIVATE KEY"))
        #expect(
            flaw(try folder.file("a", String(text[..<key.lowerBound])))
                == "it has no private key that can be read without a password")
        #expect(flaw(try folder.file("b", String(text[key.lowerBound...]))) == "it has no certificate")
        let other = try String(contentsOfFile: folder.certificate("other.example"), encoding: .utf8)
        let others = try #require(other.range(of: "-----BEGIN PRIVATE KEY"))
        #expect(
            flaw(try folder.file("c", String(text[..<key.lowerBound]) + String(other[others.lowerBound...])))
                == "it has the key of another certificate")
        #expect(flaw(try folder.expiredCertificate("old.example")) == "it has expired")
        #expect(flaw("/nowhere")?.hasPrefix("/nowhere: No such file") == true)
        #expect(flaw("/dev/null") == "/dev/null is no regular file")
    }
}

/// A folder of a test, gone with it.
final class Folder {
    let path: String

    init() throws {
        path = "/tmp/vpclb-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: "\(path)/\(name)", atomically: true, encoding: .utf8)
        return "\(path)/\(name)"
    }

    /// A new certificate with its key.
    func certificate(_ name: String) throws -> String {
        let (certificate, key) = ("\(path)/\(name).crt", "\(path)/\(name).key")
        try Run.checked([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=\(name)",
            "-keyout", key, "-out", certificate,
        ])
        return try joined(name)
    }

    /// One of 2020, as only an authority can make it.
    func expiredCertificate(_ name: String) throws -> String {
        let authority = try file(
            "\(name).cnf",
            """
            [ca]
            default_ca = own
            [own]
            database = \(path)/\(name).index
            new_certs_dir = \(path)
            rand_serial = yes
            default_md = sha256
            policy = any
            [any]
            commonName = supplied

            """)
        _ = try file("\(name).index", "")
        let (request, key) = ("\(path)/\(name).csr", "\(path)/\(name).key")
        try Run.checked([
            "openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=\(name)", "-keyout", key, "-out",
            request,
        ])
        try Run.checked([
            "openssl", "ca", "-batch", "-selfsign", "-notext", "-config", authority, "-keyfile", key, "-in", request,
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", "\(path)/\(name).crt",
        ])
        return try joined(name)
    }

    private func joined(_ name: String) throws -> String {
        let parts = try ["crt", "key"].map { try String(contentsOfFile: "\(path)/\(name).\($0)", encoding: .utf8) }
        return try file("\(name).pem", parts.joined())
    }
}
