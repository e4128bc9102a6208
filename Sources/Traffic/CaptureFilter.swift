import CTraffic
import Glibc
package import IPAddressing
import Netlink

/// What a capture sees of the IPv4 packets: those between two addresses, in both directions, and all ICMP errors, which may
/// be about them. ARP requests pass, too.
///
/// Classic BPF (linux/filter.h). The socket shows packets from the network header on, so offsets are those of RFC 791.
package struct CaptureFilter: Hashable, Sendable {
    private let one: IPAddress
    private let other: IPAddress

    package init(between one: IPAddress, and other: IPAddress) {
        self.one = one
        self.other = other
    }

    func attach(to socket: Socket) throws(NetlinkError) {
        var program = program
        let result = program.withUnsafeMutableBufferPointer { instructions in
            var header = sock_fprog(len: UInt16(instructions.count), filter: instructions.baseAddress)
            return setsockopt(
                socket.descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &header, socklen_t(MemoryLayout<sock_fprog>.size))
        }
        guard result == 0 else { throw .system("attach a filter") }
    }

    private var program: [sock_filter] {
        let (load, compare) = (UInt16(BPF_LD | BPF_ABS), UInt16(BPF_JMP | BPF_JEQ | BPF_K))
        func instruction(_ code: UInt16, _ value: UInt32, then: UInt8 = 0, else otherwise: UInt8 = 0) -> sock_filter {
            sock_filter(code: code, jt: then, jf: otherwise, k: value)
        }
        // The protocol of the link layer is no byte of the packet but a field beside it.
        let linkProtocol = UInt32(bitPattern: Int32(SKF_AD_OFF) + Int32(SKF_AD_PROTOCOL))
        // Jumps count the instructions that are left out.
        return [
            instruction(load | UInt16(BPF_H), linkProtocol),
            instruction(compare, UInt32(ETH_P_ARP), then: 15),
            instruction(compare, UInt32(ETH_P_IP), else: 15),
            // ICMP errors: destination unreachable, time exceeded, parameter problem.
            instruction(load | UInt16(BPF_B), 9),
            instruction(compare, UInt32(IPPROTO_ICMP), else: 5),
            instruction(UInt16(BPF_LDX | BPF_B | BPF_MSH), 0),
            instruction(UInt16(BPF_LD | BPF_B | BPF_IND), 0),
            instruction(compare, UInt32(ICMP_DEST_UNREACH), then: 9),
            instruction(compare, UInt32(ICMP_TIME_EXCEEDED), then: 8),
            instruction(compare, UInt32(ICMP_PARAMETERPROB), then: 7),
            // Source and destination, either way round.
            instruction(load | UInt16(BPF_W), 12),
            instruction(compare, one.v4, then: 1),
            instruction(compare, other.v4, then: 2, else: 5),
            instruction(load | UInt16(BPF_W), 16),
            instruction(compare, other.v4, then: 2, else: 3),
            instruction(load | UInt16(BPF_W), 16),
            instruction(compare, one.v4, then: 0, else: 1),
            instruction(UInt16(BPF_RET | BPF_K), .max),
            instruction(UInt16(BPF_RET | BPF_K), 0),
        ]
    }
}
