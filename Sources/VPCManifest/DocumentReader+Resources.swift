internal import IPAddressing
internal import VPCModel

/// What one document, or one item of a list, turned out to be.
struct DecodedDocument {
    var kind: ResourceKind?
    var name: String?
    /// The node of the name.
    var nameNode: Int?
    /// Nil where anything is wrong with it.
    var resource: Resource?
}

extension DocumentReader {
    static let apiVersion = "vpcctl.dev/v1"
    /// A document that holds other documents under `items`, as kubectl writes it; the only way to put several
    /// resources into one JSON file.
    static let listKind = "List"

    /// The items where the document is a list; nil where it is one resource.
    ///
    /// - Parameter apiVersion: what a document without one has.
    mutating func listItems(apiVersion: inout String?) -> [Int]? {
        guard tree[0].kind == .mapping, let kind = tree.key(named: "kind", of: 0),
            tree.isText(tree.next(kind), Self.listKind), let fields = fields(0, ListField.self)
        else { return nil }
        readAPIVersion(fields, .apiVersion, inherited: &apiVersion)
        guard let items = required(fields, .items) else { return [] }
        return list(items, of: "resources") { $1 } ?? []
    }

    /// Reads the resource at `root`.
    mutating func document(apiVersion: inout String?) -> DecodedDocument {
        var decoded = DecodedDocument()
        resource = nil
        let before = problemCount
        guard tree[root].kind == .mapping else {
            report(
                "wrong-type",
                "a document must be a mapping with apiVersion, kind, metadata and spec, not \(description(root))",
                at: root)
            return decoded
        }
        // The subject of all further messages, so that even a misspelt top-level field says whose it is.
        identify(&decoded)
        guard let fields = fields(root, DocumentField.self) else { return decoded }
        readAPIVersion(fields, .apiVersion, inherited: &apiVersion)
        let kind = required(fields, .kind).flatMap { self.kind($0) }
        let metadata = required(fields, .metadata).flatMap { self.metadata($0) }
        if let kind, let spec = required(fields, .spec), let metadata = metadata ?? placeholder(decoded) {
            let resource = read(kind, metadata, spec)
            if problemCount == before { decoded.resource = resource }
        }
        return decoded
    }

    /// Metadata to go on with when the real one is broken: the spec is to be checked all the same.
    private func placeholder(_ decoded: DecodedDocument) -> Metadata? { Metadata(name: decoded.name ?? "") }

    /// Finds out kind and name without complaining about anything.
    private mutating func identify(_ decoded: inout DecodedDocument) {
        if let key = tree.key(named: "kind", of: root), tree[tree.next(key)].kind == .scalar {
            decoded.kind = ResourceKind(rawValue: tree.text(tree.next(key)))
        }
        if let key = tree.key(named: "metadata", of: root), tree[tree.next(key)].kind == .mapping,
            let name = tree.key(named: "name", of: tree.next(key)), tree[tree.next(name)].kind == .scalar
        {
            let node = tree.next(name)
            let text = tree.text(node)
            if isDNSLabel(text) { (decoded.name, decoded.nameNode) = (text, node) }
        }
        if let kind = decoded.kind, let name = decoded.name { resource = ResourceReference(kind, name) }
    }

    private enum DocumentField: Int, FieldKey {
        case apiVersion, kind, metadata, spec
        static let names = caseNames()
    }

    private enum ListField: Int, FieldKey {
        case apiVersion, kind, metadata, items
        static let names = caseNames()
    }

    mutating func readAPIVersion<Key: FieldKey>(_ fields: Fields<Key>, _ key: Key, inherited: inout String?) {
        // Only the first document of a file needs it: the others are of the same make. If that lacks it too, one error
        // is enough.
        if fields[key.rawValue] == nil, inherited != nil { return }
        inherited = Self.apiVersion
        guard let node = required(fields, key), let version = string(node) else { return }
        guard version != Self.apiVersion else { return }
        report(
            "api-version", "apiVersion \(quoted(short(version))) is not known",
            hint: "write apiVersion: \(Self.apiVersion)",
            at: node)
    }

    private mutating func kind(_ node: Int) -> ResourceKind? {
        guard let text = string(node) else { return nil }
        guard let kind = ResourceKind(rawValue: text) else {
            let kinds = ResourceKind.allCases.map(\.rawValue)
            report(
                "unknown-kind", "there is no kind \(quoted(short(text)))",
                hint: Spelling.nearest(to: text, among: kinds).map { "did you mean \($0)?" }
                    ?? "the kinds are \(kinds.joined(separator: ", "))",
                at: node)
            return nil
        }
        return kind
    }

