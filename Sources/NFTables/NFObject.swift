public import KernelNames

/// An object with a name that elements of maps bear, beside counters.
public struct NFObject: Hashable, Sendable {
    public enum Body: Hashable, Sendable {
        /// What all that is led to it may come to together.
        case limit(NFLimit)
        /// How long connections are remembered.
        case timeout(NFTimeout)

        /// `NFT_OBJECT_LIMIT`, `NFT_OBJECT_CT_TIMEOUT`.
        public var type: UInt32 {
            switch self {
            case .limit: 4
            case .timeout: 7
            }
        }

        /// Whether that is what was asked for; of timeouts the kernel says more.
        package func fulfils(_ wanted: Body) -> Bool {
            guard case (.timeout(let own), .timeout(let asked)) = (self, wanted) else { return self == wanted }
            return own.ipProtocol == asked.ipProtocol
                && asked.seconds.allSatisfy { own.seconds[$0.key] == $0.value }
        }
    }

    public var name: String
    public var body: Body
    public var origin: Origin

    public init(_ name: String, _ body: Body, origin: Origin = .none) {
        self.name = name
        self.body = body
        self.origin = origin
    }
}

/// How long connections of a protocol are remembered without a packet.
public struct NFTimeout: Hashable, Sendable {
    public var ipProtocol: NFProtocol
    /// By state (`CTA_TIMEOUT_*` of linux/netfilter/nfnetlink_cttimeout.h); the others are the namespace's.
    public var seconds: [UInt16: UInt32]

    public init(_ ipProtocol: NFProtocol, seconds: [UInt16: UInt32]) {
        self.ipProtocol = ipProtocol
        self.seconds = seconds
    }

    /// Of connections that both sides have spoken in; of UDP also those in which one has, if it is shorter than 30 s.
    public static func idle(_ ipProtocol: NFProtocol, seconds: UInt32) -> NFTimeout {
        switch ipProtocol {
        case .tcp: NFTimeout(.tcp, seconds: [3: seconds])
        case .udp: NFTimeout(.udp, seconds: [1: min(seconds, 30), 2: seconds])
        default: NFTimeout(ipProtocol, seconds: [1: seconds])
        }
    }
}
