import CLinux
public import IPAddressing
public import KernelModel
public import KernelNames
public import Netlink

/// What a host has of a pair of gateways, as the devices say.
public struct PairObservation: Hashable, Sendable {
    /// Name of the external network.
    public var network: String
    public var note: PairNote
    public var uplink: Device
    /// The one with the host's underlay address; nil: it is not there.
    public var underlay: Device?
    /// Index of the machine's device that the uplink sits upon.
    public var base: UInt32 = 0
    /// Whether it has that one's hardware address: then public addresses are on the uplink itself, and of ARP it gets what
    /// is for these alone.
    public var isShared = false
    /// NAT gateways that are reached by the pair, by key.
    public var gateways: [Gateway] = []

    public struct Device: Hashable, Sendable {
        public var index: UInt32
        public var name: InterfaceName
        public var hardwareAddress: MACAddress?
        public var hasCarrier: Bool
    }

    public struct Gateway: Hashable, Sendable {
        public var name: String
        /// As it is sent to.
        public var key: UInt32
        /// The table of its VRF here, by which its zone is numbered.
        public var table: TableID
    }
}

extension KernelDriver {
    /// The pairs that a host is in, by what is in the kernel alone.
    /// - Parameters:
    ///   - underlay: The machine's own namespace.
    ///   - namespace: That of its VPCs.
    public static func pairs(
        underlay: NetworkNamespace, in namespace: NetworkNamespace, owner: Ownership
    ) throws(NetlinkError) -> [PairObservation] {
        var socket = try NetlinkSocket(in: namespace)
        let prefix = owner.aliasPrefix + "ExternalNetwork/"
        var found: [PairObservation] = []
        let links = try socket.links(ofKind: LinkKindName.macvlan) + socket.links(ofKind: LinkKindName.ipvlan)
        for link in links where link.alias.hasPrefix(prefix) {
            guard let note = PairNote(in: link.alias) else { continue }
            let name = link.alias.dropFirst(prefix.count).prefix { $0 != " " }
            found.append(
                PairObservation(
                    network: String(name), note: note, uplink: .init(link), base: link.lower,
                    isShared: link.kindName == LinkKindName.ipvlan))
        }
        if found.isEmpty { return [] }
        let gateways = try socket.gateways(owner)
        var outside = try NetlinkSocket(in: underlay)
        for index in found.indices {
            found[index].gateways = gateways.filter { $0.endpoint == found[index].note.endpoint }.map(\.gateway)
            found[index].underlay = try outside.holder(of: found[index].note.own)
        }
        return found.sorted { $0.network < $1.network }
    }

    /// Public addresses that an uplink has itself.
    public static func addresses(of uplink: PairObservation.Device, in namespace: NetworkNamespace) throws(NetlinkError)
        -> [IPAddress]
    {
        var socket = try NetlinkSocket(in: namespace)
        return try socket.addresses().filter { $0.device == uplink.index }.map(\.address)
    }

    /// What is led to a host from outside: single addresses that are in use, and whole pools where these are announced.
    public static func announcedAddresses(
        in namespace: NetworkNamespace, owner: Ownership
    ) throws(NetlinkError) -> (addresses: [IPAddress], pools: [IPPrefix]) {
        var socket = try NetlinkSocket(in: namespace)
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        let main = TableID.main.rawValue
        let none: (addresses: [IPAddress], pools: [IPPrefix]) = ([], [])
        return try socket.dump(MessageType(RTM_GETROUTE), header, into: none) { writer in
            writer.put(RTA_TABLE, main)
        } each: { found, message throws(CodecError) in
            let route = try message.header(as: rtmsg.self)
            guard route.rtm_protocol == owner.routeProtocol.rawValue else { return }
            var attributes = message.attributes(after: rtmsg.self)
            while let attribute = try attributes.next() {
                guard attribute.type == Int(RTA_DST.rawValue) else { continue }
                let address = try attribute.address()
                if route.rtm_type == UInt8(RTN_UNREACHABLE) {
                    found.pools.append(IPPrefix(containing: address, length: Int(route.rtm_dst_len)))
                } else if route.rtm_dst_len == 32 {
                    found.addresses.append(address)
                }
            }
        }
    }
}

extension PairObservation.Device {
    fileprivate init(_ link: LinkReading) {
        self.init(
            index: link.index, name: link.name, hardwareAddress: link.hardwareAddress,
            hasCarrier: link.isUp && link.hasCarrier)
    }
}

extension NetlinkSocket {
    // ip link show type KIND
    fileprivate mutating func links(ofKind kind: String) throws(NetlinkError) -> [LinkReading] {
        try dump(MessageType(RTM_GETLINK), ifinfomsg(), into: []) { writer in
            writer.nested(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, kind) }
        } each: { (links: inout [LinkReading], message) throws(CodecError) in
            let link = try LinkReading(message)
            if link.kindName == kind { links.append(link) }
        }
    }

    fileprivate mutating func gateways(
        _ owner: Ownership
    ) throws(NetlinkError) -> [(gateway: PairObservation.Gateway, endpoint: IPAddress)] {
        var tables: [UInt32: TableID] = [:]
        for link in try links(ofKind: "vrf") { tables[link.index] = link.vrfTable }
        let prefix = owner.aliasPrefix + "NATGateway/"
        var found: [(gateway: PairObservation.Gateway, endpoint: IPAddress)] = []
        for link in try links(ofKind: "gre") where link.alias.hasPrefix(prefix) {
            guard let table = tables[link.master] else { continue }
            let gateway = PairObservation.Gateway(
                name: String(link.alias.dropFirst(prefix.count)), key: link.tunnel.inputKey, table: table)
            found.append((gateway, link.tunnel.local))
        }
        return found.sorted { $0.gateway.key < $1.gateway.key }
    }

    /// The device that has an address.
    fileprivate mutating func holder(of address: IPAddress) throws(NetlinkError) -> PairObservation.Device? {
        guard let index = try addresses().last(where: { $0.address == address })?.device else { return nil }
        return try link(index).map { PairObservation.Device($0) }
    }

    // ip -4 addr show
    fileprivate mutating func addresses() throws(NetlinkError) -> [(device: UInt32, address: IPAddress)] {
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        let none: [(device: UInt32, address: IPAddress)] = []
        return try dump(MessageType(RTM_GETADDR), header, into: none) { found, message throws(CodecError) in
            let device = try message.header(as: ifaddrmsg.self).ifa_index
            var attributes = message.attributes(after: ifaddrmsg.self)
            while let attribute = try attributes.next() {
                if attribute.type == IFA_LOCAL { found.append((device, try attribute.address())) }
            }
        }
    }
}