    private mutating func read(_ kind: ResourceKind, _ metadata: Metadata, _ spec: Int) -> Resource? {
        switch kind {
        case .host: host(metadata, spec).map { Resource($0) }
        case .vpc: vpc(metadata, spec).map { Resource($0) }
        case .subnet: subnet(metadata, spec).map { Resource($0) }
        case .routeTable: routeTable(metadata, spec).map { Resource($0) }
        case .networkInterface: networkInterface(metadata, spec).map { Resource($0) }
        case .probe: probe(metadata, spec).map { Resource($0) }
        case .securityGroup: securityGroup(metadata, spec).map { Resource($0) }
        case .networkACL: networkACL(metadata, spec).map { Resource($0) }
        default: nil
        }
    }

    // MARK: Metadata

    private enum MetadataField: Int, FieldKey {
        case name, labels, annotations
        static let names = caseNames()
    }

    private mutating func metadata(_ node: Int) -> Metadata? {
        guard let fields = fields(node, MetadataField.self) else { return nil }
        let name = required(fields, .name).flatMap { self.name($0) }
        let labels = optional(fields, .labels).flatMap { strings($0) }
        let annotations = optional(fields, .annotations).flatMap { strings($0) }
        guard let name else { return nil }
        return Metadata(name: name, labels: labels ?? [:], annotations: annotations ?? [:])
    }

    // MARK: Host

    private enum HostField: Int, FieldKey {
        case underlay, region, zone, aggregateRoutes
        static let names = caseNames()
    }

    private enum UnderlayField: Int, FieldKey {
        case address, device
        static let names = caseNames()
    }

    private mutating func host(_ metadata: Metadata, _ spec: Int) -> Host? {
        guard let fields = fields(spec, HostField.self) else { return nil }
        let region = optional(fields, .region).flatMap { string($0) }
        let zone = optional(fields, .zone).flatMap { string($0) }
        let aggregatesRoutes = optional(fields, .aggregateRoutes).flatMap { boolean($0) }
        guard let underlay = required(fields, .underlay).flatMap({ self.fields($0, UnderlayField.self) }) else {
            return nil
        }
        let address = required(underlay, .address).flatMap { self.address($0) }
        let device = optional(underlay, .device).flatMap { ownDevice($0) }
        guard let address else { return nil }
        return Host(
            metadata: metadata, underlayAddress: address, underlayDevice: device, region: region, zone: zone,
            aggregatesRoutes: aggregatesRoutes ?? false)
    }

    // MARK: VPC

    private enum VPCField: Int, FieldKey {
        case id, cidrs, logDenied
        static let names = caseNames()
    }

    private enum DenialLogField: Int, FieldKey {
        case nflogGroup, rate
        static let names = caseNames()
    }

    private mutating func vpc(_ metadata: Metadata, _ spec: Int) -> VPC? {
        guard let fields = fields(spec, VPCField.self) else { return nil }
        let range = Int(VPCID.range.lowerBound)...Int(VPCID.range.upperBound)
        let id = required(fields, .id).flatMap { integer($0, in: range) }.flatMap { VPCID(UInt32($0)) }
        let cidrsNode = required(fields, .cidrs)
        let cidrs = cidrsNode.flatMap { list($0, of: "CIDR blocks") { $0.prefix($1) } }
        if let cidrsNode, tree[cidrsNode].kind == .sequence, tree.next(cidrsNode) == cidrsNode + 1 {
            report("empty-list", "spec.cidrs is empty", hint: "a VPC needs at least one CIDR block", at: cidrsNode)
        }
        let denialLog = optional(fields, .logDenied).flatMap { self.denialLog($0) }
        guard let id, let cidrs else { return nil }
        return VPC(metadata: metadata, id: id, cidrs: cidrs, denialLog: denialLog)
    }

    private mutating func denialLog(_ node: Int) -> DenialLog? {
        guard tree[node].kind == .mapping else {
            report(
                "wrong-type", "\(path(node)) must be a mapping, not \(description(node))",
                hint: "write {nflogGroup: 5} to log, and leave the field out not to", at: node)
            return nil
        }
        guard let fields = fields(node, DenialLogField.self) else { return nil }
        let group = required(fields, .nflogGroup).flatMap { integer($0, in: 0...Int(UInt16.max)) }
        let rate = optional(fields, .rate).flatMap { integer($0, in: DenialLog.rates) }
        return group.map { DenialLog(group: UInt16($0), rate: rate ?? DenialLog.defaultRate) }
    }

    // MARK: Subnet

    private enum SubnetField: Int, FieldKey {
        case vpc, cidr, gateway, zone, routeTable, acl
        static let names = caseNames()
    }

