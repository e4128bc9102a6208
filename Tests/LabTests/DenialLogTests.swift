import Foundation
import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A VPC whose denied packets are reported, and one with the same addresses whose are not. The policies are the same.
    fileprivate static let reported: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (vpc, id) in [("blue", UInt32(101)), ("green", 102)] {
            scenario.vpc(vpc, id, "10.0.0.0/16")
            scenario.subnet("\(vpc)-front", vpc, "10.0.1.0/24")
            scenario.subnet("\(vpc)-back", vpc, "10.0.2.0/24")
            scenario.interface("\(vpc)-near", "\(vpc)-front", on: "h1", "10.0.1.11")
            scenario.interface("\(vpc)-far", "\(vpc)-front", on: "h2", "10.0.1.12")
            scenario.interface("\(vpc)-server", "\(vpc)-back", on: "h1", "10.0.2.21")
            scenario.interface("\(vpc)-shut", "\(vpc)-front", on: "h1", "10.0.1.13")
            scenario.interface("\(vpc)-box", "\(vpc)-front", on: "h1", "10.0.1.14", forwards: true)
            scenario.model.acls.append(
                NetworkACL(
                    metadata: Metadata(name: "\(vpc)-back"), vpc: vpc,
                    ingress: [
                        line(100, .deny, .udp, "10.0.1.12/32"), line(200, .allow, nil, "0.0.0.0/0"),
                    ], egress: [line(100, .allow, .tcp, "0.0.0.0/0")]))
            scenario.group("\(vpc)-web", vpc, ingress: [rule(.tcp, 80)], egress: [])
            scenario.group("\(vpc)-dns", vpc, ingress: [rule(.udp, 53)])
        }
        for index in scenario.model.subnets.indices where scenario.model.subnets[index].metadata.name.hasSuffix("back")
        {
            scenario.model.subnets[index].acl = "\(scenario.model.subnets[index].vpc)-back"
        }
        scenario.model.vpcs[0].denialLog = DenialLog(group: 5)
        for vpc in ["blue", "green"] {
            scenario = scenario.with(groups: ["\(vpc)-web"], of: "\(vpc)-shut")
                .with(groups: ["\(vpc)-web"], of: "\(vpc)-box")
                .with(groups: ["\(vpc)-web", "\(vpc)-dns"], of: "\(vpc)-server")
        }
        return scenario
    }()

    private static func line(
        _ priority: Int, _ action: ACLRule.Action, _ ipProtocol: IPProtocol?, _ cidr: String
    ) -> ACLRule {
        ACLRule(
            priority: priority, action: action, traffic: TrafficMatch(ipProtocol: ipProtocol), cidr: prefix(cidr))
    }

    private static func rule(_ ipProtocol: IPProtocol, _ port: UInt16) -> SecurityRule {
        SecurityRule(
            traffic: TrafficMatch(ipProtocol: ipProtocol, ports: [port...port]), peers: [.cidr(.defaultIPv4)])
    }
}

extension LabTests {
    /// What is denied is told to whoever watches.
    @Suite(.needsOverlay, .lab(.reported), .timeLimit(minutes: 10)) struct DenialLogTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        /// One packet, and what the host that denies it has to say of it.
        private struct Case {
            var sender: String
            var source: String
            var destination: String
            var content: OutgoingPacket.Content
            /// reason, direction, priority, interface, resource.
            var report: String
        }

