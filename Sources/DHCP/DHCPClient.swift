public import IPAddressing
import Traffic

/// What a guest is told: all of it is known beforehand, so that nothing is to be remembered of who asked. Any host, any
/// process that knows the same gives the same answers.
public struct DHCPClient: Hashable, Sendable {
    public var hardwareAddress: MACAddress
    public var address: IPAddress
    public var hostName: String
    /// Bytes.
    public var mtu: Int
    /// What all guests of a subnet have in common.
    public var network: DHCPNetwork

    public init(
        hardwareAddress: MACAddress, address: IPAddress, hostName: String, mtu: Int, network: DHCPNetwork
    ) {
        self.hardwareAddress = hardwareAddress
        self.address = address
        self.hostName = hostName
        self.mtu = mtu
        self.network = network
    }
}

public struct DHCPNetwork: Hashable, Sendable {
    public var prefix: IPPrefix
    /// The router, and who answers: the same on every host, so that a guest which has moved is answered where it is now.
    public var gateway: IPAddress
    public var lease: Duration
    public var nameServers: [IPAddress] = []
    public var timeServers: [IPAddress] = []
    public var domain: String?
    public var routes: [IPPrefix] = []

    public init(prefix: IPPrefix, gateway: IPAddress, lease: Duration) {
        self.prefix = prefix
        self.gateway = gateway
        self.lease = lease
    }
}

// MARK: - Answers

extension DHCPClient {
    /// - Returns: nil: silence. What is for another server, for a relay or of somebody else is none of our business.
    public func answer(to request: DHCPMessage) -> DHCPMessage? {
        guard request.isRequest, request.relayAddress == .anyIPv4, request.hardwareAddress == hardwareAddress else {
            return nil
        }
        switch request.kind {
        case .discover:
            return request[.rapidCommit] == nil ? lease(.offer, to: request) : lease(.acknowledge, to: request)
        case .request: return answer(toRequest: request)
        case .inform: return information(for: request)
        // Nobody else gets the address, and who finds it taken finds himself.
        case .decline, .release, .offer, .acknowledge, .refuse, nil: return nil
        }
    }

    /// RFC 2131, section 4.3.2: which state the client is in shows in what it says.
    private func answer(toRequest request: DHCPMessage) -> DHCPMessage? {
        if request[.server] != nil, request.address(.server) != network.gateway { return nil }
        let wanted = request.clientAddress == .anyIPv4 ? request.address(.requestedAddress) : request.clientAddress
        guard let wanted else { return nil }
        return wanted == address ? lease(.acknowledge, to: request) : refusal(of: request)
    }

    private func lease(_ kind: DHCPMessage.Kind, to request: DHCPMessage) -> DHCPMessage {
        var answer = self.answer(kind, to: request)
        answer.yourAddress = address
        let seconds = UInt32(network.lease.components.seconds)
        answer.options += [
            DHCPOption(.leaseTime, number: seconds), DHCPOption(.renewalTime, number: seconds / 2),
            DHCPOption(.rebindingTime, number: seconds / 8 * 7),
        ]
        if kind == .acknowledge, request[.rapidCommit] != nil { answer.options.append(DHCPOption(.rapidCommit, [])) }
        answer.add(configuration, askedForBy: request)
        return answer
    }

    /// Of one that has an address by other means.
    private func information(for request: DHCPMessage) -> DHCPMessage? {
        guard request.clientAddress != .anyIPv4 else { return nil }
        var answer = self.answer(.acknowledge, to: request)
        answer.add(configuration, askedForBy: request)
        return answer
    }

    private func refusal(of request: DHCPMessage) -> DHCPMessage {
        var answer = self.answer(.refuse, to: request)
        (answer.clientAddress, answer.wantsBroadcast) = (.anyIPv4, true)
        return answer
    }

