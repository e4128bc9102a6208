/// What the manifests of tests begin with, in YAML: each ends with its last line, without `---`.
package enum ManifestHead {
    /// The network namespace of the machine that the current test plays a host with: hosts of that name are on the same
    /// machine at the same time, and each has to have one of its own for its VPCs.
    @TaskLocal package static var machine: String?

    /// Host `h1`, whose underlay address is 172.31.0.1.
    package static func host() -> String {
        let text = """
            apiVersion: vpcctl.dev/v1
            kind: Host
            metadata: {name: h1}
            \(underlay)}

            """
        return machine.map { placed(text, on: $0) } ?? text
    }

    private static let underlay = "spec: {underlay: {address: 172.31.0.1}"
    /// As the examples have it.
    private static let line = "  underlay: {address: 172.31.0.1}\n"

    /// What ``host()`` gives, or has an example's host of that address, on a certain machine.
    package static func placed(_ text: String, on machine: String) -> String {
        let place = "dataPlane: {namespace: \(own(machine))}"
        return text.replacing("\(underlay)}", with: "\(underlay), \(place)}")
            .replacing(line, with: line + "  \(place)\n")
    }

    /// The name of the namespace for the VPCs there.
    package static func own(_ machine: String) -> String { machine + "-vpc" }

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
