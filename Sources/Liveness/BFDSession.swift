/// One end of a BFD session (RFC 5880, section 6.8) in asynchronous mode, without authentication and without echo.
///
/// A value without clock, socket or luck: it is told what has come and what time it is, and says what is to be sent and
/// when it wants to be asked again. Both ends are active: this one speaks first.
public struct BFDSession: Sendable {
    public struct Parameters: Hashable, Sendable {
        /// How often it wants to send, once the session is up.
        public var transmitInterval: Duration
        /// How often it can take a packet.
        public var receiveInterval: Duration
        /// After so many packets missing in a row the other side is to hold this one for gone.
        public var detectMultiplier: UInt8
        /// The other side has a say in when it is held for gone, up to 255 packets of an hour: no later than this.
        public var longestDetection: Duration

        public init(
            transmitInterval: Duration = .milliseconds(200), receiveInterval: Duration = .milliseconds(200),
            detectMultiplier: UInt8 = 3, longestDetection: Duration = .seconds(3)
        ) {
            (self.transmitInterval, self.receiveInterval) = (transmitInterval, receiveInterval)
            (self.detectMultiplier, self.longestDetection) = (detectMultiplier, longestDetection)
        }
    }

    public typealias Instant = ContinuousClock.Instant

    public let parameters: Parameters
    public let discriminator: UInt32
    public private(set) var state = BFDState.down
    /// Why it left ``BFDState/up`` last.
    public private(set) var diagnostic = BFDDiagnostic.none
    /// What the other side said last.
    public private(set) var remoteState = BFDState.down
    public private(set) var remoteDiagnostic = BFDDiagnostic.none

    private var remoteDiscriminator: UInt32 = 0
    private var remoteMultiplier: UInt8 = 0
    private var remoteTransmit = Duration.zero
    private var remoteReceive = Duration.microseconds(1)
    private var isRemoteDemanding = false
    /// As of the last packet that was sent; a poll that has begun goes on until it is answered.
    private var isPolling = false
    private var owesFinal = false
    /// Something has to be told that the last packet did not tell.
    private var isNews = false
    private var nextTransmission: Instant
    private var lastTransmission: Instant?
    /// When the last packet came, as long as that counts.
    private var lastReception: Instant?

    /// As long as a session is not up, nobody is to send more often (section 6.8.3).
    private static let slowInterval = Duration.seconds(1)

    /// - Parameter discriminator: Not 0, and of no other session of this system.
    public init(discriminator: UInt32, _ parameters: Parameters = Parameters(), at now: Instant) {
        precondition(discriminator != 0 && parameters.detectMultiplier > 0, "a session needs a number and a multiplier")
        self.discriminator = discriminator
        self.parameters = parameters
        nextTransmission = now
    }

    // MARK: What was agreed upon

    private var desiredTransmit: Duration {
        state == .up ? parameters.transmitInterval : max(parameters.transmitInterval, Self.slowInterval)
    }

    /// How often it sends, before jitter.
    public var transmitInterval: Duration { max(desiredTransmit, remoteReceive) }

    /// After how much silence the other side is held for gone; nil where nothing was heard of it.
    public var detectionTime: Duration? {
        if remoteMultiplier == 0 { return nil }
        return min(
            max(parameters.receiveInterval, remoteTransmit) * Int(remoteMultiplier), parameters.longestDetection)
    }

    private var expiry: Instant? {
        guard let lastReception, let detectionTime else { return nil }
        return lastReception + detectionTime
    }

    private var isPeriodic: Bool {
        if remoteReceive == .zero { return false }
        return isPolling || !(isRemoteDemanding && state == .up && remoteState == .up)
    }

    /// When ``advance(to:using:)`` has something to do.
    public var deadline: Instant {
        let next = owesFinal || mayTellNews ? earliest : isPeriodic ? nextTransmission : nil
        return [next, expiry].compactMap(\.self).min() ?? nextTransmission + Self.slowInterval
    }

    private var mayTellNews: Bool { isNews && remoteReceive != .zero }

    /// What is owed goes out at once, but not without end.
    private var earliest: Instant {
        lastTransmission.map { $0 + Self.shortestGap } ?? nextTransmission
    }

    /// Between two packets, whatever the other side asks for: it may poll as often as it likes, and is answered so often.
    private static let shortestGap = Duration.milliseconds(10)

