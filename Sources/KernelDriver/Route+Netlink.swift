import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension Route {
    /// Writes RTM_NEWROUTE. Allocates nothing: a million of these are written in one go.
    ///
    /// - Parameter index: The device's number, 0 for a route without a device of its own.
    @inline(__always)
    func encode(_ flags: MessageFlags, index: UInt32, _ owner: RouteProtocol, into writer: inout MessageWriter) {
        var header = header(owner)
        header.rtm_scope = scope.rawValue
        writer.message(MessageType(RTM_NEWROUTE), flags, header) { message in
            putKey(into: &message)
            if nexthop != .none { message.put(RTA_NH_ID.rawValue, nexthop.rawValue) }
            if index != 0 { message.put(RTA_OIF.rawValue, index) }
            if let gateway { message.put(RTA_GATEWAY.rawValue, gateway) }
        }
    }

    /// Writes RTM_DELROUTE.
    ///
    /// By the kernel's key, the protocol and the kind. Not by the nexthop: the kernel refuses what it reports itself.
    /// Protocol and kind guard what is not meant: to the kernel a metric of 0 means any, and in the absence of the route
    /// it would take the one behind it.
    @inline(__always)
    func encodeDeletion(_ owner: RouteProtocol, into writer: inout MessageWriter) {
        var header = header(owner)
        header.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)
        writer.message(MessageType(RTM_DELROUTE), [], header) { message in
            putKey(into: &message)
        }
    }

    @inline(__always)
    private func header(_ owner: RouteProtocol) -> rtmsg {
        var header = rtmsg()
        header.rtm_family = key.destination.family.number
        header.rtm_dst_len = key.destination.length
        header.rtm_tos = key.tos
        header.rtm_protocol = owner.rawValue
        header.rtm_type = kind.rawValue
        return header
    }

    @inline(__always)
    private func putKey(into message: inout MessageWriter) {
        message.put(RTA_TABLE.rawValue, key.table.rawValue)
        if key.destination.length > 0 { message.put(RTA_DST.rawValue, key.destination.address) }
        if key.metric != 0 { message.put(RTA_PRIORITY.rawValue, key.metric) }
    }

    /// Reads RTM_NEWROUTE. Allocates nothing.
    @inline(__always)
    init(_ message: borrowing Message, _ names: DeviceNames) throws(CodecError) {
        let header = try message.header(as: rtmsg.self)
        var table = UInt32(header.rtm_table)
        let isIPv4 = header.rtm_family == UInt8(AF_INET)
        var destination = isIPv4 ? IPAddress.anyIPv4 : IPAddress(family: .ipv6, high: 0, low: 0)
        var metric: UInt32 = 0
        var nexthop: UInt32 = 0
        var index: UInt32 = 0
        var gateway: IPAddress?
        var isBeyondModel = false
        var attributes = message.attributes(after: rtmsg.self)
        attributes: while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case RTA_TABLE.rawValue: table = try attribute.value(as: UInt32.self)
            case RTA_DST.rawValue: destination = try attribute.address()
            case RTA_PRIORITY.rawValue: metric = try attribute.value(as: UInt32.self)
            case RTA_NH_ID.rawValue:
                nexthop = try attribute.value(as: UInt32.self)
                // What is behind it only repeats what the nexthop object is (fib_dump_info, net/ipv4/fib_semantics.c).
                if nexthop != 0 { break attributes }
            case RTA_OIF.rawValue: index = try attribute.value(as: UInt32.self)
            case RTA_GATEWAY.rawValue: gateway = try attribute.address()
            case RTA_MULTIPATH.rawValue, RTA_ENCAP.rawValue, RTA_VIA.rawValue, RTA_METRICS.rawValue,
                RTA_PREFSRC.rawValue, RTA_FLOW.rawValue:
                isBeyondModel = true
            default: break
            }
        }
        let bitWidth = destination.family.bitWidth
        let length = Int(header.rtm_dst_len)
        let prefix = length < bitWidth ? IPPrefix(containing: destination, length: length) : IPPrefix(destination)
        let key = Key(table: TableID(table), destination: prefix, tos: header.rtm_tos, metric: metric)
        if let gateway, !Route.holds(gateway, to: prefix) { isBeyondModel = true }
        // IPv6's are told with the device `lo`.
        if header.rtm_type != Kind.unicast.rawValue { index = 0 }
        guard !isBeyondModel, let kind = Kind(rawValue: header.rtm_type), let scope = Scope(rawValue: header.rtm_scope)
        else {
            // Somebody made ours into something the model has no words for. It is told as a unicast route to
            // nowhere, which nobody can want, so that it is put right.
            self.init(key: key, kind: .unicast, scope: .universe, nexthop: .none, device: .none, gateway: nil)
            return
        }
        self.init(
            key: key, kind: kind, scope: scope, nexthop: NexthopID(nexthop), device: index == 0 ? .none : names[index],
            gateway: gateway)
    }
}

extension NetlinkSocket {
    /// The owner's routes of a family, sorted by key. The kernel filters.
    ///
    /// - Parameters:
    ///   - table: Only those of this table; none where there is no such table.
    ///   - device: Only those that leave by the device with this number; none where there is no such device.
    ///   - likely: How many there may be.
    // ip route show table all|TABLE proto OWNER [dev DEVICE]
    mutating func routes(
        _ owner: RouteProtocol, _ names: DeviceNames, family: AddressFamily = .ipv4, table: TableID? = nil,
        device: UInt32? = nil, likely: Int = 0
    ) throws(NetlinkError) -> [Route] {
        var header = rtmsg()
        header.rtm_family = family.number
        header.rtm_protocol = owner.rawValue
        do throws(NetlinkError) {
            var list = try dump(MessageType(RTM_GETROUTE), header, into: [Route](capacity: likely)) { message in
                if let table { message.put(RTA_TABLE.rawValue, table.rawValue) }
                if let device { message.put(RTA_OIF.rawValue, device) }
            } each: { list, message throws(CodecError) in
                guard message.type == MessageType(RTM_NEWROUTE) else { return }
                list.append(try Route(message, names))
            }
            list.sortByKey()
            return list
        } catch {
            // "FIB table does not exist"; no such device.
            if table != nil || device != nil, error.isAbsence { return [] }
            throw error
        }
    }

    /// Whether anybody has an IPv4 route in the table.
    mutating func hasRoutes(_ table: TableID) throws(NetlinkError) -> Bool {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        do {
            return try dump(MessageType(RTM_GETROUTE), header, into: false) { message in
                message.put(RTA_TABLE.rawValue, table.rawValue)
            } each: { found, _ throws(CodecError) in
                found = true
            }
        } catch {
            // "FIB table does not exist"
            if error.isAbsence { return false }
            throw error
        }
    }
}

extension [Route] {
    fileprivate init(capacity: Int) {
        self.init()
        reserveCapacity(capacity)
    }

    /// The kernel lists tables in the order of their hash, and inside a table nearly in the order of the keys (longer
    /// prefixes of one address first): only what is out of order is moved.
    fileprivate mutating func sortByKey() {
        for index in indices.dropFirst() where self[index].key < self[index - 1].key {
            sort { $0.key < $1.key }
            return
        }
    }
}
