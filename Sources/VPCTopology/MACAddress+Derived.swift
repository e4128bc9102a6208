public import IPAddressing
public import VPCModel

extension MACAddress {
    /// What every subnet's gateway answers with: the host ends of all ports have it (00-00-5E with the local bit).
    public static let gateway = MACAddress(rawValue: 0x0200_5E00_0001)

    /// The address of an interface that states none: 02, one octet of the VPC's id, and the IPv4 address.
    ///
    /// Locally administered, the same wherever and whenever it is computed, and unique in its VPC because the address
    /// is. The VPC's octet is never 0, which keeps clear of `gateway` and of the addresses people write by hand.
    public init(vpc: VPCID, address: IPAddress) {
        let octet = UInt64((vpc.rawValue - 1) % 255 + 1)
        var low = address.low
        if address.family == .ipv6 {
            // The interface identifier is the part that differs; SplitMix64's finaliser spreads it over 32 bits.
            low ^= address.high
            low = (low ^ low >> 30) &* 0xBF58_476D_1CE4_E5B9
            low = (low ^ low >> 27) &* 0x94D0_49BB_1331_11EB
            low ^= low >> 31
        }
        self.init(rawValue: 0x02 << 40 | octet << 32 | low & 0xFFFF_FFFF)
    }
}
