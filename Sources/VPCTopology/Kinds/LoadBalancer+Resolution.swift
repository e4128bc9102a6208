internal import IPAddressing
internal import VPCModel

extension LoadBalancer: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveLoadBalancers() }]

    static func elements(of topology: Topology) -> Slots<ResolvedLoadBalancer> { topology.loadBalancers }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedLoadBalancer>) -> Result
    ) -> Result {
        body(&topology.loadBalancers)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedLoadBalancer>) -> Result
    ) -> Result {
        body(&change.loadBalancers)
    }

    init(_ resolved: ResolvedLoadBalancer, in topology: Topology) {
        func name(_ rule: ResolvedLoadBalancer.Rule) -> String { topology.targetGroups[rule.targetGroup].name }
        let listeners = resolved.listeners.map { listener in
            let isSimple = !listener.transport.isHTTP
            return Listener(
                transport: listener.transport, port: listener.port,
                targetGroup: isSimple ? listener.rules.first.map(name) : nil,
                rules: isSimple
                    ? [] : listener.rules.map { Rule(host: $0.host, path: $0.path, targetGroup: name($0)) },
                certificates: listener.certificates, redirect: listener.redirect)
        }
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, type: resolved.type,
            inside: resolved.inside.map {
                Inside(subnet: topology.subnets[$0.subnet].name, address: $0.address)
            }, elasticIP: resolved.elasticIP.map { topology.elasticIPs[$0].name }, scheme: resolved.scheme,
            affinity: resolved.affinity, listeners: listeners,
            instances: resolved.instances.map {
                Instance(
                    subnet: topology.subnets[$0.subnet].name, host: topology.hosts[$0.host].metadata.name,
                    address: $0.address)
            }, clientAddress: resolved.clientAddress, logsAccesses: resolved.logsAccesses)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let balancer = resolver.topology.loadBalancers[number]
        // Who is there keeps it: of two of one there is a complaint.
        for place in balancer.places { resolver.index.balancerPlaces.set(place, number) }
        for group in balancer.targetGroups { resolver.index.balancersOfTargetGroup.insert(number, to: group) }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let balancer = resolver.topology.loadBalancers[number]
        for place in balancer.places where resolver.index.balancerPlaces[place] == number {
            resolver.index.balancerPlaces[place] = nil
        }
        for group in balancer.targetGroups { resolver.index.balancersOfTargetGroup.remove(number, from: group) }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.groupsNamingBalancer[number].map { NumberedResource(kind: .securityGroup, number: $0) }
    }

    /// The interfaces of its instances.
    var bringsOthers: Bool { type == .l7 }

    func concerned(by new: LoadBalancer, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        // What it has, and leads to, is in the rules that name it.
        Self.referrers(to: number, resolver)
    }
}

extension ResolvedLoadBalancer {
    /// Addresses of its VPC that are its own.
    var places: [TopologyIndex.Place] {
        ((inside.map { [$0.address] } ?? []) + instances.map(\.address)).map {
            TopologyIndex.Place(vpc: vpc, address: $0)
        }
    }
}

