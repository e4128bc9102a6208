import Foundation
import Netlink
import TestSupport
import Testing

/// Commands that touch the running kernel, in fresh network namespaces, whatever devices the kernel has.
@Suite(.timeLimit(minutes: 10)) struct KernelCommandTests {
    /// Without privileges: exit code 77, and the capability is named.
    @Test(arguments: [["apply", "-f", example("one-host.yaml"), "--host", "h1"], ["delete", "--host", "h1"]])
    func notPermittedNamesTheCapability(_ arguments: [String]) throws {
        let run = try Run(
            [
                "setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin",
                Run.program("vpcctl"),
            ] + arguments)
        #expect(run.status == 77)
        #expect(run.error.contains("CAP_NET_ADMIN and CAP_SYS_ADMIN"))
    }

    /// In the command's own namespace and in those it makes, on threads of their own.
    @Test func messagesAreShownWhenAskedFor() throws {
        let traced = try Run.vpcctl("doctor", "--debug-netlink")
        #expect(traced.error.contains("to the kernel: RTM_NEWLINK\n"))
        #expect(traced.error.contains("from the kernel: netlink message 2\n"))
        #expect(traced.error.contains("port ID"))
        let silent = try Run.vpcctl("doctor")
        #expect(!silent.error.contains("the kernel:"))
        #expect(silent.output == traced.output)
    }

    /// Of a host's namespace with a device, addresses and routes.
    @Test func libnlReadsTheSame() throws {
        let own = "witness-\(UUID().uuidString.prefix(8))"
        let manifest = FileManager.default.temporaryDirectory.appending(path: own + ".yaml")
        defer {
            try? NetworkNamespace.remove(named: own)
            try? FileManager.default.removeItem(at: manifest)
        }
        let place = "172.31.0.1}, dataPlane: {namespace: \(own)}"
        try ManifestHead.host().replacing("172.31.0.1}", with: place)
            .write(to: manifest, atomically: true, encoding: .utf8)
        let script = """
            ip link set lo up; ip addr add 172.31.0.1/32 dev lo
            "$1" apply --yes --host h1 -f \(manifest.path()) >/dev/null 2>&1
            "$1" exec -- sh -c 'ip link add u0 type veth peer name u1; ip link set u0 up; ip link set u1 up
            ip addr add 172.31.0.2/24 dev u0; ip route add 10.0.0.0/8 dev u0 proto 118'
            exec "$@"
            """
        let run = try Run.vpcctl("doctor", "--witness", before: ["unshare", "--net", "sh", "-c", script, "sh"])
        #expect(run.output.contains("libnl as a second reader: it saw "), "\(run.output)\(run.error)")
        #expect(run.output.contains(" 1 routes on the host and in 0 guests"))
        #expect(!run.output.contains("DIFFERS"))
        #expect(!(try Run.vpcctl("doctor")).output.contains("libnl"))
    }

    /// Everything else works without it.
    @Test func withoutLibnlItSaysSo() throws {
        let library = try #require(
            FileManager.default.enumerator(atPath: "/usr/lib")?.first { "\($0)".hasSuffix("libnl-route-3.so.200") })
        let hide = ["unshare", "--mount", "sh", "-c", "mount --bind /dev/null /usr/lib/\(library); exec \"$@\"", "sh"]
        let run = try Run.vpcctl("doctor", "--witness", before: hide)
        #expect(run.status == 1)
        #expect(run.output.contains("MISSING libnl as a second reader: /lib"), "\(run.output)")
        #expect(run.output.contains("remedy: install libnl-3-200 and libnl-route-3-200"))
        #expect(try Run.vpcctl("doctor", before: hide).output == Run.vpcctl("doctor").output)
    }

    @Test func theUnderlayAddressMustBeHere() throws {
        let run = try Run.vpcctl(
            "plan", "-f", example("one-host.yaml"), "--host", "h1", before: ["unshare", "--net"])
        #expect(run.status == 1)
        #expect(run.error.contains("underlay address 172.31.0.1 of host h1 is not on this machine"))
    }

    @Test func withoutHostTheUnderlayAddressDecides() throws {
        let command =
            "ip link add u0 type veth peer name u1 && ip link set u0 up && ip addr add 172.31.0.2/24 dev u0 && exec \"$@\""
        let run = try Run.vpcctl(
            "plan", "-f", example("two-tenants.yaml"), "-q",
            before: ["unshare", "--net", "sh", "-c", command, "sh"])
        #expect(run.status == 2)
        #expect(run.output.contains("plan for host h2: "))
    }

    /// The plan of an empty host: ordered, each operation with its resource, and nothing done.
    @Test func aPlanOnlyReads() throws {
        // Devices to adopt, so that no namespace with a fixed name is needed; that of gw-a is missing.
        let manifest = try String(contentsOfFile: example("two-tenants.yaml"), encoding: .utf8)
            .replacing(/\{netns: ([a-z0-9-]+), device: eth0\}/) { "{device: \($0.output.1)}" }
        let script = """
            ip link add u0 type veth peer name u1 && ip link set u0 up && ip addr add 172.31.0.1/24 dev u0 || exit 98
            for guest in blue-web1 blue-web3 green-web1; do ip link add $guest type veth peer name x$guest || exit 98; done
            state() { ip -d -j link; ip -j rule; ip -j addr; ip -j route show table all; }
            before=$(state); "$@"; code=$?
            [ "$before" = "$(state)" ] || exit 99
            exit $code
            """
        let run = try Run.vpcctl(
            "plan", "-f", "-", "--host", "h1", "-o", "json", input: manifest,
            before: ["unshare", "--net", "sh", "-c", script, "sh"])
        #expect(run.status == 2)
        let plan = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        let operations = try #require(plan["operations"] as? [[String: Any]])
        let objects = operations.compactMap { $0["object"] as? String }
        let vrf = try #require(objects.firstIndex(of: "link vpc-v1000001 type vrf table 1000001"))
        let gre = try #require(objects.firstIndex { $0.hasPrefix("link vpc-g101 type gre") })
        let route = try #require(objects.firstIndex { $0.hasPrefix("route 10.0.1.12/32 nhid") })
        #expect(vrf < gre && gre < route)
        #expect(operations[vrf]["resource"] as? String == "VPC/blue")
        let obstacles = try #require(plan["obstacles"] as? [String])
        #expect(obstacles.count == 1)
        #expect(obstacles[0].hasPrefix("<stdin>:"))
        #expect(obstacles[0].contains("NetworkInterface/gw-a: device gw-a does not exist"))
    }

    @Test func deleteOfNothingDoesNothing() throws {
        let run = try Run.vpcctl("delete", "--yes", before: ["unshare", "--net"])
        #expect(run.status == 0)
        #expect(run.output == "this namespace: created 0, changed 0, deleted 0\n")
    }

    /// The doctor tells what this kernel has: nothing that is reported as missing can be made with ip(8), and the reverse.
    @Test func theDoctorAgreesWithTheKernel() throws {
        let run = try Run.vpcctl("doctor", "-o", "json")
        let value = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        let findings = try #require(value["findings"] as? [[String: Any]])
        func isGood(_ subject: String) -> Bool? {
            findings.first { $0["subject"] as? String == subject }?["good"] as? Bool
        }
        let vrf = try Run(["unshare", "--net", "ip", "link", "add", "v", "type", "vrf", "table", "5"]).status == 0
        let gre = try Run(["unshare", "--net", "ip", "link", "add", "g", "type", "gre", "local", "1.2.3.4", "key", "5"])
        #expect(isGood("VRF devices") == vrf)
        #expect(isGood("GRE devices with a key") == (gre.status == 0))
        #expect(isGood("rules for VRFs") == true)
        let features = [
            "nftables": "add chain inet t c { type filter hook forward priority 0 ; }",
            "nftables for ARP": "add table arp t ; add chain arp t c { type filter hook input priority 0 ; }",
            "nftables on connections": "add rule inet t r ct mark set 1 ; add rule inet t r notrack",
            "nftables interval maps":
                "add map inet t m { type ipv4_addr . inet_proto : counter ; flags interval ; }",
            "nftables limits and logs": "add rule inet t r limit rate 10/second log group 5",
        ]
        for (subject, line) in features {
            let words =
                "add table inet t ; add chain inet t r { type filter hook prerouting priority -300 ; } ; \(line)"
            let nft = try Run(["unshare", "--net", "nft"] + words.split(separator: " ").map(String.init))
            #expect(isGood(subject) == (nft.status == 0), "\(subject): \(nft.output)")
        }
        #expect(isGood("connection tracking over netlink") == true)
        #expect(run.status == (vrf && gre.status == 0 ? 0 : 1))
        for finding in findings where finding["good"] as? Bool == false {
            #expect(!(finding["remedy"] as? String ?? "").isEmpty)
        }
    }
}