    // MARK: What comes

    /// Takes a packet that came from the other side.
    /// - Returns: whether it was one of this session.
    @discardableResult
    public mutating func take(_ packet: BFDPacket, at now: Instant) -> Bool {
        guard packet.remoteDiscriminator == 0 || packet.remoteDiscriminator == discriminator else { return false }
        expire(at: now)
        remoteDiscriminator = packet.localDiscriminator
        (remoteState, remoteDiagnostic) = (packet.state, packet.diagnostic)
        isRemoteDemanding = packet.isDemand
        remoteMultiplier = packet.detectMultiplier
        remoteTransmit = .microseconds(Int64(packet.desiredMinimumTransmit))
        let formerInterval = transmitInterval
        remoteReceive = .microseconds(Int64(packet.requiredMinimumReceive))
        if isPolling, packet.isFinal { isPolling = false }
        lastReception = now
        follow(packet.state)
        if packet.isPoll { owesFinal = true }
        // It need not wait for a time that was agreed upon before.
        if transmitInterval < formerInterval { nextTransmission = min(nextTransmission, now + transmitInterval) }
        return true
    }

    private mutating func follow(_ remote: BFDState) {
        switch (state, remote) {
        case (.adminDown, _): break
        case (.down, .down): change(to: .initializing)
        case (.down, .initializing): change(to: .up)
        case (.initializing, .initializing), (.initializing, .up): change(to: .up)
        case (.initializing, .adminDown), (.up, .adminDown), (.up, .down): change(to: .down, .neighborSignaledDown)
        default: break
        }
    }

    private mutating func change(to new: BFDState, _ reason: BFDDiagnostic = .none) {
        state = new
        if new != .initializing { diagnostic = reason }
        isNews = true
        // By going up it asks for other intervals (section 6.8.3); before, nothing is agreed upon.
        isPolling = new == .up
    }

    private mutating func expire(at now: Instant) {
        guard let expiry, expiry <= now else { return }
        lastReception = nil
        remoteDiscriminator = 0
        (remoteMultiplier, remoteReceive, isRemoteDemanding) = (0, .microseconds(1), false)
        if state == .up || state == .initializing { change(to: .down, .detectionTimeExpired) }
    }

    // MARK: What goes

    /// Lets time pass.
    /// - Returns: the packets to be sent now: an answer, and one of the periodic ones.
    public mutating func advance(to now: Instant, using luck: inout some RandomNumberGenerator) -> [BFDPacket] {
        expire(at: now)
        var packets: [BFDPacket] = []
        if owesFinal, earliest <= now {
            var answer = packet
            (answer.isFinal, answer.isPoll, owesFinal) = (true, false, false)
            packets.append(answer)
            // It tells all that a periodic one would.
            isNews = isNews && isPolling
        }
        let isDue = isPeriodic && nextTransmission <= now
        if isDue || mayTellNews && earliest <= now {
            packets.append(packet)
            isNews = false
            nextTransmission = now + jittered(transmitInterval, using: &luck)
        } else if nextTransmission <= now {
            nextTransmission = now + transmitInterval
        }
        if !packets.isEmpty { lastTransmission = now }
        return packets
    }

    /// 75 to 100 % of it, or with a multiplier of 1 to 90 % (section 6.8.7).
    private func jittered(_ interval: Duration, using luck: inout some RandomNumberGenerator) -> Duration {
        let most: Int64 = parameters.detectMultiplier == 1 ? 900 : 1000
        return interval / 1000 * Int.random(in: 750...Int(most), using: &luck)
    }

    private var packet: BFDPacket {
        var packet = BFDPacket(
            state, diagnostic, detectMultiplier: parameters.detectMultiplier, from: discriminator,
            to: remoteDiscriminator, desiredMinimumTransmit: desiredTransmit.wholeMicroseconds,
            requiredMinimumReceive: parameters.receiveInterval.wholeMicroseconds)
        packet.isPoll = isPolling
        return packet
    }

    /// Ends the session.
    /// - Returns: what tells the other side that this is no failure.
    public mutating func end() -> BFDPacket {
        change(to: .adminDown, .administrativelyDown)
        return packet
    }
}

extension Duration {
    /// As many as fit into 32 bits.
    var wholeMicroseconds: UInt32 {
        UInt32(clamping: components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000)
    }
}
