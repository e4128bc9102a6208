public import KernelModel
public import KernelNames
public import Netlink
import CLinux

extension KernelDriver {
    /// What every device of the host's namespace has counted, by name.
    ///
    /// Two dumps, of names and of numbers: RTM_GETSTATS tells of the numbers alone, a tenth of what RTM_GETLINK would
    /// send for a device.
    // ip stats show group link
    public func traffic() throws(NetlinkError) -> [InterfaceName: LinkTraffic] {
        guard let namespace = try namespace else { return [:] }
        var socket = try NetlinkSocket(in: namespace)
        var header = if_stats_msg()
        // IFLA_STATS_FILTER_BIT, a macro with an argument.
        header.filter_mask = 1 << UInt32(IFLA_STATS_LINK_64 - 1)
        let byIndex: [UInt32: LinkTraffic] = try socket.dump(MessageType(RTM_GETSTATS), header, into: [:]) {
            traffic, message throws(CodecError) in
            guard message.type == MessageType(RTM_NEWSTATS) else { return }
            let index = try message.header(as: if_stats_msg.self).ifindex
            var attributes = message.attributes(after: if_stats_msg.self)
            while let attribute = try attributes.next() {
                guard attribute.type == IFLA_STATS_LINK_64 else { continue }
                traffic[index] = try LinkTraffic(attribute)
            }
        }
        var byName: [InterfaceName: LinkTraffic] = [:]
        for link in try socket.links() {
            // One that came between the dumps has counted nothing yet.
            byName[link.name] = byIndex[link.index] ?? LinkTraffic()
        }
        return byName
    }
}

extension LinkTraffic {
    /// The eight numbers that struct rtnl_link_stats64 begins with, as it was from its first version on.
    fileprivate init(_ attribute: borrowing Attribute) throws(CodecError) {
        self.init()
        guard attribute.count(of: UInt64.self) >= 8 else {
            throw .attributeValue(
                type: UInt16(attribute.type), length: attribute.payload.byteCount, expected: 8 * 8)
        }
        func number(_ position: Int) -> UInt64 { attribute.element(position, as: UInt64.self) }
        receivedPackets = number(0)
        transmittedPackets = number(1)
        receivedBytes = number(2)
        transmittedBytes = number(3)
        receivedDropped = number(6)
        transmittedDropped = number(7)
    }
}
