import IPAddressing
import TestSupport
import Testing
import VPCModel
import VPCTopology

/// Values that hosts derive on their own and must agree on: they may never change.
@Suite(.timeLimit(minutes: 10)) struct DerivedValueTests {
    @Test(arguments: [
        ("a", "e-a"), ("web1-eth0", "e-web1-eth0"), ("abcdefghijklm", "e-abcdefghijklm"),
        ("abcdefghijklmn", "e-abcdef_dbkpaq"), ("very-long-interface-name-of-a-database", "e-very-l_abw7a6"),
        ("very-long-interface-name-of-a-databasf", "e-very-l_abw56t"),
    ])
    func portNames(_ name: String, _ expected: String) {
        let port = PortName(interfaceName: name)
        #expect(port.rawValue == expected)
        #expect(port.rawValue.utf8.count <= 15)
        #expect(NetworkInterface.Attachment.namespace("n", device: "d").portName(ofInterface: name) == port)
        #expect(NetworkInterface.Attachment.device("tap7").portName(ofInterface: name).rawValue == "tap7")
    }

    @Test(arguments: [("fw-a", 3_036_214_765), ("fw-b", 3_086_547_620)] as [(String, UInt32)])
    func gatewayKeys(_ name: String, _ expected: UInt32) {
        #expect(GatewayKey(interfaceName: name).rawValue == expected)
        #expect(GatewayKey(interfaceName: name).rawValue >= 1 << 31)
    }

    @Test(
        arguments: [
            (1, "10.0.1.10", "02:01:0a:00:01:0a"), (101, "10.0.1.10", "02:65:0a:00:01:0a"),
            (255, "0.0.0.0", "02:ff:00:00:00:00"),
            (256, "255.255.255.255", "02:01:ff:ff:ff:ff"), (2_147_483_647, "94.0.0.1", "02:7f:5e:00:00:01"),
        ] as [(UInt32, String, String)])
    func macs(_ vpc: UInt32, _ address: String, _ expected: String) throws {
        let mac = MACAddress(vpc: try #require(VPCID(vpc)), address: try #require(IPAddress(address)))
        #expect(mac.description == expected)
        #expect(mac != .gateway && !mac.isMulticast)
    }

    @Test func macsDifferWithinAVPC() throws {
        let vpc = try #require(VPCID(7))
        let v6 = IPAddress(family: .ipv6, high: 0x2001_0DB8_0000_0000, low: 0)
        let addresses = (0..<10_000).flatMap {
            [IPAddress(v4: UInt32($0) << 8), v6.advanced(by: UInt64($0))].compactMap(\.self)
        }
        let macs = Set(addresses.map { MACAddress(vpc: vpc, address: $0) })
        // IPv4's are unique, IPv6's are hashes of 32 bits.
        #expect(macs.count >= addresses.count - 1)
        #expect(macs.allSatisfy { $0.octets[0] == 2 && $0.octets[1] == 7 })
    }
}
