import Foundation
import Netlink
import TestSupport
import Testing

/// `vpcctl denied`, which is told by the running kernel; the rule that logs is made by hand.
@Suite(.timeLimit(minutes: 10)) struct DeniedCommandTests {
    private static let manifest = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}, dataPlane: {namespace: OWN}}
        ---
        kind: VPC
        metadata: {name: blue}
        spec: {id: 1, cidrs: [10.0.0.0/16], logDenied: {nflogGroup: 5}}
        ---
        kind: Subnet
        metadata: {name: web}
        spec: {vpc: blue, cidr: 10.0.1.0/24, acl: web-acl}
        ---
        kind: NetworkACL
        metadata: {name: web-acl}
        spec:
          vpc: blue
          ingress:
            - {priority: 200, action: allow, protocol: all, cidr: 0.0.0.0/0}
            - {priority: 100, action: deny, protocol: udp, ports: [53], cidr: 0.0.0.0/0}
        """

    /// Runs a line of shell in a namespace where datagrams to port 53 are logged as our rules would, with the manifest
    /// in `$manifest`, the program in `$vpcctl`, and a folder of its own.
    private func run(_ script: String, prefix: String = "vpcctl acl web-acl in 100") throws -> Run {
        let folder = FileManager.default.temporaryDirectory.appending(path: "denied-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let own = folder.lastPathComponent
        defer { try? NetworkNamespace.remove(named: own) }
        try Self.manifest.replacing("OWN", with: own).write(
            to: folder.appending(path: "blue.yaml"), atomically: true, encoding: .utf8)
        let preparation = """
            set -e
            cd \(folder.path())
            vpcctl='\(Run.program("vpcctl"))'
            ip link set lo up; ip addr add 172.31.0.1/32 dev lo
            "$vpcctl" apply -f blue.yaml --host h1 --yes >/dev/null 2>&1 || true
            echo 'table inet t { chain o { type filter hook output priority 0;
                udp dport 53 log group 5 snaplen 64 prefix "\(prefix)"; }; }' | "$vpcctl" exec -- nft -f -
            say() { "$vpcctl" exec -- bash -c 'echo -n x >/dev/udp/127.0.0.1/53'; }
            # Runs the program beside us, and waits until it is at work.
            watch() { mkfifo err; "$vpcctl" denied -f blue.yaml --host h1 "$@" 2>err & exec 3<err; read -r first <&3; }

            """
        return try Run(["unshare", "--net", "bash", "-c", preparation + script])
    }

    @Test func aPacketIsNamedWithItsLine() throws {
        let run = try run("watch -c 2; say; say; wait $!; echo \"$first\" >&2; cat <&3 >&2")
        #expect(run.error == "host h1: watching nflog group 5\n")
        let lines = run.output.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.first?.hasPrefix("TIME          INTERFACE  PACKET") == true)
        let line = lines.last ?? ""
        #expect(line.contains(/^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}  -          127\.0\.0\.1:[0-9]+ → 127/))
        #expect(line.contains("127.0.0.1:53 udp "))
        #expect(line.hasSuffix("  ACL web-acl: ingress line 100  (blue.yaml:20:7)"), "\(line)")
        #expect(run.status == 0)
    }

    @Test func aStreamOfObjects() throws {
        let run = try run("watch -c 1 -o json; say; wait $!")
        let value = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        #expect(run.output.count { $0 == "\n" } == 1)
        #expect(value["reason"] as? String == "aclLine" && value["priority"] as? Int == 100)
        #expect(value["place"] as? String == "blue.yaml:20:7")
        #expect(value["destinationPort"] as? Int == 53)
        #expect((value["time"] as? String)?.contains(/^20[0-9-]+T[0-9:]+\.[0-9]{6}Z$/) == true)
    }

    /// Rules of other manifests than these.
    @Test func whatIsNotKnownIsSaidToBe() throws {
        let run = try run("watch -c 1; say; wait $!", prefix: "vpcctl acl old in 7")
        #expect(run.output.contains("unknown to these manifests: vpcctl acl old in 7"))
        #expect(run.status == 0)
    }

    @Test func aGroupHasOneReader() throws {
        let run = try run(
            "watch -c 1; \"$vpcctl\" denied -f blue.yaml --host h1 -q || code=$?; say; wait $!; exit $code")
        #expect(run.status == 1)
        #expect(run.error.contains("another program reads nflog group 5: a group has one reader"))
    }

    @Test func somebodyHasToLog() throws {
        let run = try Run.vpcctl("denied", "-f", example("one-host.yaml"), "--host", "h1")
        #expect(run.status == 1)
        #expect(run.error.contains("give one 'logDenied: {nflogGroup: 5}'"))
    }
}
