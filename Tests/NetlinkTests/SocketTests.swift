import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Netlink

/// The messages that the tests need. The real encoders are elsewhere; these are written down a second time on purpose.
extension NetlinkSocket {
    /// A bridge is the one kind of device without parameters that every kernel here has.
    mutating func addBridge(_ name: String, group: UInt32 = 0) throws(NetlinkError) {
        try modify { writer in
            writer.message(MessageType(RTM_NEWLINK), [.create, .exclusive], ifinfomsg()) { message in
                message.put(IFLA_IFNAME, name)
                message.put(IFLA_GROUP, group)
                message.nested(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, "bridge") }
            }
        }
    }

    /// A veth pair NAME and NAME-peer, both up, so that there is carrier.
    mutating func addPair(_ name: String) throws(NetlinkError) {
        try modify { writer in
            writer.message(MessageType(RTM_NEWLINK), [.create, .exclusive], Self.up) { message in
                message.put(IFLA_IFNAME, name)
                message.nested(IFLA_LINKINFO) { information in
                    information.put(IFLA_INFO_KIND, "veth")
                    information.nested(IFLA_INFO_DATA) { data in
                        data.nested(VETH_INFO_PEER) { peer in
                            // Not up yet: ENOTCONN, it has no peer at that moment.
                            peer.put(structure: ifinfomsg())
                            peer.put(IFLA_IFNAME, "\(name)-peer")
                        }
                    }
                }
            }
            writer.message(MessageType(RTM_NEWLINK), [], Self.up) { $0.put(IFLA_IFNAME, "\(name)-peer") }
        }
    }

    private static var up: ifinfomsg {
        var header = ifinfomsg()
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        return header
    }

    mutating func index(of name: String) throws -> Int32 {
        var index: Int32 = 0
        try query { writer in
            writer.message(MessageType(RTM_GETLINK), [], ifinfomsg()) { $0.put(IFLA_IFNAME, name) }
        } each: { message throws(CodecError) in
            index = try message.header(as: ifinfomsg.self).ifi_index
        }
        return index
    }

    /// Routes 10.0.0.0/32 and on, out of a device.
    mutating func addRoutes(
        _ count: Int, device: Int32, table: UInt32 = 100, flags: MessageFlags = [.create, .exclusive],
        limits: BatchLimits = BatchLimits(), failed: (Int, NetlinkError) -> Void = { _, _ in }
    ) throws(NetlinkError) -> BatchOutcome {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        header.rtm_dst_len = 32
        header.rtm_protocol = 99
        header.rtm_scope = UInt8(RT_SCOPE_LINK.rawValue)
        header.rtm_type = UInt8(RTN_UNICAST)
        return try commit(count, limits: limits) { index, writer in
            writer.message(MessageType(RTM_NEWROUTE), flags, header) { message in
                message.put(RTA_TABLE.rawValue, table)
                message.put(RTA_DST.rawValue, BigEndian(0x0A00_0000 + UInt32(index)))
                message.put(RTA_OIF.rawValue, device)
            }
        } failed: { index, error in
            failed(index, error)
        }
    }

    mutating func countRoutes(table: UInt32) throws(NetlinkError) -> Int {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        return try dump(MessageType(RTM_GETROUTE), header, into: 0) { writer in
            writer.put(RTA_TABLE.rawValue, table)
        } each: { count, message throws(CodecError) in
            _ = try message.header(as: rtmsg.self)
            count += 1
        }
    }
}