    private mutating func subnet(_ metadata: Metadata, _ spec: Int) -> Subnet? {
        guard let fields = fields(spec, SubnetField.self) else { return nil }
        let vpc = required(fields, .vpc).flatMap { name($0) }
        let cidr = required(fields, .cidr).flatMap { prefix($0) }
        let gateway = optional(fields, .gateway).flatMap { address($0) }
        let zone = optional(fields, .zone).flatMap { string($0) }
        let routeTable = optional(fields, .routeTable).flatMap { name($0) }
        let acl = optional(fields, .acl).flatMap { name($0) }
        guard let vpc, let cidr else { return nil }
        return Subnet(
            metadata: metadata, vpc: vpc, cidr: cidr, gateway: gateway, zone: zone, routeTable: routeTable, acl: acl)
    }

    // MARK: RouteTable

    private enum RouteTableField: Int, FieldKey {
        case vpc, routes
        static let names = caseNames()
    }

    private enum RouteField: Int, FieldKey {
        case destination, nextHops, blackhole
        static let names = caseNames()
    }

    private enum NextHopField: Int, FieldKey {
        case interface, weight
        static let names = caseNames()
    }

    private mutating func routeTable(_ metadata: Metadata, _ spec: Int) -> RouteTable? {
        guard let fields = fields(spec, RouteTableField.self) else { return nil }
        let vpc = required(fields, .vpc).flatMap { name($0) }
        let routes = optional(fields, .routes).flatMap { list($0, of: "routes") { $0.route($1) } }
        guard let vpc else { return nil }
        return RouteTable(metadata: metadata, vpc: vpc, routes: routes ?? [])
    }

    private mutating func route(_ node: Int) -> CustomRoute? {
        guard let fields = fields(node, RouteField.self) else { return nil }
        let destination = required(fields, .destination).flatMap { prefix($0) }
        let nextHops = optional(fields, .nextHops)
        let blackhole = optional(fields, .blackhole)
        var target: CustomRoute.Target?
        if let nextHops {
            target = list(nextHops, of: "next hops") { $0.nextHop($1) }.map(CustomRoute.Target.nextHops)
            if tree[nextHops].kind == .sequence, tree.next(nextHops) == nextHops + 1 {
                report(
                    "empty-list", "\(path(nextHops)) is empty", hint: "write blackhole: true to drop the traffic",
                    at: nextHops)
            }
        }
        if let blackhole, let isBlackhole = boolean(blackhole) {
            if nextHops != nil {
                report(
                    "conflicting-fields", "\(path(node)) has both nextHops and blackhole", hint: "remove one of them",
                    at: blackhole)
            } else if isBlackhole {
                target = .blackhole
            } else {
                report(
                    "invalid-value", "\(path(blackhole)) can only be true", hint: "name nextHops instead", at: blackhole
                )
            }
        }
        if nextHops == nil, blackhole == nil {
            report(
                "missing-field", "\(path(node)) leads nowhere", hint: "add nextHops, or blackhole: true", at: node)
        }
        guard let destination, let target else { return nil }
        return CustomRoute(destination: destination, target: target)
    }

    private mutating func nextHop(_ node: Int) -> NextHop? {
        guard let fields = fields(node, NextHopField.self) else { return nil }
        let interface = required(fields, .interface).flatMap { name($0) }
        let weight = optional(fields, .weight).flatMap { integer($0, in: NextHop.weights) }
        guard let interface else { return nil }
        return NextHop(interface: interface, weight: weight ?? 1)
    }

    // MARK: NetworkInterface

    private enum InterfaceField: Int, FieldKey {
        case subnet, host, address, mac, sourceDestCheck, securityGroups, attachment, mtu
        static let names = caseNames()
    }

    private enum AttachmentField: Int, FieldKey {
        case netns, device
        static let names = caseNames()
    }

    private mutating func networkInterface(_ metadata: Metadata, _ spec: Int) -> NetworkInterface? {
        guard let fields = fields(spec, InterfaceField.self) else { return nil }
        let subnet = required(fields, .subnet).flatMap { name($0) }
        let host = required(fields, .host).flatMap { name($0) }
        let address = required(fields, .address).flatMap { self.address($0) }
        let mac = optional(fields, .mac).flatMap { self.mac($0) }
        let sourceDestCheck = optional(fields, .sourceDestCheck).flatMap { boolean($0) }
        let groups = optional(fields, .securityGroups).flatMap { list($0, of: "names") { $0.name($1) } }
        let attachment = required(fields, .attachment).flatMap { self.attachment($0) }
        let mtu = optional(fields, .mtu).flatMap { integer($0, in: NetworkInterface.mtus) }
        guard let subnet, let host, let address, let attachment else { return nil }
        return NetworkInterface(
            metadata: metadata, subnet: subnet, host: host, address: address, mac: mac,
            sourceDestCheck: sourceDestCheck ?? true, securityGroups: groups ?? [], attachment: attachment, mtu: mtu)
    }