        private static let cases = [
            Case(
                sender: "far", source: "10.0.1.12", destination: "10.0.2.21",
                content: .udp(sourcePort: 40001, destinationPort: 53, payload: [1]),
                report: "aclLine ingress 100 blue-server NetworkACL/blue-back"),
            Case(
                sender: "server", source: "10.0.2.21", destination: "10.0.1.12",
                content: .icmp(type: 8, code: 0, identifier: 40002, sequence: 1),
                report: "aclDefault egress - blue-server NetworkACL/blue-back"),
            Case(
                sender: "near", source: "10.0.1.11", destination: "10.0.2.21",
                content: .tcp(sourcePort: 40003, destinationPort: 22, flags: .syn),
                report: "securityGroups ingress - blue-server NetworkInterface/blue-server"),
            Case(
                sender: "far", source: "10.0.1.12", destination: "10.0.1.13",
                content: .tcp(sourcePort: 40004, destinationPort: 443, flags: .syn),
                report: "securityGroups ingress - blue-shut SecurityGroup/blue-web"),
            Case(
                sender: "shut", source: "10.0.1.13", destination: "10.0.1.11",
                content: .udp(sourcePort: 40005, destinationPort: 53, payload: [1]),
                report: "securityGroups egress - blue-shut SecurityGroup/blue-web"),
            Case(
                sender: "near", source: "10.0.1.11", destination: "10.0.1.13",
                content: .tcp(sourcePort: 40006, destinationPort: 80, flags: .ack),
                report: "noConnection ingress - blue-shut SecurityGroup/blue-web"),
            Case(
                sender: "near", source: "10.0.1.99", destination: "10.0.1.13",
                content: .tcp(sourcePort: 40007, destinationPort: 80, flags: .syn),
                report: "spoofed - - blue-near NetworkInterface/blue-near"),
            Case(
                sender: "near", source: "10.0.1.11", destination: "10.0.1.1",
                content: .tcp(sourcePort: 40008, destinationPort: 22, flags: .syn),
                report: "toHost - - blue-near NetworkInterface/blue-near"),
            // Whose it is shows its MAC address: its source address is nobody's.
            Case(
                sender: "box", source: "192.0.2.7", destination: "10.0.1.11",
                content: .udp(sourcePort: 40009, destinationPort: 53, payload: [1]),
                report: "securityGroups egress - blue-box SecurityGroup/blue-web"),
        ]

