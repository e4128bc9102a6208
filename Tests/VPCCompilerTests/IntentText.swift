import KernelModel
import NFTables
import VPCCompiler
import VPCTopology

/// An intent as text, one object a line, in the order of the kinds: what the golden files hold.
func text(of intent: KernelIntent, _ topology: Topology) -> String {
    var lines: [String] = []
    func add(_ namespace: String, _ intent: NamespaceIntent) {
        lines.append("# \(namespace)")
        func line<Object: KernelObject>(_ item: Attributed<Object>, _ more: String = "") {
            let owner = topology.resource(of: item.origin).map { "  (\($0))" } ?? ""
            lines.append("\(item.object)\(more)\(owner)")
        }
        intent.sysctls.forEach { line($0) }
        intent.displacedRules.forEach { lines.append("no \($0)") }
        intent.rules.forEach { line($0) }
        for link in intent.links { line(link, details(of: link.object)) }
        intent.addresses.forEach { line($0) }
        intent.neighbors.forEach { line($0) }
        intent.nexthops.forEach { line($0) }
        intent.routes.forEach { line($0) }
        for table in intent.firewall {
            for item in table.changes(from: nil).items {
                let owner = topology.resource(of: item.origin).map { "  (\($0))" } ?? ""
                lines.append(item.object + owner)
            }
            for set in table.sets { lines.append("\(set.name) has \(details(of: set))") }
        }
    }
    if let namespace = intent.namespace { lines.append("# \(namespace.object): \(namespace.object.alias)") }
    add("underlay", intent.underlay)
    add("host", intent.host)
    for guest in intent.guests { add("netns \(guest.namespace)", guest.intent) }
    return lines.joined(separator: "\n") + "\n"
}

private func details(of link: Link) -> String {
    var text = " group \(link.group)"
    if let mtu = link.mtu { text += " mtu \(mtu)" }
    if let address = link.hardwareAddress { text += " address \(address)" }
    if !link.alias.isEmpty { text += " alias \"\(link.alias)\"" }
    if let ipv4 = link.ipv4 {
        for setting in IPv4DeviceConfiguration.Setting.allCases where ipv4[setting] != 0 {
            text += " \(setting.rawValue)" + (ipv4[setting] == 1 ? "" : "=\(ipv4[setting])")
        }
    }
    if let delay = link.proxyDelay { text += " proxy_delay \(delay)" }
    if link.ipv6Disabled == true { text += " disable_ipv6" }
    return text
}

/// What creating it does not tell: what its elements are made of, and how it is kept.
private func details(of set: NFSet) -> String {
    let shape = set.shape
    var text = "key 0x" + String(shape.keyCode, radix: 16) + " of \(shape.keyLength) bytes"
    if shape.isInterval { text += " interval \(shape.fieldLengths)" }
    switch shape.data {
    case .verdict: text += " verdicts"
    case .value(let code, let length): text += " values 0x" + String(code, radix: 16) + " of \(length) bytes"
    case .object(let type): text += " objects of type \(type)"
    case nil: break
    }
    if set.grows { text += " grows" }
    if set.admits { text += " admits" }
    return text
}
