import Glibc
import IPAddressing

/// A manifest of any size: `interfaces` over `vpcs` VPCs with equal addresses. The first interface of every VPC is on
/// host h0, so that this host has all their tables; all others are spread over the other hosts.
struct Network {
    var interfaces: Int
    var hosts: Int
    var vpcs = 1

    enum Format: String {
        case yaml
        case json
    }

    /// Hands out the text piece by piece, a resource each.
    func write(_ format: Format, to sink: (String) -> Void) {
        switch format {
        case .yaml: writeYAML(to: sink)
        case .json: writeJSON(to: sink)
        }
    }

    func text(_ format: Format = .yaml) -> String {
        var text = ""
        write(format) { text += $0 }
        return text
    }

    /// As files of so many resources.
    func files(of count: Int) -> [(name: String, bytes: [UInt8])] {
        var files: [(name: String, bytes: [UInt8])] = []
        var resources = 0
        write(.yaml) { piece in
            if resources % count == 0 { files.append(("\(files.count).yaml", [])) }
            files[files.count - 1].bytes += piece.utf8
            resources += 1
        }
        return files
    }

    private func writeYAML(to sink: (String) -> Void) {
        func resource(_ kind: String, _ name: String, _ spec: String) {
            sink("---\napiVersion: vpcctl.dev/v1\nkind: \(kind)\nmetadata: {name: \(name)}\nspec: \(spec)\n")
        }
        for host in 0..<hosts { resource("Host", "h\(host)", "{underlay: {address: \(underlay(host))}}") }
        for vpc in 0..<vpcs {
            resource("VPC", "v\(vpc)", "{id: \(vpc + 5), cidrs: [10.0.0.0/8]}")
            resource("Subnet", "s\(vpc)", "{vpc: v\(vpc), cidr: 10.0.0.0/8}")
        }
        forEachInterface { index, vpc, host, address in
            resource(
                "NetworkInterface", "i\(index)",
                "{subnet: s\(vpc), host: h\(host), address: \(address), attachment: {netns: n\(index), device: eth0}}")
        }
    }

    /// One list: JSON has no streams of documents.
    private func writeJSON(to sink: (String) -> Void) {
        var separator = "{\"apiVersion\":\"vpcctl.dev/v1\",\"kind\":\"List\",\"items\":[\n"
        func resource(_ kind: String, _ name: String, _ spec: String) {
            sink("\(separator){\"kind\":\"\(kind)\",\"metadata\":{\"name\":\"\(name)\"},\"spec\":\(spec)}")
            separator = ",\n"
        }
        for host in 0..<hosts { resource("Host", "h\(host)", "{\"underlay\":{\"address\":\"\(underlay(host))\"}}") }
        for vpc in 0..<vpcs {
            resource("VPC", "v\(vpc)", "{\"id\":\(vpc + 5),\"cidrs\":[\"10.0.0.0/8\"]}")
            resource("Subnet", "s\(vpc)", "{\"vpc\":\"v\(vpc)\",\"cidr\":\"10.0.0.0/8\"}")
        }
        forEachInterface { index, vpc, host, address in
            resource(
                "NetworkInterface", "i\(index)",
                "{\"subnet\":\"s\(vpc)\",\"host\":\"h\(host)\",\"address\":\"\(address)\","
                    + "\"attachment\":{\"netns\":\"n\(index)\",\"device\":\"eth0\"}}")
        }
        sink("\n]}\n")
    }

    private func forEachInterface(_ body: (_ index: Int, _ vpc: Int, _ host: Int, IPAddress) -> Void) {
        for index in 0..<interfaces {
            let (place, vpc) = index.quotientAndRemainder(dividingBy: vpcs)
            let host = place == 0 ? 0 : 1 + index % max(hosts - 1, 1)
            body(index, vpc, host, IPAddress(v4: 0x0A00_0100 + UInt32(place)))
        }
    }

    private func underlay(_ host: Int) -> IPAddress { IPAddress(v4: 0xAC1F_0001 + UInt32(host)) }
}