extension Resolver {
    fileprivate mutating func resolveLoadBalancers() {
        for balancer in model.loadBalancers.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            guard let vpc = number(of: VPC.self, balancer.vpc, for: balancer.reference, ["spec", "vpc"]) else {
                giveUp(balancer)
                continue
            }
            checkSupport(of: balancer)
            checkCertificates(of: balancer)
            var taken: Set<IPAddress> = []
            let inside = balancer.inside.flatMap { inside -> ResolvedLoadBalancer.Inside? in
                let path: FieldPath = ["spec", "internal"]
                guard let subnet = subnet(inside.subnet, of: balancer, vpc, path) else { return nil }
                checkAddress(inside.address, of: balancer, subnet, path + ["address"], &taken)
                return ResolvedLoadBalancer.Inside(subnet: subnet, address: inside.address)
            }
            let instances = instances(of: balancer, vpc, &taken)
            let elasticIP = balancer.elasticIP.flatMap {
                number(of: ElasticIP.self, $0, for: balancer.reference, ["spec", "external", "elasticIP"])
            }
            let resolved = ResolvedLoadBalancer(
                name: balancer.metadata.name, vpc: vpc, type: balancer.type, inside: inside, elasticIP: elasticIP,
                scheme: balancer.scheme, affinity: balancer.affinity, listeners: listeners(of: balancer, vpc),
                instances: instances, clientAddress: balancer.clientAddress, logsAccesses: balancer.logsAccesses)
            LoadBalancer.enter(place(LoadBalancer.self, balancer.metadata.name, resolved), &self)
        }
    }

    /// What is not built yet is refused, so that nobody believes to have it.
    private mutating func checkSupport(of balancer: LoadBalancer) {
        if balancer.type == .l7, balancer.inside != nil {
            report(
                "not-supported", "internal: load balancers of type l7 are reached by their instances' addresses only",
                hint: "remove it, and have clients use these", at: balancer.reference, ["spec", "internal"])
        }
        if balancer.type == .l7, balancer.elasticIP != nil, balancer.instances.count > 1 {
            report(
                "not-supported", "external: an elastic IP leads to one instance, and there are several",
                hint: "use a balancer with one instance for each elastic IP", at: balancer.reference,
                ["spec", "external"])
        }
        if balancer.elasticIP != nil, balancer.type == .l4 {
            report(
                "not-supported", "external: load balancers are not reached from outside yet",
                hint: "use internal, or give a target an elastic IP", at: balancer.reference, ["spec", "external"])
        }
    }

    // MARK: Addresses

    private mutating func subnet(
        _ name: String, of balancer: LoadBalancer, _ vpc: Int, _ path: FieldPath
    ) -> Int? {
        guard let subnet = number(of: Subnet.self, name, for: balancer.reference, path + ["subnet"]) else { return nil }
        let owner = topology.subnets[subnet].vpc
        if owner == vpc { return subnet }
        report(
            "balancer-other-vpc",
            "the subnet \(name) belongs to VPC \(topology.vpcs[owner].name), the balancer to \(balancer.vpc)",
            hint: "name a subnet of VPC \(balancer.vpc)", at: balancer.reference, path + ["subnet"],
            related: Diagnostic.Related(
                "the subnet is here", at: ResourceReference(.subnet, name), ["spec", "vpc"]))
        return nil
    }

    /// - Parameter taken: What the balancer has itself.
    private mutating func checkAddress(
        _ address: IPAddress, of balancer: LoadBalancer, _ number: Int, _ path: FieldPath,
        _ taken: inout Set<IPAddress>
    ) {
        let (subnet, reference) = (topology.subnets[number], balancer.reference)
        if !subnet.cidr.hasPlace(for: address) || address == subnet.gateway {
            report(
                subnet.cidr.contains(address) ? "address-not-usable" : "address-outside-subnet",
                "\(address) is no address that something in subnet \(subnet.name) (\(subnet.cidr)) can have",
                hint: "choose one of \(subnet.cidr.firstUsable) to \(subnet.cidr.lastUsable), except the gateway"
                    + " \(subnet.gateway)", at: reference, path,
                related: Diagnostic.Related(
                    "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"]))
        }
        let place = TopologyIndex.Place(vpc: subnet.vpc, address: address)
        let owner: (what: String, ResourceReference)? =
            if let other = topology.interface(at: address, inVPC: subnet.vpc),
                BalancerInstance.owner(ofInterface: topology.interfaces[other].name)?.balancer != balancer.metadata.name
            {
                ("interface", ResourceReference(.networkInterface, topology.interfaces[other].name))
            } else if let other = index.natGatewayPlaces[place] {
                ("NAT gateway", ResourceReference(.natGateway, topology.natGateways[other].name))
            } else if let other = index.balancerPlaces[place] {
                ("load balancer", ResourceReference(.loadBalancer, topology.loadBalancers[other].name))
            } else if !taken.insert(address).inserted {
                ("load balancer", reference)
            } else {
                nil
            }
        guard let (what, other) = owner else { return }
        report(
            "duplicate-address", "the address \(address) is that of \(what) \(other.name)",
            hint: "choose an address that nobody has", at: reference, path,
            related: Diagnostic.Related("the \(what) is here", at: other, ["spec"]))
    }

    private mutating func instances(
        of balancer: LoadBalancer, _ vpc: Int, _ taken: inout Set<IPAddress>
    ) -> [ResolvedLoadBalancer.Instance] {
        var instances: [ResolvedLoadBalancer.Instance] = []
        var first: [String: Int] = [:]
        for (position, instance) in balancer.instances.enumerated() {
            let path: FieldPath = ["spec", "instances", .index(position)]
            if let other = first[instance.host] {
                report(
                    "duplicate-instance", "it has another instance on host \(instance.host)",
                    hint: "name another host: one instance takes what a host can do", at: balancer.reference,
                    path + ["host"],
                    related: Diagnostic.Related(
                        "the first one is here", at: balancer.reference,
                        ["spec", "instances", .index(other), "host"]))
                continue
            }
            first[instance.host] = position
            let host = number(of: Host.self, instance.host, for: balancer.reference, path + ["host"])
            guard let subnet = subnet(instance.subnet, of: balancer, vpc, path) else { continue }
            checkAddress(instance.address, of: balancer, subnet, path + ["address"], &taken)
            guard let host else { continue }
            instances.append(.init(subnet: subnet, host: host, address: instance.address))
        }
        return instances
    }

    // MARK: Listeners

    private mutating func listeners(of balancer: LoadBalancer, _ vpc: Int) -> [ResolvedLoadBalancer.Listener] {
        let (count, most) = (balancer.listeners.count, LoadBalancer.maximumListeners)
        if count > most {
            report(
                "too-many-listeners", "it has \(count) listeners; \(most) are the most", hint: "use several balancers",
                at: balancer.reference, ["spec", "listeners", .index(most)])
        }
        var first: [ListenerPlace: Int] = [:]
        var resolved: [ResolvedLoadBalancer.Listener] = []
        for (position, listener) in balancer.listeners.enumerated() {
            let path: FieldPath = ["spec", "listeners", .index(position)]
            let place = ListenerPlace(ipProtocol: listener.transport.ipProtocol, port: listener.port)
            if let other = first[place] {
                report(
                    "duplicate-listener", "\(place.ipProtocol) port \(listener.port) is listened on twice",
                    hint: "remove one of them, or use another port", at: balancer.reference, path + ["port"],
                    related: Diagnostic.Related(
                        "the first one is here", at: balancer.reference,
                        ["spec", "listeners", .index(other), "port"]))
                continue
            }
            first[place] = position
            guard checkFields(of: listener, balancer, path) else { continue }
            let rules = rules(of: listener, balancer, vpc, path)
            resolved.append(
                ResolvedLoadBalancer.Listener(
                    transport: listener.transport, port: listener.port, rules: rules,
                    certificates: listener.certificates, redirect: listener.redirect))
        }
        return resolved
    }

    private struct ListenerPlace: Hashable {
        var ipProtocol: IPProtocol
        var port: UInt16
    }

    /// Whether a listener says what one of its balancer's type has to say.
    private mutating func checkFields(
        of listener: LoadBalancer.Listener, _ balancer: LoadBalancer, _ path: FieldPath
    ) -> Bool {
        let (reference, word) = (balancer.reference, listener.transport.rawValue)
        guard listener.transport.isHTTP == (balancer.type == .l7) else {
            let fitting = balancer.type == .l7 ? "http or https" : "tcp or udp"
            report(
                "listener-protocol", "a balancer of type \(balancer.type.rawValue) does not listen to \(word)",
                hint: "write \(fitting)", at: reference, path + ["protocol"])
            return false
        }
        var foreign: [(FieldPath.Component, String)] = []
        if balancer.type == .l4 {
            if !listener.rules.isEmpty { foreign.append(("rules", "targetGroup")) }
            if !listener.certificates.isEmpty { foreign.append(("certificates", "none")) }
            if listener.redirect != nil { foreign.append(("redirect", "targetGroup")) }
        } else {
            if listener.targetGroup != nil { foreign.append(("targetGroup", "rules")) }
            if listener.redirect != nil, listener.transport == .https { foreign.append(("redirect", "rules")) }
            if listener.redirect != nil, !listener.rules.isEmpty { foreign.append(("redirect", "none")) }
            if listener.transport == .http, !listener.certificates.isEmpty {
                foreign.append(("certificates", "none"))
            }
        }
        for (field, instead) in foreign {
            report(
                "conflicting-fields", "\(path + [field]) does not go with protocol \(word)",
                hint: instead == "none" ? "remove it" : "name \(instead)", at: reference, path + [field])
        }
        let isMissing =
            balancer.type == .l4
            ? listener.targetGroup == nil : listener.rules.isEmpty && listener.redirect == nil
        if isMissing, foreign.isEmpty {
            report(
                "missing-field", "\(path) leads nowhere",
                hint: "add \(balancer.type == .l4 ? "targetGroup" : "rules, or redirect")", at: reference, path)
        }
        if listener.transport == .https, listener.certificates.isEmpty {
            report(
                "missing-field", "\(path) has no certificate", hint: "add certificates", at: reference, path)
        }
        return foreign.isEmpty && !isMissing
    }

    private mutating func rules(
        of listener: LoadBalancer.Listener, _ balancer: LoadBalancer, _ vpc: Int, _ path: FieldPath
    ) -> [ResolvedLoadBalancer.Rule] {
        if let name = listener.targetGroup {
            return group(name, of: listener, balancer, vpc, path + ["targetGroup"]).map { [.init(targetGroup: $0)] }
                ?? []
        }
        return listener.rules.enumerated().compactMap { position, rule in
            let path = path + ["rules", .index(position), "targetGroup"]
            return group(rule.targetGroup, of: listener, balancer, vpc, path).map {
                .init(host: rule.host, path: rule.path, targetGroup: $0)
            }
        }
    }

    private mutating func group(
        _ name: String, of listener: LoadBalancer.Listener, _ balancer: LoadBalancer, _ vpc: Int, _ path: FieldPath
    ) -> Int? {
        guard let number = number(of: TargetGroup.self, name, for: balancer.reference, path) else { return nil }
        let group = topology.targetGroups[number]
        guard group.vpc == vpc else {
            report(
                "target-group-other-vpc",
                "the target group \(name) belongs to VPC \(topology.vpcs[group.vpc].name), the balancer to"
                    + " \(balancer.vpc)",
                hint: "name a group of the same VPC", at: balancer.reference, path,
                related: Diagnostic.Related(
                    "the group's VPC is set here", at: ResourceReference(.targetGroup, name), ["spec", "vpc"]))
            return nil
        }
        let fits =
            balancer.type == .l4 ? group.transport == listener.transport : group.transport.isHTTP
        guard fits else {
            report(
                "target-group-protocol",
                "the targets of \(name) speak \(group.transport.rawValue), the listener"
                    + " \(listener.transport.rawValue)",
                hint: balancer.type == .l4
                    ? "name a group of the listener's protocol" : "name a group of http or https",
                at: balancer.reference, path,
                related: Diagnostic.Related(
                    "the group says so here", at: ResourceReference(.targetGroup, name), ["spec", "protocol"]))
            return nil
        }
        return number
    }

    private mutating func checkCertificates(of balancer: LoadBalancer) {
        for (position, listener) in balancer.listeners.enumerated() {
            var first: [String: Int] = [:]
            for (number, certificate) in listener.certificates.enumerated() {
                let path: FieldPath = ["spec", "listeners", .index(position), "certificates"]
                let name = certificate.name.lowercased()
                guard let other = first[name] else {
                    first[name] = number
                    continue
                }
                report(
                    "duplicate-certificate", "there is another certificate for \(certificate.name)",
                    hint: "a name has one certificate", at: balancer.reference, path + [.index(number), "name"],
                    related: Diagnostic.Related(
                        "the first one is here", at: balancer.reference, path + [.index(other), "name"]))
            }
        }
    }
}
