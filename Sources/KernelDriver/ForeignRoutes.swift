import CLinux
import IPAddressing
import KernelNames
import Netlink

extension NetlinkSocket {
    /// Of these devices those by which routes or nexthop objects of others than `owner` and the kernel leave, of IPv4 or
    /// IPv6 and in any table, each with one of them.
    mutating func foreignRoutes(
        by devices: [InterfaceName], _ owner: RouteProtocol
    ) throws(NetlinkError) -> [InterfaceName: String] {
        var names: [UInt32: InterfaceName] = [:]
        for name in devices { if let index = try link(named: name)?.index { names[index] = name } }
        var found: [InterfaceName: String] = [:]
        for family in [AF_INET, AF_INET6] {
            // The kernel looks at all of its routes for each list.
            if names.count > Self.singleRouteLists {
                try addForeignRoutes(family, nil, names, owner, &found)
            } else {
                for index in names.keys.sorted() { try addForeignRoutes(family, index, names, owner, &found) }
            }
        }
        // With nexthop_compat_mode 0 a route by one names no device.
        for nexthop in try nexthops() {
            guard let name = names[nexthop.device], nexthop.routeProtocol.isForeign(to: owner) else { continue }
            found[name] = found[name] ?? "nexthop \(nexthop.id)"
        }
        return found
    }

    private static var singleRouteLists: Int { 4 }

    // ip -4|-6 route show table all [dev DEVICE]
    private mutating func addForeignRoutes(
        _ family: Int32, _ device: UInt32?, _ names: [UInt32: InterfaceName], _ owner: RouteProtocol,
        _ found: inout [InterfaceName: String]
    ) throws(NetlinkError) {
        var header = rtmsg()
        header.rtm_family = UInt8(family)
        do throws(NetlinkError) {
            found = try dump(MessageType(RTM_GETROUTE), header, into: found) { message in
                if let device { message.put(RTA_OIF.rawValue, device) }
            } each: { found, message throws(CodecError) in
                guard message.type == MessageType(RTM_NEWROUTE) else { return }
                let route = try ForeignRoute(message)
                guard route.routeProtocol.isForeign(to: owner) else { return }
                for index in route.devices {
                    guard let name = names[index] else { continue }
                    found[name] = found[name] ?? route.description
                }
            }
        } catch {
            // No such family; a device that is gone.
            if !error.isFamilyMissing, !error.isAbsence { throw error }
        }
    }
}

/// As much of a route of anybody as says by which devices it leaves.
private struct ForeignRoute: CustomStringConvertible {
    var routeProtocol: RouteProtocol
    var devices: [UInt32] = []
    private var destination: IPAddress?
    private var length: UInt8

    init(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: rtmsg.self)
        routeProtocol = RouteProtocol(header.rtm_protocol)
        length = header.rtm_dst_len
        var attributes = message.attributes(after: rtmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case RTA_DST.rawValue: destination = try attribute.address()
            case RTA_OIF.rawValue: devices.append(try attribute.value(as: UInt32.self))
            case RTA_MULTIPATH.rawValue: readLegs(attribute)
            default: break
            }
        }
    }

    /// `struct rtnexthop`: its length, two bytes, and the device; attributes of its own follow.
    private mutating func readLegs(_ attribute: borrowing Attribute) {
        var word = 0
        let words = attribute.count(of: UInt32.self)
        while word + 1 < words {
            devices.append(attribute.element(word + 1, as: UInt32.self))
            let length = Int(attribute.element(word * 2, as: UInt16.self))
            if length < 8 { return }
            word += (length + 3) / 4
        }
    }

    var description: String { "route " + (destination.map { "\($0)/\(length)" } ?? "default") }
}

extension RouteProtocol {
    /// Made neither by the owner nor by the kernel for its own addresses.
    fileprivate func isForeign(to owner: RouteProtocol) -> Bool { self != owner && self != .kernel }
}
