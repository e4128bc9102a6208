/// Bits a second; of packets the bytes from their IP headers on count.
public struct Bitrate: Hashable, Sendable, Comparable {
    public var bitsPerSecond: UInt64

    public init(bitsPerSecond: UInt64) { self.bitsPerSecond = bitsPerSecond }

    public static func < (left: Bitrate, right: Bitrate) -> Bool { left.bitsPerSecond < right.bitsPerSecond }
}

/// What may pass something in a second, seen from the guests; nil: anything.
public struct Bandwidth: Hashable, Sendable {
    public var egress: Bitrate?
    public var ingress: Bitrate?

    public init(egress: Bitrate? = nil, ingress: Bitrate? = nil) {
        self.egress = egress
        self.ingress = ingress
    }
}
