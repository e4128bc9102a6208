internal import IPAddressing
internal import VPCModel

extension DHCPOptions {
    static let fields = FieldList<DHCPOptions>([
        .optional(
            "enabled", \.isEnabled, .boolean, default: true, isAlwaysWritten: true,
            "`false`: nobody is answered, and the rest is kept for later"),
        .optional(
            "lease", \.lease, .duration(in: leases), default: defaultLease, absent: "24h",
            "60s to 720h: how long a guest may use its address without asking again. It asks after half of it, so that `vpcd`"
                + " may be away for as long"),
        .optional(
            "dns", \.nameServers, .list(of: .address, "addresses"), default: [], absent: "none",
            "name servers, at most 4"),
        .optional(
            "ntp", \.timeServers, .list(of: .address, "addresses"), default: [], absent: "none",
            "time servers, at most 4"),
        .optional("domain", \.domain, .domain, absent: "none", "of the guests' names, and the one that they search"),
        .optional(
            "routes", \.routes,
            .list(of: .object(Route.fields, from: Route(destination: .defaultIPv4)), "routes"), default: [],
            absent: "none", "by the gateway, beside the default route (RFC 3442), at most 4"),
    ])
}

extension DHCPOptions.Route {
    fileprivate static let fields = FieldList<DHCPOptions.Route>([.required("destination", \.destination, .prefix)])
}