    private func answer(_ kind: DHCPMessage.Kind, to request: DHCPMessage) -> DHCPMessage {
        var answer = DHCPMessage(from: hardwareAddress, transaction: request.transaction)
        answer.isRequest = false
        (answer.clientAddress, answer.wantsBroadcast) = (request.clientAddress, request.wantsBroadcast)
        answer.options = [DHCPOption(.messageType, [kind.rawValue]), DHCPOption(.server, addresses: [network.gateway])]
        // RFC 6842.
        if let identifier = request[.clientIdentifier] {
            answer.options.append(DHCPOption(.clientIdentifier, identifier))
        }
        return answer
    }

    /// What is sent where it is asked for, the most important first.
    private var configuration: [DHCPOption] {
        var options = [
            DHCPOption(.subnetMask, addresses: [network.prefix.mask]),
            DHCPOption(.routers, addresses: [network.gateway]),
            // Who asks for this does not look at the routers (RFC 3442): so the default route is in it.
            DHCPOption(.routes, classless: network.routes + [.defaultIPv4], by: network.gateway),
            DHCPOption(.mtu, number: UInt16(clamping: mtu)), DHCPOption(.hostName, Array(hostName.utf8)),
        ]
        if !network.nameServers.isEmpty { options.append(DHCPOption(.nameServers, addresses: network.nameServers)) }
        if !network.timeServers.isEmpty { options.append(DHCPOption(.timeServers, addresses: network.timeServers)) }
        if let domain = network.domain {
            options += [DHCPOption(.domain, Array(domain.utf8)), DHCPOption(.searchedDomains, domain: domain)]
        }
        return options
    }
}

extension DHCPMessage {
    /// Without saying how long a message may be a client takes 576 bytes, with the headers of IP and UDP.
    private static let leastLongest = 576

    /// Adds what a client has asked for, as much as it takes.
    fileprivate mutating func add(_ configuration: [DHCPOption], askedForBy request: DHCPMessage) {
        let wanted = request[.parameters].map { Set($0.map { DHCPOption.Code(rawValue: $0) }) }
        let stated = request[.longestMessage].flatMap { $0.count == 2 ? Int($0[0]) << 8 | Int($0[1]) : nil }
        // IP, UDP, fixed fields, cookie, end.
        var room = max(stated ?? 0, Self.leastLongest) - 28 - 236 - 4 - 1
        room -= options.reduce(0) { $0 + $1.length }
        for option in configuration where wanted?.contains(option.code) ?? true {
            guard option.length <= room else { continue }
            room -= option.length
            options.append(option)
        }
    }
}

extension DHCPOption {
    fileprivate init(_ code: Code, addresses: [IPAddress]) {
        var value: [UInt8] = []
        for address in addresses { value.append(bigEndian: address.v4) }
        self.init(code, value)
    }

    fileprivate init(_ code: Code, number: some FixedWidthInteger) {
        var value: [UInt8] = []
        value.append(bigEndian: number)
        self.init(code, value)
    }

    /// RFC 3442: of a destination as many bytes as its prefix reaches into.
    fileprivate init(_ code: Code, classless destinations: [IPPrefix], by gateway: IPAddress) {
        var value: [UInt8] = []
        for destination in destinations {
            var address: [UInt8] = []
            address.append(bigEndian: destination.address.v4)
            value += [UInt8(destination.length)] + address.prefix((Int(destination.length) + 7) / 8)
            value.append(bigEndian: gateway.v4)
        }
        self.init(code, value)
    }

    /// RFC 1035, section 3.1.
    fileprivate init(_ code: Code, domain: String) {
        var value: [UInt8] = []
        for label in domain.split(separator: ".") { value += [UInt8(label.utf8.count)] + label.utf8 }
        self.init(code, value + [0])
    }
}

extension IPPrefix {
    fileprivate var mask: IPAddress { IPAddress(v4: length == 0 ? 0 : ~UInt32(0) << (32 - UInt32(length))) }
}