        @Test func everyDeniedPacketIsReportedWithItsReason() throws {
            try lab.settle()
            let manifest = "/tmp/\(lab.prefix)denied.json"
            try Scenario.reported.text(prefix: lab.prefix).write(
                toFile: manifest, atomically: true, encoding: .utf8)
            defer { try? FileManager.default.removeItem(atPath: manifest) }
            let watch = try watcher(manifest, "-o", "json", "-c", "\(Self.cases.count)")
            #expect(watch.firstComplaint == "host h1: watching nflog group 5")
            // Green's are denied all the same, and nobody is told.
            for vpc in ["green", "blue"] {
                for wanted in Self.cases {
                    let packet = OutgoingPacket(
                        from: try #require(IPAddress(wanted.source)), to: try #require(IPAddress(wanted.destination)),
                        wanted.content)
                    let own = try #require(
                        Scenario.reported.model.interfaces.first {
                            $0.metadata.name == "\(vpc)-\(wanted.sender)"
                        }?.address)
                    let sender = try PacketSender(in: .named(lab.namespace("\(vpc)-\(wanted.sender)")), as: own)
                    #expect(sender.send(packet) == 0)
                }
            }
            let (lines, rest, status) = watch.finish()
            #expect(status == 0 && rest.isEmpty, "\(rest)")
            let reports = try lines.map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
            let said = reports.map { report in
                let fields = ["reason", "direction", "priority", "interface", "resource"].map { field in
                    report[field].flatMap { $0 is NSNull ? nil : "\($0)" } ?? "-"
                }
                return fields.joined(separator: " ")
            }
            // A packet from another host comes when it comes.
            #expect(said.sorted() == Self.cases.map(\.report).sorted())
            for report in reports {
                let place = report["place"] as? String ?? ""
                #expect(place.hasPrefix(manifest + ":"), "\(report)")
            }
            let first = try #require(reports.first { $0["reason"] as? String == "aclLine" })
            #expect(first["source"] as? String == "10.0.1.12" && first["destination"] as? String == "10.0.2.21")
            #expect(first["protocol"] as? String == "udp" && first["destinationPort"] as? Int == 53)
            #expect(first["prefix"] as? String == "vpcctl acl blue-back in 100")
        }

        private func watcher(_ manifest: String, _ options: String...) throws -> Watcher {
            try Watcher(
                // What does not come is missed in the end, instead of being waited for for ever.
                [
                    "timeout", "-s", "KILL", "120", "ip", "netns", "exec", lab.namespace("h1"),
                    Run.program("vpcctl"),
                    "denied", "--host", "h1", "-f", manifest,
                ] + options)
        }

        /// A flood is reported at the rate that was set, and dropped and counted as a whole.
        @Test func aFloodIsReportedAtItsRate() throws {
            var scenario = Scenario.reported
            scenario.model.vpcs[0].denialLog = DenialLog(group: 5, rate: 10)
            let reports = try lab.become(scenario)
            let changes = try reports.flatMap { try $0.result.get().plan.changes.operations }
            #expect(changes.allSatisfy { $0.object.hasPrefix("rule") }, "\(changes)")
            let counter = "nft -j list counter inet vpcctl denied_by_group | grep -o '\"packets\": [0-9]*'"
            let before = try lab.shell("vpc-h1", counter)
            let manifest = "/tmp/\(lab.prefix)flood.json"
            try scenario.text(prefix: lab.prefix).write(toFile: manifest, atomically: true, encoding: .utf8)
            defer { try? FileManager.default.removeItem(atPath: manifest) }
            let watch = try watcher(manifest, "-o", "name")
            defer { watch.stop() }
            let sender = try PacketSender(in: .named(lab.namespace("blue-near")), as: "10.0.1.11")
            for port in 0..<UInt16(500) {
                let flood = OutgoingPacket(
                    from: "10.0.1.11", to: "10.0.1.13",
                    .udp(sourcePort: 20000 + port, destinationPort: 9, payload: []))
                #expect(sender.send(flood) == 0)
            }
            // Another reason has a rate of its own.
            let other = OutgoingPacket(
                from: "10.0.1.11", to: "10.0.1.1", .tcp(sourcePort: 40008, destinationPort: 22, flags: .syn))
            #expect(sender.send(other) == 0)
            let lines = watch.lines { $0 == "NetworkInterface/blue-near" }
            let reported = lines.count { $0 == "SecurityGroup/blue-web" }
            // The burst, and what came to it while the flood lasted.
            #expect((10..<250).contains(reported) && lines.count == reported + 1, "\(lines.count) \(reported)")
            let counted = { (text: String) in Int(text.filter(\.isNumber)) ?? 0 }
            #expect(counted(try lab.shell("vpc-h1", counter)) - counted(before) == 500)
        }
    }
}

/// A program that runs beside the test until it ends by itself.
private final class Watcher {
    private let program: Program
    private let output: FileHandle
    private let complaints: FileHandle
    /// The first line on standard error: the program is at work.
    private(set) var firstComplaint = ""

    init(_ command: [String]) throws {
        let (outputs, errors) = (try openPipe(), try openPipe())
        (output, complaints) = (outputs.reading, errors.reading)
        program = try Program(
            command, output: outputs.writing.fileDescriptor, error: errors.writing.fileDescriptor)
        try outputs.writing.close()
        try errors.writing.close()
        while let byte = try complaints.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
            firstComplaint.unicodeScalars.append(Unicode.Scalar(byte))
        }
    }

    /// What it prints, up to the line that is waited for, or its end.
    func lines(until isLast: (String) -> Bool) -> [String] {
        var lines: [String] = []
        var line = ""
        while let byte = try? output.read(upToCount: 1)?.first {
            guard byte == UInt8(ascii: "\n") else {
                line.unicodeScalars.append(Unicode.Scalar(byte))
                continue
            }
            lines.append(line)
            if isLast(line) { break }
            line = ""
        }
        return lines
    }

    /// timeout(1) passes it on.
    func stop() {
        program.send(SIGTERM)
        program.wait()
    }

    /// Waits for its end.
    func finish() -> (lines: [String], complaints: String, status: Int32) {
        let data = output.readDataToEndOfFile()
        let rest = complaints.readDataToEndOfFile()
        let status = program.wait()
        return (
            String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init),
            String(decoding: rest, as: UTF8.self), status
        )
    }
}
