import IPAddressing
import TestSupport
import Testing
import Traffic

@testable import DHCP

private func prefix(_ text: String) -> IPPrefix { IPPrefix(text) ?? .defaultIPv4 }
private func address(_ text: String) -> IPAddress { IPAddress(text) ?? .anyIPv4 }

/// What is answered to a message of a client, by RFC 2131, section 4.3.
@Suite(.timeLimit(minutes: 10)) struct DHCPClientTests {
    private let client: DHCPClient = {
        var network = DHCPNetwork(
            prefix: prefix("10.0.1.0/24"), gateway: address("10.0.1.1"), lease: .seconds(86400))
        network.nameServers = [address("10.0.1.53")]
        network.domain = "blue.example"
        network.routes = [prefix("192.168.7.0/24")]
        return DHCPClient(
            hardwareAddress: MACAddress(rawValue: 0x02_65_0A00_010A), address: address("10.0.1.10"), hostName: "web1",
            mtu: 1472, network: network)
    }()

    private func request(_ kind: DHCPMessage.Kind, _ options: [DHCPOption] = []) -> DHCPMessage {
        var message = DHCPMessage(from: client.hardwareAddress, transaction: 0xCAFE)
        message.options = [DHCPOption(.messageType, [kind.rawValue])] + options
        return message
    }

    private func option(_ code: DHCPOption.Code, _ text: String) -> DHCPOption {
        DHCPOption(code, withUnsafeBytes(of: address(text).v4.bigEndian) { Array($0) })
    }

    private func answer(to request: DHCPMessage) throws -> DHCPMessage? {
        // Through the bytes in both directions.
        let read = try #require(DHCPMessage(request.bytes[...]))
        #expect(read == request)
        return try client.answer(to: read).map { try #require(DHCPMessage($0.bytes[...])) }
    }

    @Test func discoverIsOffered() throws {
        let offer = try #require(try answer(to: request(.discover)))
        #expect(!offer.isRequest)
        #expect(offer.kind == .offer)
        #expect(offer.transaction == 0xCAFE)
        #expect(offer.yourAddress == client.address)
        #expect(offer.address(.server) == address("10.0.1.1"))
        #expect(offer[.subnetMask] == [255, 255, 255, 0])
        #expect(offer[.routers] == [10, 0, 1, 1])
        #expect(offer[.mtu] == [0x05, 0xC0])
        #expect(offer[.hostName] == Array("web1".utf8))
        #expect(offer[.nameServers] == [10, 0, 1, 53])
        #expect(offer[.domain] == Array("blue.example".utf8))
        #expect(offer[.searchedDomains] == [4] + Array("blue".utf8) + [7] + Array("example".utf8) + [0])
        #expect(offer[.routes] == [24, 192, 168, 7, 10, 0, 1, 1, 0, 10, 0, 1, 1])
        #expect(offer[.leaseTime] == [0, 1, 0x51, 0x80])
        #expect(offer[.renewalTime] == [0, 0, 0xA8, 0xC0])
        #expect(offer[.rebindingTime] == [0, 1, 0x27, 0x50])
    }

    @Test func rapidCommitIsAcknowledgedAtOnce() throws {
        let answer = try #require(try answer(to: request(.discover, [DHCPOption(.rapidCommit, [])])))
        #expect(answer.kind == .acknowledge)
        #expect(answer[.rapidCommit] == [])
    }

    @Test func onlyWhatIsAskedForIsTold() throws {
        let offer = try #require(try answer(to: request(.discover, [DHCPOption(.parameters, [1, 3])])))
        #expect(offer[.subnetMask] != nil)
        #expect(offer[.routers] != nil)
        for code in [DHCPOption.Code.nameServers, .domain, .searchedDomains, .routes, .mtu, .hostName] {
            #expect(offer[code] == nil)
        }
    }

    @Test func selectedAddressIsAcknowledged() throws {
        let options = [option(.server, "10.0.1.1"), option(.requestedAddress, "10.0.1.10")]
        #expect(try answer(to: request(.request, options))?.kind == .acknowledge)
    }

    @Test func anotherServersOfferIsNoneOfOurs() throws {
        let options = [option(.server, "10.0.1.9"), option(.requestedAddress, "10.0.1.10")]
        #expect(try answer(to: request(.request, options)) == nil)
    }

    @Test func aWrongAddressIsRefusedByBroadcast() throws {
        let refusal = try #require(try answer(to: request(.request, [option(.requestedAddress, "10.0.1.77")])))
        #expect(refusal.kind == .refuse)
        #expect(refusal.wantsBroadcast)
        #expect(refusal.yourAddress == .anyIPv4)
        #expect(refusal[.leaseTime] == nil)
        let frame = refusal.frame(from: client.network.gateway, MACAddress(rawValue: 0x0200_5E00_0001))
        #expect(frame.prefix(6) == [UInt8](repeating: 0xFF, count: 6)[...])
    }

    @Test(arguments: ["10.0.1.10": DHCPMessage.Kind.acknowledge, "10.0.1.77": .refuse])
    func leaseIsRenewed(_ own: String, _ kind: DHCPMessage.Kind) throws {
        var renewal = request(.request)
        renewal.clientAddress = address(own)
        #expect(try answer(to: renewal)?.kind == kind)
    }

    @Test func informGetsNoLease() throws {
        var inform = request(.inform)
        inform.clientAddress = address("10.0.1.10")
        let answer = try #require(try answer(to: inform))
        #expect(answer.kind == .acknowledge)
        #expect(answer.yourAddress == .anyIPv4)
        #expect(answer[.leaseTime] == nil)
        #expect(answer[.nameServers] != nil)
    }

    @Test(arguments: [DHCPMessage.Kind.decline, .release, .offer, .acknowledge, .refuse])
    func whatAsksForNothingGetsNothing(_ kind: DHCPMessage.Kind) throws {
        #expect(try answer(to: request(kind, [option(.requestedAddress, "10.0.1.10")])) == nil)
    }

    @Test func relaysAndStrangersGetNothing() throws {
        var relayed = request(.discover)
        relayed.relayAddress = address("10.0.1.5")
        #expect(try answer(to: relayed) == nil)
        var strange = request(.discover)
        strange.hardwareAddress = MACAddress(rawValue: 0x02_65_0A00_010B)
        #expect(try answer(to: strange) == nil)
        var answered = request(.discover)
        answered.isRequest = false
        #expect(try answer(to: answered) == nil)
        var bootp = request(.discover)
        bootp.options = []
        #expect(try answer(to: bootp) == nil)
    }

    @Test func identifierComesBack() throws {
        let offer = try #require(try answer(to: request(.discover, [DHCPOption(.clientIdentifier, [0, 1, 2])])))
        #expect(offer[.clientIdentifier] == [0, 1, 2])
    }

    /// Whoever does not say that he takes more gets no more than 576 bytes.
    @Test func answersFit() throws {
        var long = client
        let label = String(repeating: "a", count: 60)
        long.network.domain = [label, label, label, label].joined(separator: ".")
        let offer = try #require(long.answer(to: request(.discover)))
        #expect(offer.bytes.count + 28 <= 576)
        #expect(offer[.routers] != nil)
        #expect(offer[.searchedDomains] == nil)
        let more = DHCPOption(.longestMessage, [0x05, 0xDC])
        #expect(try #require(long.answer(to: request(.discover, [more])))[.searchedDomains] != nil)
    }

    @Test func framesGoToWhoeverCanTakeThem() throws {
        let router = MACAddress(rawValue: 0x0200_5E00_0001)
        func destination(_ message: DHCPMessage) throws -> (mac: [UInt8], address: [UInt8]) {
            let frame = try #require(client.answer(to: message)).frame(from: client.network.gateway, router)
            #expect(frame[6..<14] == [2, 0, 0x5E, 0, 0, 1, 8, 0])
            return (Array(frame[..<6]), Array(frame[30..<34]))
        }
        var discover = request(.discover)
        #expect(try destination(discover) == (client.hardwareAddress.bytes, [10, 0, 1, 10]))
        discover.wantsBroadcast = true
        #expect(try destination(discover) == ([UInt8](repeating: 255, count: 6), [255, 255, 255, 255]))
        var renewal = request(.request)
        renewal.clientAddress = client.address
        #expect(try destination(renewal) == (client.hardwareAddress.bytes, [10, 0, 1, 10]))
    }
}

/// Bytes of a guest, whatever they are, end in a message or in none.
@Suite(.timeLimit(minutes: 10)) struct DHCPMessageTests {
    @Test func optionsBeyondTheEndAreNone() {
        var message = DHCPMessage(from: MACAddress(rawValue: 1), transaction: 1)
        message.options = [DHCPOption(.messageType, [1])]
        var bytes = message.bytes
        bytes.removeLast(bytes.count - 242)
        #expect(DHCPMessage(bytes[...]) == nil)
    }

    @Test func longOptionsAreSplitAndJoined() throws {
        var message = DHCPMessage(from: MACAddress(rawValue: 1), transaction: 1)
        message.options = [DHCPOption(.routes, (0..<600).map { UInt8(truncatingIfNeeded: $0) })]
        let read = try #require(DHCPMessage(message.bytes[...]))
        #expect(read.options == message.options)
    }

    @Test func fieldsOfNamesHoldOptionsToo() throws {
        var message = DHCPMessage(from: MACAddress(rawValue: 1), transaction: 1)
        message.options = [DHCPOption(.overload, [1])]
        var bytes = message.bytes
        bytes.replaceSubrange(108..<112, with: [12, 1, 0x61, 255])
        #expect(try #require(DHCPMessage(bytes[...]))[.hostName] == [0x61])
    }

    @Test func anyBytesAreRead() {
        var random = Dice(seed: 20)
        var whole = DHCPMessage(from: MACAddress(rawValue: 1), transaction: 1)
        whole.options = [
            DHCPOption(.messageType, [1]), DHCPOption(.overload, [3]), DHCPOption(.parameters, [1, 2, 3]),
        ]
        var read = 0
        for _ in 0..<20_000 {
            var bytes = whole.bytes
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            bytes.removeLast(Int.random(in: 0...(Bool.random(using: &random) ? 0 : bytes.count), using: &random))
            if let message = DHCPMessage(bytes[...]) {
                read += 1
                #expect(DHCPMessage(message.bytes[...])?.transaction == message.transaction)
            }
        }
        #expect(read > 1000)
    }
}
