import IPAddressing
import VPCModel

extension Resolver {
    /// Whether all that guests are to be told can be told.
    mutating func check(_ options: DHCPOptions, of subnet: Subnet) {
        let lists = [
            ("dns", options.nameServers.count), ("ntp", options.timeServers.count), ("routes", options.routes.count),
        ]
        for (field, count) in lists where count > DHCPOptions.mostEntries {
            report(
                "dhcp-too-long", "\(field) has \(count) entries: \(DHCPOptions.mostEntries) fit into an answer",
                hint: "leave some out", at: subnet.reference, ["spec", "dhcp", .key(field)])
        }
        for (index, route) in options.routes.enumerated() where route.destination.length == 0 {
            report(
                "dhcp-default-route", "guests have the default route by the subnet's gateway anyway",
                hint: "leave the entry out", at: subnet.reference,
                ["spec", "dhcp", "routes", .index(index), "destination"])
        }
    }
}
