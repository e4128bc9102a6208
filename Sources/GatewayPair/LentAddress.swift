internal import CLinux
internal import Glibc
internal import IPAddressing
internal import KernelModel
internal import Netlink

/// An address that the kernel has on loan: it takes it back by itself where nobody prolongs the loan (IFA_CACHEINFO), so that
/// a process which was killed, or hangs, is active no longer than it can say so.
struct LentAddress: Hashable {
    /// Index of the device.
    var device: UInt32
    var address: IPAddress
    var prefixLength: UInt8

    /// What is made by us (docs/ownership.md).
    static let owner: UInt8 = 118

    /// Gives it, or prolongs it.
    // ip addr replace ADDRESS dev DEVICE valid_lft SECONDS preferred_lft SECONDS
    func lend(for seconds: UInt32, _ socket: inout NetlinkSocket) throws(NetlinkError) {
        var lifetime = ifa_cacheinfo()
        (lifetime.ifa_prefered, lifetime.ifa_valid) = (seconds, seconds)
        try socket.modify { writer in
            writer.message(MessageType(RTM_NEWADDR), [.create, .replace], header) { message in
                write(to: &message)
                message.put(IFA_CACHEINFO, lifetime)
            }
        }
    }

    /// Takes it away. One that is not there is as good.
    func end(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        do throws(NetlinkError) {
            try socket.modify { writer in
                writer.message(MessageType(RTM_DELADDR), [], header) { write(to: &$0) }
            }
        } catch {
            if error.errno != EADDRNOTAVAIL, error.errno != ENODEV { throw error }
        }
    }

    private var header: ifaddrmsg {
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        header.ifa_prefixlen = prefixLength
        header.ifa_index = device
        return header
    }

    private func write(to message: inout MessageWriter) {
        message.put(IFA_LOCAL, BigEndian(address.v4))
        message.put(IFA_ADDRESS, BigEndian(address.v4))
        message.put(IFA_PROTO, Self.owner)
    }

    /// Whether a device answers for what leads on from there; of a shared one, for its own addresses.
    // sysctl net.ipv4.conf.DEVICE.proxy_arp, net.ipv4.conf.DEVICE.arp_ignore
    static func setAnswering(
        _ isOn: Bool, on device: UInt32, isShared: Bool, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = Int32(bitPattern: device)
        try socket.modify { writer in
            writer.message(MessageType(RTM_SETLINK), [], header) { message in
                message.nested(IFLA_AF_SPEC) { families in
                    families.nested(AF_INET) { family in
                        family.nested(IFLA_INET_CONF) {
                            if isShared {
                                let ignored = isOn ? 0 : IPv4DeviceConfiguration.answersNothing
                                $0.put(IPV4_DEVCONF_ARP_IGNORE, UInt32(ignored))
                            } else {
                                $0.put(IPV4_DEVCONF_PROXY_ARP, UInt32(isOn ? 1 : 0))
                            }
                        }
                    }
                }
            }
        }
    }
}
