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
}
