import CTraffic
import Glibc
import IPAddressing
import Netlink
import Traffic
import VPCModel

/// One question to one address, asked until it is answered or the time is over, with what was seen of it on the way.
struct Exchange {
    let sender: Station
    let destination: IPAddress
    /// What the destination has become where the question arrives.
    let arrivalAddress: IPAddress
    let transport: Probe.Transport
    /// Those whose answer counts, by name, with their namespaces: there the question is looked out for.
    let witnesses: [String: NetworkNamespace]
    /// Whether an answer is expected, and so waited for longer.
    let isAwaited: Bool

    private(set) var firstSent: ContinuousClock.Instant?
    private(set) var nextSend: ContinuousClock.Instant?
    private(set) var attempts = 0
    private var sockets: [OpenSocket] = []

    /// The question was seen on its way out of the sender's namespace.
    var hasLeft = false
    /// The sender asked on the wire for the destination's MAC address: without an answer, a question to a neighbour gets
    /// no further.
    var isNeighborSought = false
    /// The witnesses in whose namespace it was seen to arrive.
    var arrivedAt: Set<String> = []
    /// The first answer that counts.
    private(set) var answer: (name: String, delay: Duration)?
    /// Others that answered.
    private(set) var strangers: Set<String> = []
    /// An echo reply, which does not say whose it is: it counts once the request was seen at a witness.
    private var echoDelay: Duration?
    private(set) var icmpError: ICMPError?
    /// What the sender's own kernel said: not sent, refused, reset.
    private(set) var failure: String?

    private struct OpenSocket {
        var socket: Socket
        var identifier: UInt16
        /// Of a TCP connection or an SCTP association.
        var isConnected = false
        var received: [UInt8] = []
    }

    init(
        from sender: Station, to destination: IPAddress, arrivingAt arrivalAddress: IPAddress? = nil,
        _ transport: Probe.Transport, witnesses: [String: NetworkNamespace], isAwaited: Bool
    ) {
        self.sender = sender
        self.destination = destination
        self.arrivalAddress = arrivalAddress ?? destination
        self.transport = transport
        self.witnesses = witnesses
        self.isAwaited = isAwaited
    }

    var isAnswered: Bool { answer != nil }

    // MARK: Sending

    private var protocolNumber: UInt8 {
        switch transport {
        case .icmp: UInt8(IPPROTO_ICMP)
        case .tcp: UInt8(IPPROTO_TCP)
        case .udp: UInt8(IPPROTO_UDP)
        case .sctp: UInt8(IPPROTO_SCTP)
        }
    }

    private var port: UInt16 {
        switch transport {
        case .icmp: 0
        case .tcp(let port), .udp(let port), .sctp(let port): port
        }
    }

    /// Whether there is a connection before there is a question.
    private var isConnectionOriented: Bool {
        switch transport {
        case .tcp, .sctp: true
        case .icmp, .udp: false
        }
    }

    /// What the exchange's packets look like, where they are sent and where they arrive.
    func flows(_ identifier: UInt16) -> [Flow] {
        [destination, arrivalAddress].map {
            Flow(protocolNumber: protocolNumber, destination: $0, sender: identifier, port: port)
        }
    }

    private func question(_ identifier: UInt16) -> String { "probe-\(identifier)" }

    /// Sends the question (once more).
    /// - Parameter identifiers: Source ports and ICMP identifiers that no other exchange has.
    /// - Returns: The identifiers that are new.
    mutating func send(_ identifiers: inout IdentifierSource, next: ContinuousClock.Instant?) -> [UInt16] {
        let now = ContinuousClock.now
        firstSent = firstSent ?? now
        nextSend = next
        attempts += 1
        do {
            var new: [UInt16] = []
            if sockets.isEmpty || isConnectionOriented {
                let open = try openSocket(&identifiers)
                sockets.append(open)
                new.append(open.identifier)
            }
            try send(by: sockets.count - 1)
            return new
        } catch {
            failure = "\(error)"
            return []
        }
    }

    private func openSocket(_ identifiers: inout IdentifierSource) throws -> OpenSocket {
        try sender.namespace.run {
            switch transport {
            case .icmp:
                let socket = try Socket(AF_INET, SOCK_RAW, Int32(IPPROTO_ICMP))
                if let source = sender.source { try socket.bind(SocketAddress(source, 0)) }
                return OpenSocket(socket: socket, identifier: identifiers.next())
            case .tcp, .udp, .sctp:
                let socket = try Socket(
                    AF_INET, isConnectionOriented ? SOCK_STREAM : SOCK_DGRAM, Int32(protocolNumber))
                for _ in 0..<64 {
                    let identifier = identifiers.next()
                    let address = SocketAddress(sender.source ?? .anyIPv4, identifier)
                    if address.withPointer({ bind(socket.descriptor, $0, $1) }) == 0 {
                        return OpenSocket(socket: socket, identifier: identifier)
                    }
                    if errno != EADDRINUSE { throw LabError.system("bind to \(address)") }
                }
                throw LabError(.system, "no port is free")
            }
        }
    }

