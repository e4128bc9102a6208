import IPAddressing

/// A manifest of one VPC with security groups: `interfaces` on host h0, each in five of `groups` groups, whose lists are
/// `lists` different ones; and `members` on host h1, in the group that all rules by group name.
struct GroupedNetwork {
    var interfaces: Int
    var members: Int
    var groups: Int
    var lists: Int
    var rulesPerGroup = 10

    var text: String {
        var text = ""
        func resource(_ kind: String, _ name: String, _ spec: String) {
            text += "---\napiVersion: vpcctl.dev/v1\nkind: \(kind)\nmetadata: {name: \(name)}\nspec: \(spec)\n"
        }
        for host in 0...1 { resource("Host", "h\(host)", "{underlay: {address: 172.31.0.\(host + 1)}}") }
        resource("VPC", "v", "{id: 5, cidrs: [10.0.0.0/8]}")
        resource("Subnet", "s", "{vpc: v, cidr: 10.0.0.0/8}")
        resource("SecurityGroup", "members", "{vpc: v}")
        for group in 0..<groups {
            let rules = (0..<rulesPerGroup).map { rule in
                let port = 1000 + group * rulesPerGroup + rule
                let far = rule == 0 ? "{securityGroup: members}" : "{cidr: 10.\(rule).0.0/16}"
                return "{protocol: tcp, ports: [\(port)], from: [\(far)]}"
            }
            resource(
                "SecurityGroup", "g\(group)",
                "{vpc: v, ingress: [\(rules.joined(separator: ", "))], egress: [{protocol: all, to: [{cidr: 0.0.0.0/0}]}]}"
            )
        }
        for index in 0..<interfaces {
            let groups = list(index % lists).map { "g\($0)" }.joined(separator: ", ")
            resource(
                "NetworkInterface", "e\(index)",
                "{subnet: s, host: h0, address: \(IPAddress(v4: 0x0A00_0100 + UInt32(index))), "
                    + "securityGroups: [\(groups)], attachment: {device: e\(index)}}")
        }
        for index in 0..<members {
            resource(
                "NetworkInterface", "m\(index)",
                "{subnet: s, host: h1, address: \(IPAddress(v4: 0x0A40_0100 + UInt32(index))), "
                    + "securityGroups: [members], attachment: {device: m\(index)}}")
        }
        return text
    }

    /// Five groups, or as many as there are: the digits of the list's number pick them, so that lists differ.
    private func list(_ number: Int) -> [Int] {
        var chosen: [Int] = []
        var rest = number
        for place in 0..<min(5, groups) {
            var group = (rest % groups + place) % groups
            while chosen.contains(group) { group = (group + 1) % groups }
            chosen.append(group)
            rest /= max(groups, 2)
        }
        return chosen.sorted()
    }
}
