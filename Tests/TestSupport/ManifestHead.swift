/// What the manifests of tests begin with, in YAML: each ends with its last line, without `---`.
package enum ManifestHead {
    /// Host `h1`, whose underlay address is 172.31.0.1.
    package static func host() -> String {
        """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}

        """
    }

    /// That host, VPC `v` (7) with a block, and its subnet `s`.
    /// - Parameter more: Further fields of the subnet, from a comma on.
    package static func subnet(
        _ cidr: String = "10.0.0.0/24", of block: String = "10.0.0.0/8", more: String = ""
    ) -> String {
        host() + """
            ---
            kind: VPC
            metadata: {name: v}
            spec: {id: 7, cidrs: [\(block)]}
            ---
            kind: Subnet
            metadata: {name: s}
            spec: {vpc: v, cidr: \(cidr)\(more)}

            """
    }

    /// Interfaces `here0` (10.0.1.10) and so on of that subnet, on `h1`: `eth0` and so on of namespace `web`. To come behind
    /// a head.
    /// - Parameter more: A further field of each, a line.
    package static func guests(_ count: Int, more: String? = nil) -> String {
        (0..<count).map { number in
            """
            ---
            kind: NetworkInterface
            metadata: {name: here\(number)}
            spec:
              subnet: s
              address: 10.0.1.\(10 + number)
              host: h1
              attachment: {netns: web, device: eth\(number)}
            \(more.map { "  \($0)\n" } ?? "")
            """
        }.joined()
    }
}
