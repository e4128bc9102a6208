/// What a device has counted since it was made (struct rtnl_link_stats64 of linux/if_link.h).
public struct LinkTraffic: Hashable, Sendable {
    public var receivedBytes: UInt64 = 0
    public var receivedPackets: UInt64 = 0
    public var receivedDropped: UInt64 = 0
    public var transmittedBytes: UInt64 = 0
    public var transmittedPackets: UInt64 = 0
    public var transmittedDropped: UInt64 = 0

    public init() {}
}
