import CLinux
import Glibc
import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing

@testable import KernelDriver
@testable import Netlink

/// The bytes of every message, put together by hand from the kernel's headers: the only check of the kinds that the
/// running kernel may lack.
@Suite(.timeLimit(minutes: 10)) struct EncodingTests {
    private let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "test:")

    private func bytes(_ encode: (inout MessageWriter) throws -> Void) rethrows -> [UInt8] {
        var writer = MessageWriter()
        writer.sequence = 9
        try encode(&writer)
        return writer.bytes.withUnsafeBytes { Array($0) }
    }

    private func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private func task(_ link: Link, settings: LinkSettings = .all, isNew: Bool = true) throws -> LinkTask {
        var task = LinkTask(change: 0, index: 0x3B9A_CA01, link: link, isNew: isNew, settings: settings)
        let readings = [(2, "u0"), (3, "v1")].map { index, name in
            var reading = LinkReading()
            reading.index = UInt32(index)
            reading.name = InterfaceName(name) ?? .none
            return reading
        }
        #expect(task.resolve(DeviceTable(readings, owner)) == nil)
        return task
    }

    @Test func routes() throws {
        let key = Route.Key(table: TableID(1_000_001), destination: try "10.0.1.11/32".prefix)
        #expect(
            bytes {
                Route.via(NexthopID(7), key).encode([.create, .exclusive], index: 0, RouteProtocol(118), into: &$0)
            }
                == hex(
                    """
                    34000000 1800 0106 09000000 00000000
                    02 20 00 00 00 76 00 01 00000000
                    0800 0f00 41420f00
                    0800 0100 0a00010b
                    0800 1e00 07000000
                    """))
        let last = Route.Key(table: TableID(1_000_001), destination: .defaultIPv4, metric: .max)
        #expect(
            bytes { Route.unreachable(last).encode([.create, .replace], index: 0, RouteProtocol(118), into: &$0) }
                == hex(
                    """
                    2c000000 1800 0105 09000000 00000000
                    02 00 00 00 00 76 00 07 00000000
                    0800 0f00 41420f00
                    0800 0600 ffffffff
                    """))
        #expect(
            bytes { Route.link(.none, key).encode([.create, .exclusive], index: 5, RouteProtocol(118), into: &$0) }
                == hex(
                    """
                    34000000 1800 0106 09000000 00000000
                    02 20 00 00 00 76 fd 01 00000000
                    0800 0f00 41420f00
                    0800 0100 0a00010b
                    0800 0400 05000000
                    """))
        // Not the nexthop; the scope is "nowhere", which is any.
        #expect(
            bytes { Route.via(NexthopID(7), key).encodeDeletion(RouteProtocol(118), into: &$0) }
                == hex(
                    """
                    2c000000 1900 0100 09000000 00000000
                    02 20 00 00 00 76 ff 01 00000000
                    0800 0f00 41420f00
                    0800 0100 0a00010b
                    """))
    }

    @Test func routesOfIPv6() throws {
        let key = Route.Key(table: TableID(1_000_001), destination: try "2001:db8::b/128".prefix)
        let route = Route.gateway(try "fe80::1".address, device: .none, key)
        #expect(
            bytes { route.encode([.create, .replace], index: 5, RouteProtocol(118), into: &$0) }
                == hex(
                    """
                    5c000000 1800 0105 09000000 00000000
                    0a 80 00 00 00 76 00 01 00000000
                    0800 0f00 41420f00
                    1400 0100 20010db8 00000000 00000000 0000000b
                    0800 0600 00040000
                    0800 0400 05000000
                    1400 0500 fe800000 00000000 00000000 00000001
                    """))
    }

    @Test func nexthops() throws {
        let tunnel = GREEncapsulation(
            key: 0x8000_0001, source: try "172.31.0.1".address, destination: try "172.31.0.2".address, ttl: 64)
        #expect(
            bytes {
                Nexthop(id: NexthopID(7), body: .encapsulate(tunnel, device: .none)).encode(
                    [.create, .exclusive], index: 4, owner, into: &$0)
            }
                == hex(
                    """
                    68000000 6800 0106 09000000 00000000
                    02 00 76 00 04000000
                    0800 0100 07000000
                    0800 0500 04000000
                    0800 0600 ac1f0002
                    0600 0700 0200 0000
                    3000 0880
                      0c00 0100 0000000080000001
                      0800 0200 ac1f0002
                      0800 0300 ac1f0001
                      0500 0400 40 000000
                      0600 0600 0104 0000
                    """))
        #expect(
            bytes {
                Nexthop(id: NexthopID(8), body: .gateway(IPAddress(v4: 0x0A00_0915), device: .none)).encode(
                    [.create, .replace], index: 4, owner, into: &$0)
            }
                == hex(
                    """
                    30000000 6800 0105 09000000 00000000
                    02 00 76 00 04000000
                    0800 0100 08000000
                    0800 0500 04000000
                    0800 0600 0a000915
                    """))
        var wide = tunnel
        wide.payload = .ipv6
        #expect(
            bytes {
                Nexthop(id: NexthopID(7), body: .encapsulate(wide, device: .none)).encode(
                    [.create, .exclusive], index: 4, owner, into: &$0)
            }
                == hex(
                    """
                    60000000 6800 0106 09000000 00000000
                    0a 00 76 00 00000000
                    0800 0100 07000000
                    0800 0500 04000000
                    0600 0700 0200 0000
                    3000 0880
                      0c00 0100 0000000080000001
                      0800 0200 ac1f0002
                      0800 0300 ac1f0001
                      0500 0400 40 000000
                      0600 0600 0104 0000
                    """))
        #expect(
            bytes {
                Nexthop(id: NexthopID(8), body: .gateway(try! "2001:db8::5".address, device: .none)).encode(
                    [.create, .replace], index: 4, owner, into: &$0)
            }
                == hex(
                    """
                    3c000000 6800 0105 09000000 00000000
                    0a 00 76 00 04000000
                    0800 0100 08000000
                    0800 0500 04000000
                    1400 0600 20010db8 00000000 00000000 00000005
                    """))
        let group = NexthopGroup(
            members: [.init(id: NexthopID(7), weight: 1), .init(id: NexthopID(8), weight: 256)],
            algorithm: .resilient(buckets: 256, idleTimer: 6000))
        #expect(
            bytes {
                Nexthop(id: NexthopID(9), body: .group(group)).encode(
                    [.create, .exclusive], index: 0, owner, into: &$0)
            }
                == hex(
                    """
                    50000000 6800 0106 09000000 00000000
                    00 00 76 00 00000000
                    0800 0100 09000000
                    1400 0200 07000000 00 00 0000 08000000 ff 00 0000
                    0600 0300 0100 0000
                    1400 0c80
                      0600 0100 0001 0000
                      0800 0200 70170000
                    """))
        #expect(
            bytes { Nexthop(id: NexthopID(9), body: .group(group)).encodeDeletion(into: &$0) }
                == hex("20000000 6900 0100 09000000 00000000 00 00 00 00 00000000 0800 0100 09000000"))
    }

    @Test func addressesAndNeighbors() throws {
        let address = Address(device: .none, address: try "10.0.1.1".address, prefixLength: 32)
        #expect(
            bytes {
                address.encode(MessageType(RTM_NEWADDR), [.create, .exclusive], index: 4, owner, into: &$0)
            }
                == hex(
                    """
                    30000000 1400 0106 09000000 00000000
                    02 20 00 00 04000000
                    0800 0200 0a000101
                    0800 0100 0a000101
                    0500 0b00 76 000000
                    """))
        let neighbor = Neighbor(
            device: .none, address: try "10.0.1.10".address, hardwareAddress: try "02:00:0a:00:01:0a".mac)
        #expect(
            bytes { neighbor.encode(MessageType(RTM_DELNEIGH), [], index: 4, owner, into: &$0) }
                == hex(
                    """
                    24000000 1d00 0100 09000000 00000000
                    02 00 0000 04000000 8000 00 00
                    0800 0100 0a00010a
                    """))
        #expect(
            bytes { neighbor.encode(MessageType(RTM_NEWNEIGH), [.create, .replace], index: 4, owner, into: &$0) }
                == hex(
                    """
                    38000000 1c00 0105 09000000 00000000
                    02 00 0000 04000000 8000 00 00
                    0800 0100 0a00010a
                    0a00 0200 02000a00010a 0000
                    0500 0c00 76 000000
                    """))
    }

    @Test func rules() throws {
        let closed = Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: RouteProtocol(118))
        #expect(
            bytes { closed.encode(MessageType(RTM_NEWRULE), [.create, .exclusive], into: &$0) }
                == hex(
                    """
                    34000000 2000 0106 09000000 00000000
                    02 00 00 00 00 00 00 07 00000000
                    0800 0600 e9030000
                    0500 1500 76 000000
                    0500 1300 01 000000
                    """))
        let source = Rule(
            priority: 10_000, source: try "10.0.1.0/24".prefix, action: .lookup(TableID(1_000_001)),
            routeProtocol: RouteProtocol(118))
        #expect(
            bytes { source.encode(MessageType(RTM_DELRULE), [], into: &$0) }
                == hex(
                    """
                    3c000000 2100 0100 09000000 00000000
                    02 00 18 00 00 00 00 01 00000000
                    0800 0600 10270000
                    0500 1500 76 000000
                    0800 0f00 41420f00
                    0800 0200 0a000100
                    """))
    }

    @Test func tunnels() throws {
        let tunnel = GRETunnel(local: try "172.31.0.1".address, key: 101, ttl: 64, underlay: try "u0".device)
        let link = Link(
            name: try "g101".device, kind: .gre(tunnel), alias: "test:x", master: try "v1".device, group: 20, mtu: 1472)
        #expect(
            bytes { try? task(link).encodeCreation(into: &$0) }
                == hex(
                    """
                    84000000 1000 0106 09000000 00000000
                    00 00 0000 01ca9a3b 00000000 00000000
                    0900 0300 6731303100 000000
                    0800 0400 c0050000
                    0800 1b00 14000000
                    4800 1280
                      0800 0100 67726500
                      3c00 0280
                        0800 0100 02000000
                        0600 0200 2000 0000
                        0600 0300 2000 0000
                        0800 0400 00000065
                        0800 0500 00000065
                        0800 0600 ac1f0001
                        0500 0800 40 000000
                    """))
        let external = Link(name: try "gx".device, kind: .greExternal(underlay: try "u0".device), group: 21)
        #expect(
            bytes { try? task(external).encodeCreation(into: &$0) }
                == hex(
                    """
                    4c000000 1000 0106 09000000 00000000
                    00 00 0000 01ca9a3b 00000000 00000000
                    0700 0300 677800 00
                    0800 1b00 15000000
                    1c00 1280
                      0800 0100 67726500
                      1000 0280
                        0800 0100 02000000
                        0400 1200
                    """))
        let vrf = Link(name: try "v9".device, kind: .vrf(table: TableID(1_000_001)), group: 30)
        #expect(
            bytes { try? task(vrf).encodeCreation(into: &$0) }
                == hex(
                    """
                    48000000 1000 0106 09000000 00000000
                    00 00 0000 01ca9a3b 00000000 00000000
                    0700 0300 763900 00
                    0800 1b00 1e000000
                    1800 1280
                      0800 0100 76726600
                      0c00 0280
                        0800 0100 41420f00
                    """))
    }

    @Test func settings() throws {
        let link = Link(
            name: try "p1".device, kind: .dummy, alias: "test:x", master: try "v1".device,
            ipv4: IPv4DeviceConfiguration(proxyARP: true, reversePathFilter: 2), proxyDelay: 0)
        #expect(
            bytes { try? task(link).encodeSettings(into: &$0) }
                == hex(
                    """
                    b0000000 1300 0100 09000000 00000000
                    00 00 0000 01ca9a3b 00000000 00000000
                    0b00 1400 746573743a7800 00
                    0800 0a00 03000000
                    7c00 1a80
                      7800 0280
                        7400 0180
                          0800 0100 00000000
                          0800 0300 01000000
                          0800 1900 00000000
                          0800 0e00 00000000
                          0800 1700 00000000
                          0800 0800 02000000
                          0800 1300 00000000
                          0800 0d00 00000000
                          0800 1500 00000000
                          0800 0600 00000000
                          0800 0400 00000000
                          0800 0900 00000000
                          0800 1a00 00000000
                          0800 0c00 00000000
                    3c000000 4300 0100 09000000 00000000
                    02 00 0000
                    0e00 0100 6172705f636163686500 0000
                    1800 0680
                      0800 0100 01ca9a3b
                      0c00 0d00 0000000000000000
                    """))
        #expect(
            bytes { try? task(link).encodeState(isUp: true, into: &$0) }
                == hex("20000000 1300 0100 09000000 00000000 00 00 0000 01ca9a3b 01000000 01000000"))
        // Only what differs; a port that loses its master is told so.
        var free = link
        free.master = nil
        #expect(
            bytes { try? task(free, settings: [.master, .group], isNew: false).encodeSettings(into: &$0) }
                == hex(
                    """
                    30000000 1300 0100 09000000 00000000
                    00 00 0000 01ca9a3b 00000000 00000000
                    0800 1b00 00000000
                    0800 0a00 00000000
                    """))
    }
}