@Suite(.timeLimit(minutes: 10)) struct SocketTests {
    @Test func linkIsMadeAndSeenByIP() throws {
        try withScratchNamespace { name, namespace in
            var socket = try NetlinkSocket(in: namespace)
            try socket.addBridge("d0", group: 77)
            let link = try #require(try ip(name, "link", "show", "d0").first)
            #expect(link["group"] as? String == "77")
            #expect(try socket.index(of: "d0") == Int32(try #require(link["ifindex"] as? Int)))
            #expect(socket.modificationCount == 1)
        }
    }

    @Test func errorsCarryTheKernelsWords() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            try socket.addPair("d0")
            let exists = #expect(throws: NetlinkError.self) { try socket.addBridge("d0") }
            #expect(exists?.errno == EEXIST)
            #expect(exists?.operation == "RTM_NEWLINK")
            #expect(exists?.description.contains("EEXIST") == true)

            let unknown = #expect(throws: NetlinkError.self) {
                var header = rtmsg()
                header.rtm_family = UInt8(AF_INET)
                header.rtm_dst_len = 32
                header.rtm_type = UInt8(RTN_UNICAST)
                try socket.modify { writer in
                    writer.message(MessageType(RTM_NEWROUTE), [.create], header) { message in
                        message.put(RTA_DST.rawValue, BigEndian(UInt32(0x0A00_0001)))
                        message.put(RTA_NH_ID.rawValue, UInt32(4711))
                    }
                }
            }
            #expect(unknown?.description == "RTM_NEWROUTE: Nexthop id does not exist (EINVAL)")

            // The kernel points at the attribute it does not like: an u8 where it wants an u32.
            let short = #expect(throws: NetlinkError.self) {
                try socket.modify { writer in
                    writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
                        message.put(IFLA_IFNAME, "d0")
                        message.nested(IFLA_AF_SPEC) { specific in
                            specific.nested(AF_INET6) { $0.put(IFLA_INET6_ADDR_GEN_MODE, UInt8(200)) }
                        }
                    }
                }
            }
            #expect(short?.attributeOffset != nil || short?.errno == EINVAL)
            let mtu = #expect(throws: NetlinkError.self) {
                try socket.modify { writer in
                    writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
                        message.put(IFLA_IFNAME, "d0")
                        message.put(IFLA_MTU, UInt8(200))
                    }
                }
            }
            #expect(mtu?.attribute == "IFLA_MTU")
        }
    }

    @Test func everyFailureOfABatchFindsItsChange() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            try socket.addPair("d0")
            let device = try socket.index(of: "d0")
            let first = try socket.addRoutes(1000, device: device)
            #expect(first.messages == 1000)
            #expect(first.failures == 0)
            #expect(try socket.countRoutes(table: 100) == 1000)

            // 2000 more, of which the first 1000 are there already.
            var failed: [Int] = []
            let second = try socket.addRoutes(2000, device: device) { index, error in
                failed.append(index)
                #expect(error.errno == EEXIST)
                #expect(error.operation == "RTM_NEWROUTE")
            }
            #expect(failed == Array(0..<1000))
            #expect(second.failures == 1000)
            #expect(!second.repliesLost)
            #expect(try socket.countRoutes(table: 100) == 2000)
            #expect(socket.modificationCount == 3002)
        }
    }

    @Test func aChangeOfSeveralMessagesFailsAsOne() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            var failed: [Int: Int] = [:]
            let outcome = try socket.commit(3) { index, writer in
                // Change 1 has two messages, the first of which fails; the last one of all succeeds.
                for part in 0..<2 {
                    writer.message(MessageType(RTM_NEWLINK), [.create, .exclusive], ifinfomsg()) { message in
                        message.put(IFLA_IFNAME, index == 1 && part == 0 ? "lo" : "d\(index)-\(part)")
                        message.nested(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, "bridge") }
                    }
                }
            } failed: { index, _ in
                failed[index, default: 0] += 1
            }
            #expect(outcome.messages == 6)
            #expect(failed == [1: 1])
        }
    }

    @Test func aMessageThatCannotBeEncodedFailsAlone() throws {
        try withScratchNamespace { name, namespace in
            var socket = try NetlinkSocket(in: namespace)
            var failed: [Int: NetlinkError] = [:]
            _ = try socket.commit(3) { index, writer in
                writer.message(MessageType(RTM_NEWLINK), [.create, .exclusive], ifinfomsg()) { message in
                    message.put(IFLA_IFNAME, "d\(index)")
                    if index == 1 { message.put(IFLA_IFALIAS, String(repeating: "x", count: 70_000)) }
                    message.nested(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, "bridge") }
                }
            } failed: { index, error in
                failed[index] = error
            }
            #expect(failed.keys.sorted() == [1])
            #expect(failed[1]?.errno == EMSGSIZE)
            #expect(try devices(name) == ["d0", "d2"])
        }
    }

    @Test func repliesThatDoNotFitAreAnOutcome() throws {
        try withScratchNamespace { _, namespace in
            // The smallest queue there is holds a few replies; 256 failures do not fit.
            var socket = try NetlinkSocket(in: namespace, receiveBuffer: 2048)
            try socket.addPair("d0")
            let device = try socket.index(of: "d0")
            _ = try socket.addRoutes(1000, device: device)
            let outcome = try socket.addRoutes(1000, device: device)
            #expect(outcome.repliesLost)
            #expect(outcome.failures < 1000)
            // The socket is as good as before.
            #expect(try socket.countRoutes(table: 100) == 1000)
            #expect(try !socket.addRoutes(1, device: device).repliesLost)
        }
    }

    @Test func strictChecksRejectWhatTheKernelCannotFilterBy() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            let refused = #expect(throws: NetlinkError.self) {
                var header = rtmsg()
                header.rtm_family = UInt8(AF_INET)
                header.rtm_dst_len = 24
                _ = try socket.dump(MessageType(RTM_GETROUTE), header, into: 0) { _, _ throws(CodecError) in }
            }
            #expect(refused?.errno == EINVAL)
            #expect(refused?.message != nil)
            // A table that was never used is not an empty table to a strict kernel.
            let missing = #expect(throws: NetlinkError.self) { try socket.countRoutes(table: 100) }
            #expect(missing?.errno == ENOENT)
        }
    }

    @Test func monitorsHearOfChangesAndOverruns() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            var monitor = try NetlinkMonitor(groups: [.link], in: namespace)
            #expect(try monitor.receive(timeout: .zero) { _ throws(CodecError) in } == .timedOut)
            #expect(try monitor.receive(timeout: .milliseconds(1)) { _ throws(CodecError) in } == .timedOut)
            try socket.addBridge("d0")
            var names: [String] = []
            let outcome = try monitor.receive(timeout: .seconds(5)) { message throws(CodecError) in
                #expect(message.type == MessageType(RTM_NEWLINK))
                var attributes = message.attributes(after: ifinfomsg.self)
                while let attribute = try attributes.next() {
                    if attribute.type == IFLA_IFNAME { names.append(attribute.string()) }
                }
            }
            #expect(outcome == .messages(1))
            #expect(names == ["d0"])

            var small = try NetlinkMonitor(groups: [.ipv4Route], in: namespace, receiveBuffer: 2048)
            try socket.addPair("v0")
            _ = try socket.addRoutes(1000, device: try socket.index(of: "v0"))
            var heard = 0
            var overruns = 0
            reading: while true {
                switch try small.receive(timeout: .zero, each: { _ throws(CodecError) in heard += 1 }) {
                case .messages: break
                case .overrun: overruns += 1
                case .timedOut: break reading
                }
            }
            #expect(overruns == 1)
            #expect(heard < 1000)
        }
    }

    /// A dump of a table that another thread keeps changing. Nexthops are kept in a tree with a change counter, which
    /// the kernel compares: some of the dumps are reported as interrupted and repeated.
    @Test func dumpsThatAreInterruptedAreRepeated() throws {
        try withScratchNamespace { _, namespace in
            var socket = try NetlinkSocket(in: namespace)
            try socket.addPair("d0")
            let device = try socket.index(of: "d0")
            let batch = try socket.nexthops(MessageType(RTM_NEWNEXTHOP), 1...4000, device: device)
            #expect(batch.failures == 0)

            let stop = Atomic<Bool>(false)
            let writing = try Writer {
                var other = try NetlinkSocket(in: namespace)
                while !stop.load(ordering: .acquiring) {
                    _ = try other.nexthops(MessageType(RTM_NEWNEXTHOP), 5000...5020, device: device)
                    _ = try other.nexthops(MessageType(RTM_DELNEXTHOP), 5000...5020, device: device)
                }
            }
            var interrupted = 0
            for _ in 0..<30 {
                do {
                    let ids = try socket.dump(MessageType(RTM_GETNEXTHOP), nhmsg(), into: [UInt32](), attempts: 1) {
                        ids, message throws(CodecError) in
                        var attributes = message.attributes(after: nhmsg.self)
                        while let attribute = try attributes.next() {
                            if attribute.type == NHA_ID { ids.append(try attribute.value(as: UInt32.self)) }
                        }
                    }
                    #expect(ids.filter { $0 <= 4000 } == Array(1...4000))
                } catch let error as NetlinkError {
                    #expect(error.errno == EINTR)
                    interrupted += 1
                }
            }
            stop.store(true, ordering: .releasing)
            try writing.join()
            print("interrupted dumps: \(interrupted) of 30")
            // The socket is usable and the next undisturbed dump is complete.
            let count = try socket.dump(MessageType(RTM_GETNEXTHOP), nhmsg(), into: 0) { count, _ throws(CodecError) in
                count += 1
            }
            #expect(count == 4000)
        }
    }
}

