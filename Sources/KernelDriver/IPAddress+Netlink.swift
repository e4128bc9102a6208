import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension IPAddress {
    /// AF_INET or AF_INET6.
    var familyNumber: UInt8 { family.number }
}

extension AddressFamily {
    /// AF_INET or AF_INET6.
    var number: UInt8 { UInt8(self == .ipv4 ? AF_INET : AF_INET6) }
}

extension MessageWriter {
    /// Puts an address as its 4 or 16 bytes in network order.
    @inline(__always)
    mutating func put(_ type: some BinaryInteger, _ address: IPAddress) {
        if address.family == .ipv4 {
            put(type, BigEndian(address.v4))
        } else {
            put(type, IPv6Bytes(high: BigEndian(address.high), low: BigEndian(address.low)))
        }
    }

    /// Puts a MAC address as its six bytes.
    mutating func put(_ type: some BinaryInteger, _ address: MACAddress) {
        put(type, BigEndian(address.rawValue << 16), count: 6)
    }

    /// Puts a device's name with its terminating zero.
    mutating func put(_ type: some BinaryInteger, _ name: InterfaceName) {
        let (high, low) = name.words
        var length = 1
        while length < InterfaceName.maximumLength, (length < 8 ? high << (8 * length) : low << (8 * (length - 8))) != 0
        {
            length += 1
        }
        put(type, IPv6Bytes(high: BigEndian(high), low: BigEndian(low)), count: length + 1)
    }
}

private struct IPv6Bytes: BitwiseCopyable {
    var high: BigEndian<UInt64>
    var low: BigEndian<UInt64>
}

extension Attribute {
    /// The value as an address: 4 bytes are IPv4, 16 are IPv6.
    @inline(__always)
    func address() throws(CodecError) -> IPAddress {
        if payload.byteCount == 4 { return IPAddress(v4: try value(as: BigEndian<UInt32>.self).value) }
        let bytes = try value(as: IPv6Bytes.self)
        return IPAddress(family: .ipv6, high: bytes.high.value, low: bytes.low.value)
    }

    /// The value as a MAC address; nil for another kind of hardware address (a GRE device's is its IP address).
    func macAddress() -> MACAddress? {
        guard payload.byteCount == 6, let high = try? value(as: BigEndian<UInt32>.self).value else { return nil }
        let low = element(2, as: BigEndian<UInt16>.self).value
        return MACAddress(rawValue: UInt64(high) << 16 | UInt64(low))
    }

    /// The value as what a neighbour has; nil for a length that is known of no device.
    func linkLayerAddress() throws(CodecError) -> LinkLayerAddress? {
        payload.byteCount == 4 ? .tunnel(try address()) : macAddress().map { .ethernet($0) }
    }

    /// The value as a device's name.
    func interfaceName() -> InterfaceName {
        payload.withUnsafeBytes { InterfaceName(bytes: $0) }
    }
}
