import CLinux
public import IPAddressing
public import KernelNames
public import Netlink

/// Is told whether the ways to providers work: whether a device has a carrier, and whether the provider's router answers
/// who asks for its hardware address.
public struct UplinkMonitor: ~Copyable, Sendable {
    /// What keeps packets from a provider.
    public enum Fault: Sendable, Hashable {
        /// There is no such device.
        case absent
        /// It, or what it sits upon, has no carrier.
        case noCarrier
        /// Nobody has the router's address.
        case silent
    }

    private var monitor: NetlinkMonitor
    private var socket: NetlinkSocket

    /// - Parameter namespace: That of the VPCs.
    public init(in namespace: NetworkNamespace) throws(NetlinkError) {
        let monitor = try NetlinkMonitor(groups: [.link, .neighbour], in: namespace, receiveBuffer: 1 << 20)
        let socket = try NetlinkSocket(in: namespace)
        self.monitor = monitor
        self.socket = socket
    }

    public var fileDescriptor: Int32 { monitor.fileDescriptor }

    /// Takes what has been told; how things are is to be read then.
    public mutating func drain() throws(NetlinkError) {
        while try monitor.receive(timeout: .zero, each: { _ in }) != .timedOut {}
    }

    /// How a way is.
    /// - Parameter former: What was found before: a router that nobody has asked for since is as it was.
    public mutating func fault(
        of device: InterfaceName, to router: IPAddress, after former: Fault?
    ) throws(NetlinkError) -> Fault? {
        guard let link = try socket.link(named: device) else { return .absent }
        guard link.isUp, link.hasCarrier else { return .noCarrier }
        let state = try socket.dump(MessageType(RTM_GETNEIGH), ndmsg(), into: UInt16(0)) {
            state, message throws(CodecError) in
            let entry = try message.header(as: ndmsg.self)
            guard entry.ndm_family == UInt8(AF_INET), entry.ndm_ifindex == Int32(link.index) else { return }
            var attributes = message.attributes(after: ndmsg.self)
            while let attribute = try attributes.next() {
                if attribute.type == Int(NDA_DST), try attribute.address() == router { state = entry.ndm_state }
            }
        }
        if state & UInt16(NUD_FAILED) != 0 { return .silent }
        if state & Self.answered != 0 { return nil }
        return former == .silent ? .silent : nil
    }

    private static let answered = UInt16(NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)
}
