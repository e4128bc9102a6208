package import VPCModel

import IPAddressing

/// Resources of all kinds that often meet: few names, addresses, devices and blocks, most of them such that all holds
/// together.
package struct RandomResources {
    package private(set) var resources: [ResourceReference: Resource] = [:]
    private var random: Dice

    /// Two of each kind, as far as they hold together: one after the other, because of many at once hardly any do.
    package init(seed: UInt64, isValid: (Model) -> Bool) {
        random = Dice(seed: seed)
        for kind in Self.order {
            for name in names(kind).prefix(2) { add(kind, name, isValid) }
        }
    }

    private mutating func add(_ kind: ResourceKind, _ name: String, _ isValid: (Model) -> Bool) {
        let before = resources
        for _ in 0..<20 {
            put(made(kind, name))
            if isValid(model) { return }
            resources = before
        }
    }

    /// Such that what is referred to comes first.
    private static let order: [ResourceKind] = [
        .host, .externalNetwork, .vpc, .routeTable, .networkACL, .subnet, .natGateway, .securityGroup,
        .networkInterface, .targetGroup, .loadBalancer, .elasticIP, .vpcPeering, .peeringAcceptance, .probe,
    ]

    package var model: Model {
        Model(resources.values.sorted { $0.reference < $1.reference })
    }

    /// By which another set differs from this one.
    package func changes(to other: RandomResources) -> ResourceChanges {
        var changes = ResourceChanges()
        for (reference, resource) in resources where other.resources[reference] != resource {
            precondition(changes.remove(resource))
        }
        for (reference, resource) in other.resources where resources[reference] != resource {
            precondition(changes.add(resource))
        }
        return changes
    }

    /// With one or a few resources that are others, new, or gone.
    package mutating func changed() -> RandomResources {
        var next = self
        for _ in 0..<(next.isOne(in: 3) ? next.number(2..<6) : 1) {
            let kind = next.isOne(in: 3) ? .networkInterface : next.pick(Self.order)
            let name = next.pick(names(kind))
            let reference = ResourceReference(kind, name)
            switch next.number(0..<10) {
            case 0...1: next.resources[reference] = nil
            case 2: next.rename(reference)
            default: next.put(next.made(kind, name))
            }
            if kind == .routeTable, next.isOne(in: 2) { next.use(name) }
        }
        random = next.random
        return next
    }

    /// Gives a subnet a route table.
    private mutating func use(_ table: String) {
        guard let vpc = (resources[ResourceReference(.routeTable, table)]?.value as? RouteTable)?.vpc else { return }
        let name = reference(.subnet) { ($0 as? Subnet)?.vpc == vpc }
        guard var subnet = resources[ResourceReference(.subnet, name)]?.value as? Subnet else { return }
        subnet.routeTable = table
        put(Resource(subnet))
    }

    private mutating func rename(_ reference: ResourceReference) {
        guard let resource = resources.removeValue(forKey: reference) else { return }
        var value = resource.value
        value.metadata.name = names(reference.kind)[number(0..<names(reference.kind).count)]
        put(Resource(value))
    }

    private mutating func put(_ resource: Resource) { resources[resource.reference] = resource }

    private func names(_ kind: ResourceKind) -> [String] {
        switch kind {
        case .host: ["h0", "h1", "h2"]
        case .vpc: ["v0", "v1", "v2"]
        case .routeTable: ["t0", "t1", "t2"]
        case .networkACL: ["a0", "a1"]
        case .subnet: ["s0", "s1", "s2", "s3"]
        case .securityGroup: ["g0", "g1", "g2", "g3"]
        case .networkInterface: (0..<9).map { "i\($0)" } + ["a-rather-long-name-1", "a-rather-long-name-2"]
        case .externalNetwork: ["x0", "x1"]
        case .natGateway: ["n0", "n1", "n2"]
        case .elasticIP: ["e0", "e1", "e2"]
        case .vpcPeering: ["c0", "c1", "c2"]
        case .peeringAcceptance: ["d0", "d1"]
        case .targetGroup: ["b0", "b1", "b2"]
        case .loadBalancer: ["l0", "l1", "l2"]
        default: ["p0", "p1", "p2"]
        }
    }

    private mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    private mutating func isOne(in count: Int) -> Bool { number(0..<count) == 0 }
    private mutating func pick<Element>(_ elements: [Element]) -> Element { elements[number(0..<elements.count)] }

    /// The name of one of a kind: mostly of one that is there and fits.
    private mutating func reference(_ kind: ResourceKind, _ fits: (any ResourceType) -> Bool = { _ in true }) -> String
    {
        let there = resources.values.filter { $0.kind == kind && fits($0.value) }.map(\.metadata.name).sorted()
        return there.isEmpty || isOne(in: 40) ? pick(names(kind)) : pick(there)
    }

    private func sidesOfPeer(of vpc: String) -> [(peering: String, far: VPCPeering.Side)] {
        resources.values.compactMap { $0.value as? VPCPeering }.sorted { $0.metadata.name < $1.metadata.name }
            .compactMap { peering in
                let far = peering.requester.vpc == vpc ? peering.accepter : peering.requester
                return [peering.requester.vpc, peering.accepter.vpc].contains(vpc) ? (peering.metadata.name, far) : nil
            }
    }

    private mutating func routeToPeer(of vpc: String) -> CustomRoute? {
        let sides = sidesOfPeer(of: vpc)
        if sides.isEmpty { return nil }
        let (peering, far) = pick(sides)
        return CustomRoute(
            destination: far.prefixes.first ?? block(), target: .nextHops([NextHop(.peering(peering))]))
    }

    private mutating func groupOfPeer(of vpc: String) -> String {
        let sides = sidesOfPeer(of: vpc)
        let far = sides.isEmpty ? reference(.vpc) : pick(sides).far.vpc
        return far + "/" + reference(.securityGroup) { ($0 as? SecurityGroup)?.vpc == far }
    }

    private func vpc(ofSubnet name: String) -> String {
        (resources[ResourceReference(.subnet, name)]?.value as? Subnet)?.vpc ?? "v0"
    }

    private static let someID = VPCID(1)!

    private func prefix(_ text: String) -> IPPrefix { IPPrefix(text) ?? .defaultIPv4 }
    private func address(_ text: String) -> IPAddress { IPAddress(text) ?? IPAddress(v4: 0) }

    private mutating func traffic() -> TrafficMatch {
        switch number(0..<4) {
        case 0: TrafficMatch()
        case 1: TrafficMatch(ipProtocol: .icmp)
        default: TrafficMatch(ipProtocol: pick([.tcp, .udp]), ports: [80...UInt16(number(80..<90))])
        }
    }

    private mutating func block() -> IPPrefix {
        prefix(pick(["0.0.0.0/0", "10.0.0.0/16", "10.0.1.0/24", "192.0.2.0/24", "10.0.0.16/28"]))
    }

    private mutating func made(_ kind: ResourceKind, _ name: String) -> Resource {
        var metadata = Metadata(name: name)
        if isOne(in: 5) { metadata.labels = ["drawn": "\(number(0..<100))"] }
        if kind == .networkInterface, isOne(in: 2) { metadata.labels = ["app": pick(["web", "db"])] }
        switch kind {
        case .host:
            let own = Int(name.suffix(1)) ?? 0
            return Resource(
                Host(
                    metadata: metadata, underlayAddress: address("172.31.0.\(isOne(in: 8) ? number(1..<4) : own + 1)"),
                    underlayDevice: isOne(in: 3) ? pick(["u0", "tap1", "e-i1"]) : nil, aggregatesRoutes: isOne(in: 4)))
        case .vpc:
            let own = UInt32(name.suffix(1)) ?? 0
            var cidrs = [prefix("10.0.0.0/16")]
            if isOne(in: 3) { cidrs = [prefix("10.0.0.0/22"), prefix("10.9.0.0/16")] }
            if isOne(in: 20) { cidrs = [prefix("10.0.0.0/24")] }
            return Resource(
                VPC(
                    metadata: metadata, id: VPCID((isOne(in: 15) ? 1 : own) + 1) ?? Self.someID, cidrs: cidrs,
                    denialLog: isOne(in: 3) ? DenialLog(group: 5) : nil,
                    maxConnections: isOne(in: 3) ? 100 : nil, account: isOne(in: 3) ? "market" : nil))
        case .routeTable:
            let vpc = reference(.vpc)
            let routes = ["0.0.0.0/0", "192.0.2.0/24", "10.0.2.0/28", "10.0.0.0/16"].prefix(isOne(in: 15) ? 4 : 3)
                .filter { _ in
                    isOne(in: 2)
                }.map { destination in
                    if isOne(in: 3), let gateway = natGateway(vpc) {
                        return CustomRoute(
                            destination: prefix(destination), target: .nextHops([NextHop(.natGateway(gateway))]))
                    }
                    var hops: [NextHop] = []
                    for _ in 0..<number(0..<3) {
                        let hop = gateway(vpc)
                        if !hops.contains(where: { $0.target.name == hop }) || isOne(in: 20) {
                            hops.append(
                                NextHop(
                                    interface: hop, weight: number(1..<3), liveness: pick([.none, .none, .bfd, .ping])))
                        }
                    }
                    return CustomRoute(
                        destination: prefix(destination), target: hops.isEmpty ? .blackhole : .nextHops(hops))
                }
            let peered = isOne(in: 2) ? routeToPeer(of: vpc) : nil
            return Resource(RouteTable(metadata: metadata, vpc: vpc, routes: routes + (peered.map { [$0] } ?? [])))
        case .networkACL:
            let lines = (0..<number(0..<3)).map { position in
                ACLRule(
                    priority: isOne(in: 20) ? 10 : position * 10 + number(1..<9), action: isOne(in: 2) ? .allow : .deny,
                    traffic: traffic(), cidr: block())
            }
            return Resource(NetworkACL(metadata: metadata, vpc: reference(.vpc), ingress: lines))
        case .subnet:
            var own = isOne(in: 15) ? number(0..<4) : Int(name.suffix(1)) ?? 0
            // One block in several VPCs.
            if isOne(in: 2) { own %= 2 }
            let vpc = reference(.vpc)
            let table = isOne(in: 2) ? reference(.routeTable) { ($0 as? RouteTable)?.vpc == vpc } : nil
            let acl = isOne(in: 2) ? reference(.networkACL) { ($0 as? NetworkACL)?.vpc == vpc } : nil
            return Resource(
                Subnet(
                    metadata: metadata, vpc: vpc, cidr: prefix("10.0.\(own).0/\(isOne(in: 6) ? 28 : 24)"),
                    gateway: isOne(in: 4) ? address("10.0.\(own).\(number(1..<6))") : nil, routeTable: table, acl: acl,
                    dhcp: isOne(in: 3) ? DHCPOptions(isEnabled: !isOne(in: 4), lease: .seconds(number(60..<90))) : nil))
        case .securityGroup:
            let vpc = reference(.vpc)
            let rules = (0..<number(0..<3)).map { _ in
                let peer: SecurityRule.Peer =
                    isOne(in: 6)
                    ? .loadBalancer(reference(.loadBalancer) { ($0 as? LoadBalancer)?.vpc == vpc })
                    : isOne(in: 8)
                        ? .securityGroup(groupOfPeer(of: vpc))
                        : isOne(in: 2)
                            ? .cidr(block())
                            : .securityGroup(reference(.securityGroup) { ($0 as? SecurityGroup)?.vpc == vpc })
                return SecurityRule(traffic: traffic(), peers: [peer])
            }
            return Resource(SecurityGroup(metadata: metadata, vpc: vpc, ingress: rules))
        case .networkInterface:
            let subnet = reference(.subnet)
            let vpc = vpc(ofSubnet: subnet)
            let base = (resources[ResourceReference(.subnet, subnet)]?.value as? Subnet)?.cidr.description.split(
                separator: "."
            ).prefix(3).joined(separator: ".")
            var interface = NetworkInterface(
                metadata: metadata, subnet: subnet, host: reference(.host),
                address: address("\(base ?? "10.0.0").\(isOne(in: 40) ? 1 : number(6..<14))"),
                attachment: .namespace("n\(number(0..<25))", device: "eth\(number(0..<2))"))
            if isOne(in: 3) { interface.address = nil }
            if isOne(in: 3) { addDestinations(to: &interface, base: base ?? "10.0.0") }
            if isOne(in: 6) { interface.attachment = .device(pick(["tap1", "tap2", "u0", "e-i1", "e-i3"])) }
            if isOne(in: 6) { interface.mac = MACAddress("02:0\(number(1..<3)):0a:00:00:0\(number(6..<10))") }
            if isOne(in: 40) { interface.mac = MACAddress("02:00:5e:00:00:01") }
            if isOne(in: 2) { interface.sourceDestCheck = false }
            if isOne(in: 6) { interface.mtu = number(1400..<1403) }
            for _ in 0..<number(0..<3) {
                let group = reference(.securityGroup) { ($0 as? SecurityGroup)?.vpc == vpc }
                let other = (resources[ResourceReference(.securityGroup, group)]?.value as? SecurityGroup)?.vpc
                if !interface.securityGroups.contains(group) && other == vpc || isOne(in: 30) {
                    interface.securityGroups.append(group)
                }
            }
            return Resource(interface)
        case .externalNetwork:
            let own = Int(name.suffix(1)) ?? 0
            let isPair = isOne(in: 3)
            let hosts = Set((0..<(isPair ? 2 : 1)).map { _ in reference(.host) })
            return Resource(
                ExternalNetwork(
                    metadata: metadata, pools: [prefix("203.0.113.\(own * 64)/26")],
                    nextHop: address("192.0.2.\(isOne(in: 4) ? 65 : 1)"),
                    gateways: hosts.sorted().map {
                        .init(
                            host: $0, device: pick(["x0", "x1", "x2"]),
                            mode: hosts.count == 1 && isOne(in: 4) ? .ipvlan : .macvlan)
                    }, endpoint: hosts.count == 1 ? nil : address("172.31.200.\(isOne(in: 40) ? 1 : 1 + own)"),
                    uplinkAddress: address("192.0.2.\(100 + own)"),
                    announcement: hosts.count == 2 && isOne(in: 4) ? .routes : .arp))
        case .natGateway:
            let own = Int(name.suffix(1)) ?? 0
            let subnet = reference(.subnet)
            let base = (resources[ResourceReference(.subnet, subnet)]?.value as? Subnet)?.cidr.description.split(
                separator: "."
            ).prefix(3).joined(separator: ".")
            let network = reference(.externalNetwork)
            let first = (Int(network.suffix(1)) ?? 0) * 64
            let pool = publicPool(first, own)
            return Resource(
                NATGateway(
                    metadata: metadata, subnet: subnet,
                    address: address("\(base ?? "10.0.0").\(isOne(in: 20) ? number(6..<14) : 14)"),
                    externalNetwork: network, pool: pool, portsPerInterface: isOne(in: 4) ? 64 : nil,
                    portForwards: portForwards(pool, own, subnet),
                    limits: .init(
                        bandwidth: bandwidth(), newConnectionsPerSecond: isOne(in: 3) ? number(1..<3) : nil,
                        idleTimeouts: .init(tcp: .seconds(number(350..<352)))), logsTranslations: isOne(in: 3)))
        case .vpcPeering:
            let (one, other) = (number(0..<4), number(0..<4))
            let prefixes = [one, isOne(in: 10) ? one : (one + 1 + other % 3) % 4].map { prefix("10.0.\($0).0/24") }
            let own = Int(name.suffix(1)) ?? 0
            let sides = isOne(in: 20) ? [reference(.vpc), reference(.vpc)] : ["v\(own)", "v\((own + 1) % 3)"]
            return Resource(
                VPCPeering(
                    metadata: metadata, requester: .init(vpc: sides[0], prefixes: [prefixes[0]]),
                    accepter: .init(vpc: sides[1], prefixes: [prefixes[1]]), isAccepted: !isOne(in: 3)))
        case .peeringAcceptance:
            return Resource(
                PeeringAcceptance(metadata: metadata, peering: reference(.vpcPeering), account: "market"))
        case .targetGroup: return Resource(targetGroup(metadata))
        case .loadBalancer: return Resource(loadBalancer(metadata))
        case .elasticIP:
            let network = reference(.externalNetwork)
            let pool = (Int(network.suffix(1)) ?? 0) * 64
            let own = Int(name.suffix(1)) ?? 0
            return Resource(
                ElasticIP(
                    metadata: metadata, externalNetwork: network,
                    address: isOne(in: 3)
                        ? nil : address("203.0.113.\(pool + (isOne(in: 30) ? 10 : 40 + own))"),
                    interface: isOne(in: 8) ? nil : outgoing(by: network),
                    mode: pick([.nat, .nat, .stateless, .passThrough]), bandwidth: bandwidth()))
        default:
            let isElsewhere = isOne(in: 4)
            let isFromOutside = isOne(in: 5)
            let target = pick([Probe.Target.address(address("192.0.2.1")), .external(address("198.51.100.7"))])
            let to: Probe.Target =
                isFromOutside
                ? .address(address("203.0.113.\(number(0..<256))"))
                : isOne(in: 4) ? target : .interface(reference(.networkInterface))
            let from: Probe.Sender =
                isFromOutside ? .external(address("198.51.100.7")) : .interface(reference(.networkInterface))
            return Resource(
                Probe(
                    metadata: metadata, from: from, to: to, transport: .icmp,
                    expect: isElsewhere ? .allow : .deny))
        }
    }

    private mutating func targetGroup(_ metadata: Metadata) -> TargetGroup {
        let (all, vpc) = (resources, reference(.vpc))
        var members = TargetGroup.Members.selector(["app": pick(["web", "db"])])
        if isOne(in: 2) {
            var named: [TargetGroup.Member] = []
            for _ in 0..<number(0..<3) {
                let name = reference(.networkInterface) { resource in
                    guard let interface = resource as? NetworkInterface else { return false }
                    return (all[ResourceReference(.subnet, interface.subnet)]?.value as? Subnet)?.vpc == vpc
                }
                if !named.contains(where: { $0.name == name }) || isOne(in: 30) {
                    named.append(.init(name, weight: number(1..<4)))
                }
            }
            members = .interfaces(named)
        }
        return TargetGroup(
            metadata: metadata, vpc: vpc, port: UInt16(number(8080..<8082)), transport: pick([.tcp, .udp, .http]),
            members: members, healthCheck: isOne(in: 2) ? .init() : nil, drain: .seconds(number(60..<62)),
            whenAllUnhealthy: pick([.refuse, .useAll]))
    }

    private mutating func loadBalancer(_ metadata: Metadata) -> LoadBalancer {
        let subnet = reference(.subnet)
        let vpc = vpc(ofSubnet: subnet)
        let base = (resources[ResourceReference(.subnet, subnet)]?.value as? Subnet)?.cidr.description.split(
            separator: "."
        ).prefix(3).joined(separator: ".")
        let own = Int(metadata.name.suffix(1)) ?? 0
        let speaksHTTP = isOne(in: 3)
        let listeners = (0..<number(1..<3)).map { position in
            if speaksHTTP {
                let name = reference(.targetGroup) { other in
                    (other as? TargetGroup).map { $0.vpc == vpc && $0.transport.isHTTP } ?? false
                }
                return LoadBalancer.Listener(
                    transport: .http, port: UInt16(80 + position),
                    rules: [.init(path: isOne(in: 2) ? "/api/" : nil, targetGroup: name)])
            }
            let name = reference(.targetGroup) { ($0 as? TargetGroup)?.vpc == vpc }
            let group = resources[ResourceReference(.targetGroup, name)]?.value as? TargetGroup
            return LoadBalancer.Listener(
                transport: isOne(in: 20) ? .tcp : group?.transport ?? .tcp,
                port: UInt16(80 + (isOne(in: 20) ? 0 : position)),
                targetGroup: name)
        }
        let place = address("\(base ?? "10.0.0").\(isOne(in: 20) ? number(6..<15) : 2 + own)")
        if speaksHTTP {
            return LoadBalancer(
                metadata: metadata, vpc: vpc, type: .l7, listeners: listeners,
                instances: [.init(subnet: subnet, host: reference(.host), address: place)])
        }
        return LoadBalancer(
            metadata: metadata, vpc: vpc, inside: .init(subnet: subnet, address: place),
            affinity: pick([.none, .source]), listeners: listeners)
    }

    /// Further addresses and prefixes, most of them free and inside of the subnet.
    private mutating func addDestinations(to interface: inout NetworkInterface, base: String) {
        for _ in 0..<number(0..<3) {
            interface.addresses.append(address("\(base).\(isOne(in: 8) ? number(6..<14) : number(32..<60))"))
        }
        for _ in 0..<number(0..<3) {
            let length = number(29..<33)
            let start = isOne(in: 8) ? number(0..<64) : number(64..<128)
            interface.prefixes.append(IPPrefix(containing: address("\(base).\(start)"), length: length))
        }
    }

    /// None, as a rule.
    private mutating func bandwidth() -> Bandwidth {
        func rate() -> Bitrate? { isOne(in: 4) ? Bitrate(bitsPerSecond: UInt64(number(1..<3)) * 10_000_000) : nil }
        return Bandwidth(egress: rate(), ingress: rate())
    }

    /// Of the pool that begins there: addresses of its own, or ports of one that all share.
    private mutating func publicPool(_ pool: Int, _ own: Int) -> PublicPool {
        if isOne(in: 3) {
            let first = UInt16(isOne(in: 30) ? 1 : own + 1) * 16384
            return .shared(PublicPorts(address: address("203.0.113.\(pool + 50)"), ports: first...(first + 16383)))
        }
        return .addresses(
            (0..<number(1..<4)).map { position in
                address("203.0.113.\(pool + own * 10 + (isOne(in: 30) ? 10 : position))")
            })
    }

    /// To interfaces of the gateway's VPC, as a rule.
    private mutating func portForwards(
        _ pool: PublicPool, _ own: Int, _ subnet: String
    ) -> [NATGateway.PortForward] {
        let (all, vpc) = (resources, vpc(ofSubnet: subnet))
        return (0..<number(0..<3)).map { position in
            let interface = reference(.networkInterface) { resource in
                guard let interface = resource as? NetworkInterface else { return false }
                return (all[ResourceReference(.subnet, interface.subnet)]?.value as? Subnet)?.vpc == vpc
            }
            return NATGateway.PortForward(
                address: isOne(in: 30) ? address("203.0.113.50") : pick(pool.addresses),
                transport: pick([.tcp, .udp]),
                port: UInt16((own + 1) * 16384 + (isOne(in: 30) ? 0 : position)), interface: interface,
                interfacePort: UInt16(22 + number(0..<2)))
        }
    }

    /// One of a VPC, if there is any.
    private mutating func natGateway(_ vpc: String) -> String? {
        let all = resources
        let there = resources.values.filter { resource in
            guard let gateway = resource.value as? NATGateway else { return false }
            return (all[ResourceReference(.subnet, gateway.subnet)]?.value as? Subnet)?.vpc == vpc
        }.map(\.metadata.name).sorted()
        return there.isEmpty ? nil : pick(there)
    }

    /// An interface whose packets leave for a network, if there is any.
    private mutating func outgoing(by network: String) -> String {
        let all = resources
        func value<Kind: ResourceType>(_ kind: ResourceKind, _ name: String, _: Kind.Type) -> Kind? {
            all[ResourceReference(kind, name)]?.value as? Kind
        }
        return reference(.networkInterface) { resource in
            guard let interface = resource as? NetworkInterface,
                let table = value(.subnet, interface.subnet, Subnet.self)?.routeTable,
                let routes = value(.routeTable, table, RouteTable.self)?.routes
            else { return false }
            return routes.contains { route in
                guard route.destination == .defaultIPv4, case .nextHops(let hops) = route.target,
                    case .natGateway(let gateway) = hops.first?.target
                else { return false }
                return value(.natGateway, gateway, NATGateway.self)?.externalNetwork == network
            }
        }
    }

    /// An interface of a VPC that forwards.
    private mutating func gateway(_ vpc: String) -> String {
        let all = resources
        return reference(.networkInterface) { value in
            guard let interface = value as? NetworkInterface, !interface.sourceDestCheck else { return false }
            return (all[ResourceReference(.subnet, interface.subnet)]?.value as? Subnet)?.vpc == vpc
        }
    }
}
