internal import VPCModel

extension Bandwidth {
    private static let rates = Bitrate(bitsPerSecond: 10_000_000)...Bitrate(bitsPerSecond: 5_000_000_000)

    static let fields = FieldList<Bandwidth>([
        .optional(
            "egress", \.egress, .rate(in: rates), absent: "unlimited", "10Mbit to 5Gbit: what the guests send"),
        .optional(
            "ingress", \.ingress, .rate(in: rates), absent: "unlimited", "10Mbit to 5Gbit: what they get"),
    ])
}
