public import IPAddressing
import Traffic

/// A message of DHCP (RFC 2131) with its options (RFC 2132), without the headers around it.
public struct DHCPMessage: Hashable, Sendable {
    public var isRequest = true
    public var transaction: UInt32 = 0
    public var seconds: UInt16 = 0
    /// Whether the client wants answers to be broadcast, because it takes nothing else yet.
    public var wantsBroadcast = false
    /// The address that the client has.
    public var clientAddress = IPAddress.anyIPv4
    /// The one that it is given.
    public var yourAddress = IPAddress.anyIPv4
    /// Of a relay.
    public var relayAddress = IPAddress.anyIPv4
    public var hardwareAddress: MACAddress
    /// In the order in which they are written; of each code one.
    public var options: [DHCPOption] = []

    public init(from hardwareAddress: MACAddress, transaction: UInt32) {
        self.hardwareAddress = hardwareAddress
        self.transaction = transaction
    }

    public subscript(code: DHCPOption.Code) -> [UInt8]? { options.first { $0.code == code }?.value }

    public var kind: Kind? {
        guard let value = self[.messageType], value.count == 1 else { return nil }
        return Kind(rawValue: value[0])
    }

    /// RFC 2132, section 9.6.
    public enum Kind: UInt8, Sendable {
        case discover = 1
        case offer, request, decline, acknowledge, refuse, release, inform
    }

    /// The address that an option holds; nil where there is none, or something else in it.
    func address(_ code: DHCPOption.Code) -> IPAddress? {
        guard let value = self[code], value.count == 4 else { return nil }
        return IPAddress(v4: value.reduce(0) { $0 << 8 | UInt32($1) })
    }
}

public struct DHCPOption: Hashable, Sendable {
    public var code: Code
    public var value: [UInt8]

    public init(_ code: Code, _ value: [UInt8]) {
        self.code = code
        self.value = value
    }

    public struct Code: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public init(integerLiteral value: UInt8) { rawValue = value }

        // RFC 2132, and the RFC that is named.
        public static let subnetMask: Code = 1
        public static let routers: Code = 3
        public static let nameServers: Code = 6
        public static let hostName: Code = 12
        public static let domain: Code = 15
        public static let mtu: Code = 26
        public static let timeServers: Code = 42
        public static let requestedAddress: Code = 50
        public static let leaseTime: Code = 51
        public static let overload: Code = 52
        public static let messageType: Code = 53
        public static let server: Code = 54
        public static let parameters: Code = 55
        public static let longestMessage: Code = 57
        public static let renewalTime: Code = 58
        public static let rebindingTime: Code = 59
        public static let clientIdentifier: Code = 61
        /// RFC 4039.
        public static let rapidCommit: Code = 80
        /// RFC 3397.
        public static let searchedDomains: Code = 119
        /// RFC 3442.
        public static let routes: Code = 121

        static let padding: Code = 0
        static let end: Code = 255
    }
}

// MARK: - As bytes

extension DHCPMessage {
    /// Of the fixed fields (RFC 2131, figure 1), with the names of server and file, which nobody uses.
    private static let headerLength = 236
    /// RFC 1497.
    private static let cookie: [UInt8] = [99, 130, 83, 99]
    /// What every client and every relay takes, and some ask for (RFC 1542, section 2.1).
    private static let leastLength = 300

    /// Reads a message as it came over Ethernet. Whatever a guest may send ends in nil, or in a message.
    public init?(_ bytes: ArraySlice<UInt8>) {
        let header = bytes.prefix(Self.headerLength)
        guard header.count == Self.headerLength, bytes.dropFirst(Self.headerLength).starts(with: Self.cookie) else {
            return nil
        }
        func byte(_ offset: Int) -> UInt8 { bytes[bytes.startIndex + offset] }
        func number(_ offset: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 << 8 | UInt64(byte(offset + $1)) }
        }
        func address(_ offset: Int) -> IPAddress { IPAddress(v4: UInt32(number(offset, 4))) }
        // BOOTREQUEST or BOOTREPLY, Ethernet, six bytes.
        guard byte(0) == 1 || byte(0) == 2, byte(1) == 1, byte(2) == 6 else { return nil }
        isRequest = byte(0) == 1
        transaction = UInt32(number(4, 4))
        seconds = UInt16(number(8, 2))
        wantsBroadcast = byte(10) & 0x80 != 0
        (clientAddress, yourAddress, relayAddress) = (address(12), address(16), address(24))
        hardwareAddress = MACAddress(rawValue: number(28, 6))
        let areas = [
            bytes.dropFirst(Self.headerLength + 4), bytes.dropFirst(108).prefix(128), bytes.dropFirst(44).prefix(64),
        ]
        guard let first = DHCPOption.read(areas[0]) else { return nil }
        options = first
        // The fields for the file's and the server's name can hold options as well.
        let overload = self[.overload]?.first ?? 0
        for (bit, area) in [(1, areas[1]), (2, areas[2])] as [(UInt8, ArraySlice<UInt8>)] where overload & bit != 0 {
            guard let further = DHCPOption.read(area) else { return nil }
            options = DHCPOption.joined(options + further)
        }
    }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = [isRequest ? 1 : 2, 1, 6, 0]
        bytes.append(bigEndian: transaction)
        bytes.append(bigEndian: seconds)
        bytes.append(bigEndian: UInt16(wantsBroadcast ? 0x8000 : 0))
        // The server that follows is 0: nobody boots from here.
        for address in [clientAddress, yourAddress, .anyIPv4, relayAddress] { bytes.append(bigEndian: address.v4) }
        bytes += hardwareAddress.bytes
        bytes += [UInt8](repeating: 0, count: Self.headerLength - bytes.count)
        bytes += Self.cookie
        for option in options { option.append(to: &bytes) }
        bytes.append(DHCPOption.Code.end.rawValue)
        bytes += [UInt8](repeating: 0, count: max(0, Self.leastLength - bytes.count))
        return bytes
    }
}

extension DHCPOption {
    /// What a field of options holds; nil where one reaches beyond it.
    fileprivate static func read(_ bytes: ArraySlice<UInt8>) -> [DHCPOption]? {
        var options: [DHCPOption] = []
        var rest = bytes
        while let code = rest.popFirst().map({ Code(rawValue: $0) }), code != .end {
            if code == .padding { continue }
            guard let length = rest.popFirst(), rest.count >= Int(length) else { return nil }
            options.append(DHCPOption(code, Array(rest.prefix(Int(length)))))
            rest = rest.dropFirst(Int(length))
        }
        return joined(options)
    }

    /// One that comes several times is one that was too long (RFC 3396).
    fileprivate static func joined(_ options: [DHCPOption]) -> [DHCPOption] {
        var joined: [DHCPOption] = []
        var positions: [Code: Int] = [:]
        for option in options {
            if let position = positions[option.code] {
                joined[position].value += option.value
            } else {
                positions[option.code] = joined.count
                joined.append(option)
            }
        }
        return joined
    }

    /// Bytes that it takes.
    var length: Int { value.count + 2 * max(1, (value.count + 254) / 255) }

    fileprivate func append(to bytes: inout [UInt8]) {
        var rest = value[...]
        repeat {
            let part = rest.prefix(255)
            bytes += [code.rawValue, UInt8(part.count)] + part
            rest = rest.dropFirst(part.count)
        } while !rest.isEmpty
    }
}