    private mutating func attachment(_ node: Int) -> NetworkInterface.Attachment? {
        guard let fields = fields(node, AttachmentField.self) else { return nil }
        guard let netnsNode = optional(fields, .netns) else {
            return required(fields, .device).flatMap { ownDevice($0) }.map { .device($0) }
        }
        let device = required(fields, .device).flatMap { self.device($0) }
        guard let netns = self.netns(netnsNode), let device else { return nil }
        return .namespace(netns, device: device)
    }

    /// A device in a host's own namespace, where some names are the controller's.
    private mutating func ownDevice(_ node: Int) -> String? {
        guard let text = device(node) else { return nil }
        if !text.hasPrefix("vpc-") { return text }
        report(
            "invalid-device", "\(path(node)): \(text) is the name of a device that the controller makes",
            hint: "name a device that is there without it: on hosts, names that begin with vpc- are its own", at: node)
        return nil
    }

    /// The name of a network device: what the kernel's dev_valid_name (net/core/dev.c) lets pass, and no pattern.
    private mutating func device(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        // `%` would make the kernel number the device; `all` and `default` are directories beside the devices' sysctls.
        let isValid =
            (1...15).contains(text.utf8.count) && text != "." && text != ".."
            && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0xA0 && !"/:%".utf8.contains($0) }
        guard isValid else {
            report(
                "invalid-device", "\(path(node)): \(quoted(short(text))) is not a valid device name",
                hint: "a device name has 1 to 15 bytes without '/', ':', '%' and spaces; to the kernel the byte A0,"
                    + " as in à, is a space", at: node)
            return nil
        }
        guard !Self.takenDevices.contains(text) else {
            report(
                "invalid-device", "\(path(node)): the device name \(text) is taken", hint: "use another name", at: node)
            return nil
        }
        return text
    }

    /// Directories beside the devices' parameters, and devices that the kernel makes in every namespace: `lo`, and with
    /// each kind of tunnel one that it cannot do without.
    private static let takenDevices: Set = [
        "lo", "all", "default", "gre0", "gretap0", "erspan0", "tunl0", "sit0", "ip_vti0", "ip6_vti0", "ip6tnl0",
        "ip6gre0",
    ]

    /// The name of a network namespace: a file below /run/netns. That may have 255 bytes; the mark of a device (its alias)
    /// has as many for this name and those of the interface and its device.
    private mutating func netns(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        let isValid =
            (1...128).contains(text.utf8.count) && text != "." && text != ".." && !text.hasPrefix("-")
            && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }
        guard isValid else {
            report(
                "invalid-netns", "\(path(node)): \(quoted(short(text))) is not a valid name of a network namespace",
                hint: "it is a file name below /run/netns: 1 to 128 bytes without '/' and spaces", at: node)
            return nil
        }
        return text
    }

    // MARK: Probe

    private enum ProbeField: Int, FieldKey {
        case from, to, `protocol`, port, expect
        static let names = caseNames()
    }

    private enum ProbeProtocol: String, CaseIterable {
        case tcp, udp, sctp, icmp
    }

    private mutating func probe(_ metadata: Metadata, _ spec: Int) -> Probe? {
        guard let fields = fields(spec, ProbeField.self) else { return nil }
        let from = required(fields, .from).flatMap { name($0) }
        let to = required(fields, .to).flatMap { probeTarget($0) }
        let transportProtocol = required(fields, .protocol).flatMap { word($0, ProbeProtocol.self) }
        let expect = required(fields, .expect).flatMap { word($0, Probe.Expectation.self) }
        let portNode = optional(fields, .port)
        let port = portNode.flatMap { integer($0, in: 1...65535) }.map { UInt16($0) }
        var transport: Probe.Transport?
        switch transportProtocol {
        case nil: break
        case .icmp:
            transport = .icmp
            if let portNode {
                report("conflicting-fields", "spec.port means nothing for icmp", hint: "remove the port", at: portNode)
            }
        case .tcp:
            transport = port.map(Probe.Transport.tcp)
        case .udp:
            transport = port.map(Probe.Transport.udp)
        case .sctp:
            transport = port.map(Probe.Transport.sctp)
        }
        if let transportProtocol, transportProtocol != .icmp, portNode == nil { _ = required(fields, .port) }
        guard let from, let to, let transport, let expect else { return nil }
        return Probe(metadata: metadata, from: from, to: to, transport: transport, expect: expect)
    }

    /// An address, or the name of an interface: a name has no dots.
    private mutating func probeTarget(_ node: Int) -> Probe.Target? {
        guard tree[node].kind == .scalar, tree.type(node) == .string else {
            _ = string(node)
            return nil
        }
        let text = tree.text(node)
        if isDNSLabel(text) { return .interface(text) }
        if text.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") }) {
            return address(node).map(Probe.Target.address)
        }
        return name(node).map(Probe.Target.interface)
    }
}