extension NetlinkSocket {
    fileprivate mutating func nexthops(
        _ type: MessageType, _ ids: ClosedRange<UInt32>, device: Int32
    ) throws(NetlinkError) -> BatchOutcome {
        var header = nhmsg()
        let new = type == MessageType(RTM_NEWNEXTHOP)
        if new { header.nh_family = UInt8(AF_INET) }
        return try commit(ids.count) { index, writer in
            writer.message(type, new ? [.create, .replace] : [], header) { message in
                message.put(NHA_ID, ids.lowerBound + UInt32(index))
                if new { message.put(NHA_OIF, device) }
            }
        } failed: { _, _ in
        }
    }
}

/// A thread whose end, and error, one can wait for.
final class Writer: @unchecked Sendable {
    private var thread = pthread_t()
    private var error: (any Error)?
    private let body: @Sendable () throws -> Void

    init(_ body: @escaping @Sendable () throws -> Void) throws {
        self.body = body
        let start = Unmanaged.passRetained(self)
        let failure = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let writer = Unmanaged<Writer>.fromOpaque(argument).takeRetainedValue()
                do { try writer.body() } catch { writer.error = error }
                return nil
            }, start.toOpaque())
        guard failure == 0 else {
            start.release()
            throw CommandFailure(description: "pthread_create: \(failure)")
        }
    }

    func join() throws {
        pthread_join(thread, nil)
        if let error { throw error }
    }
}