    private mutating func send(by index: Int) throws {
        let open = sockets[index]
        switch transport {
        case .icmp:
            let request = EchoRequest(identifier: open.identifier, sequence: UInt16(attempts), size: 32)
            try check(open.socket.send(request.bytes, to: SocketAddress(destination, 0)))
        case .udp(let port):
            try check(
                open.socket.send(Array(question(open.identifier).utf8), to: SocketAddress(destination, port)))
        case .tcp(let port), .sctp(let port):
            if try open.socket.connect(SocketAddress(destination, port)).get() { connected(index) }
        }
    }

    private func check(_ failure: Int32) throws(LabError) {
        if failure != 0 { throw .system("send", failure) }
    }

    private mutating func connected(_ index: Int) {
        sockets[index].isConnected = true
        let line = Array("ask \(question(sockets[index].identifier))\n".utf8)
        _ = Glibc.send(sockets[index].socket.descriptor, line, line.count, Int32(MSG_NOSIGNAL))
    }

    // MARK: Receiving

    func addSockets(to polls: inout PollSet) {
        for open in sockets {
            let isConnecting = isConnectionOriented && !open.isConnected
            polls.add(open.socket.descriptor, isConnecting ? POLLOUT : POLLIN)
        }
    }

    var socketCount: Int { sockets.count }

    /// Reads what came for one of the sockets.
    mutating func receive(_ index: Int) {
        switch transport {
        case .icmp: receiveEcho(index)
        case .udp: receiveDatagram(index)
        case .tcp, .sctp: receiveStream(index)
        }
    }

    private var delay: Duration { firstSent?.duration(to: .now) ?? .zero }

    private mutating func receiveEcho(_ index: Int) {
        while let (bytes, from) = sockets[index].socket.receive() {
            guard let packet = IPv4Packet(bytes[...]), let reply = EchoReply(packet), from.address == destination,
                reply.identifier == sockets[index].identifier
            else { continue }
            echoDelay = echoDelay ?? delay
        }
    }

    private mutating func receiveDatagram(_ index: Int) {
        while let (bytes, _) = sockets[index].socket.receive() { take(bytes, index) }
    }

    private mutating func receiveStream(_ index: Int) {
        if !sockets[index].isConnected {
            let error = sockets[index].socket.pendingError
            if error != 0 { return close(index, because: LabError.system("connect", error).message) }
            connected(index)
            return
        }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = read(sockets[index].socket.descriptor, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        if count <= 0 {
            return close(
                index, because: count == 0 ? "connected, then closed" : LabError.system("connected, then read").message)
        }
        sockets[index].received += buffer[..<count]
        if sockets[index].received.last == UInt8(ascii: "\n") {
            take(sockets[index].received.dropLast(), index)
        }
    }

    private mutating func close(_ index: Int, because reason: String) {
        failure = reason
        sockets.remove(at: index)
    }

    private mutating func take(_ bytes: some Sequence<UInt8>, _ index: Int) {
        guard let said = Answer(bytes, delay: delay), said.text == question(sockets[index].identifier) else { return }
        if witnesses[said.name] != nil {
            if answer == nil { answer = (said.name, said.delay) }
        } else {
            strangers.insert(said.name)
        }
    }

    /// Takes note of an error about one of this exchange's packets.
    mutating func take(_ error: ICMPError) { icmpError = icmpError ?? error }

    /// Puts together an echo reply and where its request arrived.
    mutating func settle() {
        guard answer == nil, let echoDelay else { return }
        if witnesses.isEmpty {
            answer = ("\(destination)", echoDelay)
        } else if let name = arrivedAt.sorted().first {
            answer = (name, echoDelay)
        } else {
            strangers.insert("somebody else")
        }
    }

    /// Whether somebody accepted a connection at all, even if there was no answer to the question.
    var isConnected: Bool { sockets.contains { $0.isConnected } }
}

/// Numbers that are given out once in a run.
struct IdentifierSource {
    private var last = UInt16.random(in: 20000...28000)

    mutating func next() -> UInt16 {
        last = last >= 60000 ? 20000 : last + 1
        return last
    }
}
