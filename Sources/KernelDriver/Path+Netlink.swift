import CLinux
import Glibc
import IPAddressing
import KernelModel
import KernelNames
import Netlink

/// The route to a destination as RTM_NEWROUTE tells of it: devices are still numbers.
struct PathReading: Hashable {
    /// Of all nexthops, also of those that have no carrier now; ascending.
    var devices: [UInt32] = []
    /// RTAX_MTU in bytes; 0: none.
    var mtu: UInt32 = 0
    /// The nexthop object that the route goes by, and if that is a group its members.
    var nexthops: [NexthopID] = []

    /// Nil for what is no way: a local, broadcast or refusing route.
    init?(_ message: borrowing Message) throws(CodecError) {
        guard try message.header(as: rtmsg.self).rtm_type == UInt8(RTN_UNICAST) else { return nil }
        var indexes: Set<UInt32> = []
        var attributes = message.attributes(after: rtmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case RTA_OIF.rawValue: indexes.insert(try attribute.value(as: UInt32.self))
            case RTA_MULTIPATH.rawValue: indexes.formUnion(try Self.devices(ofMultipath: attribute.payload))
            case RTA_NH_ID.rawValue: nexthops = [NexthopID(try attribute.value(as: UInt32.self))]
            case RTA_METRICS.rawValue:
                var metrics = attribute.nested
                while let metric = try metrics.next() {
                    if metric.type == Int(RTAX_MTU) { mtu = try metric.value(as: UInt32.self) }
                }
            default: break
            }
        }
        devices = indexes.sorted()
    }

    /// The devices of `struct rtnexthop`s, each with attributes behind it.
    private static func devices(ofMultipath bytes: RawSpan) throws(CodecError) -> [UInt32] {
        var devices: [UInt32] = []
        var start = 0
        let size = MemoryLayout<rtnexthop>.size
        while start + size <= bytes.byteCount {
            let nexthop = bytes.unsafeLoadUnaligned(fromByteOffset: start, as: rtnexthop.self)
            guard Int(nexthop.rtnh_len) >= size else {
                throw .attributeLength(
                    nexthop.rtnh_len, type: UInt16(RTA_MULTIPATH.rawValue), available: bytes.byteCount - start)
            }
            devices.append(UInt32(bitPattern: nexthop.rtnh_ifindex))
            start += (Int(nexthop.rtnh_len) + 3) & ~3
        }
        return devices
    }
}

extension NetlinkSocket {
    /// The ways to the destinations at `positions`, in their order; nil where there is none.
    ///
    /// The kernel looks each up as for a packet of ours and tells the whole route that it finds, all nexthops of a
    /// multipath route (RTM_F_FIB_MATCH): so many questions as there are destinations, however many routes there are.
    // ip route get fibmatch DESTINATION from SOURCE
    mutating func paths(
        _ request: PathRequest, _ positions: Range<Int>
    ) throws(NetlinkError) -> [PathReading?] {
        var readings = [PathReading?](repeating: nil, count: positions.count)
        var failure: NetlinkError?
        try query(positions.count) { index, writer in
            var header = rtmsg()
            header.rtm_family = request.source.familyNumber
            header.rtm_dst_len = UInt8(request.source.family.bitWidth)
            header.rtm_src_len = header.rtm_dst_len
            header.rtm_flags = UInt32(RTM_F_FIB_MATCH)
            writer.message(MessageType(RTM_GETROUTE), [], header) { message in
                message.put(RTA_DST.rawValue, request.destinations[positions.lowerBound + index])
                message.put(RTA_SRC.rawValue, request.source)
            }
        } each: { index, message throws(CodecError) in
            readings[index] = try PathReading(message)
        } failed: { _, error in
            if !error.isUnreachable { failure = failure ?? error }
        }
        if let failure { throw failure }
        try followNexthops(of: &readings)
        return readings.map { $0?.devices.isEmpty == false ? $0 : nil }
    }

    /// Finds the devices of the ways whose route goes by a nexthop object: the kernel repeats what that is only with
    /// `nexthop_compat_mode`.
    private mutating func followNexthops(of readings: inout [PathReading?]) throws(NetlinkError) {
        let named = Set(readings.lazy.compactMap { $0 }.flatMap(\.nexthops))
        if named.isEmpty { return }
        var nexthops = try nexthops(named)
        let members = Set(nexthops.values.flatMap { $0.members.map(\.id) }).subtracting(nexthops.keys)
        nexthops.merge(try self.nexthops(members)) { first, _ in first }
        for index in readings.indices {
            guard let id = readings[index]?.nexthops.first else { continue }
            let ids = [id] + (nexthops[id]?.members.map(\.id) ?? [])
            readings[index]?.nexthops = ids
            readings[index]?.devices = Set(ids.compactMap { nexthops[$0]?.device }).subtracting([0]).sorted()
        }
    }

    /// Those of these nexthop objects that there are.
    // ip nexthop get id ID
    private mutating func nexthops(_ ids: Set<NexthopID>) throws(NetlinkError) -> [NexthopID: NexthopReading] {
        let ids = ids.sorted()
        var found: [NexthopID: NexthopReading] = [:]
        var failure: NetlinkError?
        try query(ids.count) { index, writer in
            writer.message(MessageType(RTM_GETNEXTHOP), [], nhmsg()) { $0.put(NHA_ID, ids[index].rawValue) }
        } each: { index, message throws(CodecError) in
            found[ids[index]] = try NexthopReading(message)
        } failed: { _, error in
            if !error.isAbsence { failure = failure ?? error }
        }
        if let failure { throw failure }
        return found
    }
}

extension NetlinkError {
    /// How the kernel says that there is no way: no route; an unreachable, prohibiting or blackhole one; a source that is
    /// no address of the namespace.
    fileprivate var isUnreachable: Bool {
        switch errno {
        case ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL: true
        default: false
        }
    }
}

/// What was read of the ways that were asked for.
struct PathReadings {
    var request: PathRequest?
    /// By position of the destination.
    private(set) var readings: [PathReading?] = []
    /// What the ways go by.
    private(set) var devices: Set<UInt32> = []
    private(set) var nexthops: Set<NexthopID> = []

    init(_ request: PathRequest? = nil) { self.request = request }

    /// All positions.
    var all: Range<Int> { 0..<(request?.destinations.count ?? 0) }

    mutating func read(
        _ positions: Range<Int>, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        guard let request else { return }
        if readings.count != all.count { readings = Array(repeating: nil, count: all.count) }
        readings.replaceSubrange(positions, with: try socket.paths(request, positions))
        devices = Set(readings.lazy.compactMap { $0 }.flatMap(\.devices))
        nexthops = Set(readings.lazy.compactMap { $0 }.flatMap(\.nexthops))
    }

    /// As the model sees them. A device that is not known yet will be told of.
    func paths(_ devices: DeviceReadings) -> [Path] {
        guard let request else { return [] }
        return zip(request.destinations, readings).compactMap { destination, reading in
            guard let reading else { return nil }
            let known = reading.devices.compactMap { devices[$0] }
            if known.isEmpty { return nil }
            let mtu = known.compactMap(\.mtu).min() ?? .max
            return Path(
                destination: destination, devices: known.map(\.name).sorted(),
                mtu: reading.mtu == 0 ? mtu : min(mtu, reading.mtu))
        }
    }
}
