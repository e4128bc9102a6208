import IPAddressing
import TestSupport
import VPCModel
import VPCTopology

/// A manifest for ``Machines`` that is changed at random, over the same guests.
struct DrawnManifest {
    var model = Model()
    var dice: Dice
    private let machines: Machines

    init(_ machines: Machines, _ dice: Dice) {
        self.machines = machines
        self.dice = dice
        repeat { draw() } while topology == nil
    }

    /// Nil where the draw broke a rule.
    var topology: Topology? { Topology.resolve(model).topology }

    // MARK: Drawing

    private mutating func draw() {
        model = Model()
        for (machine, name) in zip(machines.machines, Self.hostNames.shuffled(using: &dice)) {
            var host = VPCModel.Host(metadata: Metadata(name: name), underlayAddress: machine.address)
            host.aggregatesRoutes = dice.happens(20)
            host.dataPlane.namespace = machine.ownNamespace(of: name)
            model.hosts.append(host)
        }
        let ids = Self.ids.shuffled(using: &dice)
        for (name, id) in zip(Self.vpcNames.shuffled(using: &dice).prefix(2), ids) {
            guard let id = VPCID(id) else { continue }
            let block = dice.happens(70) ? "10.0.0.0/8" : "10.0.0.0/9"
            model.vpcs.append(VPC(metadata: Metadata(name: name), id: id, cidrs: [Scenario.prefix(block)]))
            drawSubnets(name)
        }
        for place in places where dice.happens(75) { drawInterface(place) }
        for vpc in model.vpcs { drawRoutes(vpc.metadata.name) }
    }

    private static let hostNames = ["h1", "h2", "h3", "north", "south", "a-host-with-a-rather-long-name"]
    private static let vpcNames = ["blue", "green", "red"]
    private static let ids: [UInt32] = [101, 102, 103, 2_147_483_647]
    private static let interfaceNames =
        ["web", "db", "fw", "a", "b", "c", "cache-1", "cache-2", "api", "thirteen-long"]
        + (1...8).map { "an-interface-with-a-long-name-\($0)" }
    private static let macs = (1...6).map { MACAddress(rawValue: 0x0212_3456_0000 + UInt64($0)) }

    /// Where an interface can be.
    private struct Place {
        var machine: Int
        var attachment: NetworkInterface.Attachment
    }

    private var places: [Place] {
        machines.machines.enumerated().flatMap { number, machine in
            var list = machine.guests.map { Place(machine: number, attachment: .namespace($0, device: "eth0")) }
            list.append(Place(machine: number, attachment: .namespace(machine.guests[0], device: "eth1")))
            list.append(Place(machine: number, attachment: .device(Machines.tap)))
            return list
        }
    }

    private mutating func drawSubnets(_ vpc: String) {
        for part in [1, 2, 9].shuffled(using: &dice).prefix(dice.pick([2, 3])) {
            let cidr = "10.0.\(part).0/\(dice.pick([24, 24, 25, 26]))"
            var subnet = Subnet(metadata: Metadata(name: "\(vpc)-\(part)"), vpc: vpc, cidr: Scenario.prefix(cidr))
            if dice.happens(30) { subnet.gateway = IPAddress("10.0.\(part).6") }
            if dice.happens(20) { subnet.acl = "\(vpc)-acl" }
            model.subnets.append(subnet)
        }
        let all = Scenario.prefix("0.0.0.0/0")
        let line = { (priority: Int, action: ACLRule.Action, traffic: TrafficMatch, cidr: String) in
            ACLRule(priority: priority, action: action, traffic: traffic, cidr: Scenario.prefix(cidr))
        }
        let lines = [line(10, .deny, TrafficMatch(), "10.0.2.0/25"), line(20, .allow, TrafficMatch(), "0.0.0.0/0")]
        model.acls.append(
            NetworkACL(
                metadata: Metadata(name: "\(vpc)-acl"), vpc: vpc, ingress: lines,
                egress: [line(20, .allow, TrafficMatch(), "0.0.0.0/0")]))
        for (name, traffic) in [("ping", IPProtocol.icmp), ("closed", .tcp)] {
            model.securityGroups.append(
                SecurityGroup(
                    metadata: Metadata(name: "\(vpc)-\(name)"), vpc: vpc,
                    ingress: [SecurityRule(traffic: TrafficMatch(ipProtocol: traffic), peers: [.cidr(all)])],
                    egress: [SecurityRule(traffic: TrafficMatch(), peers: [.cidr(all)])]))
        }
    }

    private mutating func drawInterface(_ place: Place) {
        let names = Set(Self.interfaceNames).subtracting(model.interfaces.map(\.metadata.name)).sorted()
        guard let subnet = model.subnets.randomElement(using: &dice),
            let name = names.randomElement(using: &dice),
            let address = freeAddress(in: subnet)
        else { return }
        var interface = NetworkInterface(
            metadata: Metadata(name: name), subnet: subnet.metadata.name,
            host: model.hosts[place.machine].metadata.name, address: address, attachment: place.attachment)
        if dice.happens(30) { interface.mac = dice.pick(Self.macs) }
        if dice.happens(20) { interface.mtu = dice.pick([1300, 1400]) }
        if dice.happens(30) { interface.securityGroups = ["\(subnet.vpc)-\(dice.pick(["ping", "closed"]))"] }
        interface.sourceDestCheck = dice.happens(70)
        model.interfaces.append(interface)
    }

    /// Few of them, so that they change hands.
    private mutating func freeAddress(in subnet: Subnet) -> IPAddress? {
        let used = Set(
            model.interfaces.compactMap { interface in interface.address.map { "\(interface.subnet) \($0)" } })
        return (10...15).map { IPAddress(v4: subnet.cidr.address.v4 + $0) }.shuffled(using: &dice).first {
            !used.contains("\(subnet.metadata.name) \($0)")
        }
    }

    private mutating func drawRoutes(_ vpc: String) {
        let subnets = Set(model.subnets.filter { $0.vpc == vpc }.map(\.metadata.name))
        let members = model.interfaces.filter { subnets.contains($0.subnet) }.map(\.metadata.name)
        var table = RouteTable(metadata: Metadata(name: "\(vpc)-routes"), vpc: vpc, routes: [])
        let gateways = members.shuffled(using: &dice).prefix(dice.pick([1, 1, 2]))
        if !gateways.isEmpty {
            let hops = gateways.map { NextHop(interface: $0, weight: dice.pick([1, 3, 256])) }
            table.routes.append(
                CustomRoute(destination: Scenario.prefix("0.0.0.0/0"), target: .nextHops(hops)))
            for index in model.interfaces.indices where gateways.contains(model.interfaces[index].metadata.name) {
                model.interfaces[index].sourceDestCheck = false
            }
            if dice.happens(20) {
                table.routes.append(
                    CustomRoute(destination: Scenario.prefix("10.0.9.0/28"), target: .nextHops([hops[0]])))
            }
        }
        if dice.happens(40) { table.routes.append(Scenario.blackhole("192.168.66.0/24")) }
        model.routeTables.append(table)
        for index in model.subnets.indices where model.subnets[index].vpc == vpc && dice.happens(60) {
            model.subnets[index].routeTable = table.metadata.name
        }
    }

    // MARK: Changing

    /// What can happen to a manifest.
    enum Change: String, CaseIterable {
        case renameInterface, exchangeInterfaceNames, exchangeTwoAddresses, rotateThreeAddresses, exchangeMACs
        case exchangeDevices, exchangeAttachments, rotateAttachments, moveToAnotherSubnet, toggleSourceDestCheck
        case changeVPCID, exchangeVPCIDs, renameHost, exchangeHostNames, renumberSubnet, moveGatewayAddress
        case changeNextHops, dropRoutes, renameVPC, renameSubnet, renameRouteTable, removeInterface, addInterface
        case changeMTU, moveToTap, moveFromTap, toggleAggregation, redraw
    }

    /// Makes one change of that kind, where the manifest has something for it.
    /// - Returns: whether it has become another one.
    mutating func make(_ change: Change) -> Bool {
        let before = model
        for _ in 0..<40 {
            model = before
            attempt(change)
            if model != before, topology != nil { return true }
        }
        model = before
        return false
    }

    private mutating func attempt(_ change: Change) {
        switch change {
        case .renameInterface:
            let names = Set(Self.interfaceNames).subtracting(model.interfaces.map(\.metadata.name)).sorted()
            if let old = someInterface, let new = names.randomElement(using: &dice) { rename([old: new]) }
        case .exchangeInterfaceNames:
            let (one, other) = (someInterface ?? "", someInterface ?? "")
            if one != other { rename([one: other, other: one]) }
        case .exchangeTwoAddresses: rotate(2, \.address)
        case .rotateThreeAddresses: rotate(3, \.address)
        case .exchangeMACs:
            for index in model.interfaces.indices.shuffled(using: &dice).prefix(2) {
                model.interfaces[index].mac = model.interfaces[index].mac ?? dice.pick(Self.macs)
            }
            rotate(2, \.mac)
        case .exchangeDevices: exchangeDevices()
        case .exchangeAttachments: rotateAttachments(2)
        case .rotateAttachments: rotateAttachments(3)
        case .moveToAnotherSubnet:
            guard let index = model.interfaces.indices.randomElement(using: &dice),
                let subnet = model.subnets.randomElement(using: &dice), let address = freeAddress(in: subnet)
            else { return }
            model.interfaces[index].subnet = subnet.metadata.name
            model.interfaces[index].address = address
            model.interfaces[index].securityGroups = []
        case .toggleSourceDestCheck:
            guard let index = model.interfaces.indices.randomElement(using: &dice) else { return }
            model.interfaces[index].sourceDestCheck.toggle()
        case .changeVPCID:
            if let id = VPCID(dice.pick(Self.ids)) { model.vpcs[dice.pick([0, 1])].id = id }
        case .exchangeVPCIDs:
            let (first, second) = (model.vpcs[0].id, model.vpcs[1].id)
            (model.vpcs[0].id, model.vpcs[1].id) = (second, first)
        case .renameHost:
            renameHosts([dice.pick(model.hosts).metadata.name: dice.pick(Self.hostNames)])
        case .exchangeHostNames:
            let (one, other) = (model.hosts[0].metadata.name, model.hosts[1].metadata.name)
            renameHosts([one: other, other: one])
        case .renumberSubnet: renumberSubnet()
        case .moveGatewayAddress:
            let index = Int.random(in: model.subnets.indices, using: &dice)
            model.subnets[index].gateway = IPAddress(v4: model.subnets[index].cidr.address.v4 + dice.pick([1, 6, 7]))
        case .changeNextHops:
            guard let table = model.routeTables.randomElement(using: &dice) else { return }
            model.routeTables.removeAll { $0.metadata.name == table.metadata.name }
            drawRoutes(table.vpc)
        case .dropRoutes:
            let index = Int.random(in: model.routeTables.indices, using: &dice)
            model.routeTables[index].routes.removeAll()
        case .renameVPC:
            let (old, new) = (dice.pick(model.vpcs).metadata.name, dice.pick(Self.vpcNames))
            renameVPC(old, to: new)
        case .renameSubnet:
            let old = dice.pick(model.subnets).metadata.name
            for index in model.subnets.indices where model.subnets[index].metadata.name == old {
                model.subnets[index].metadata.name = old + "-new"
            }
            for index in model.interfaces.indices where model.interfaces[index].subnet == old {
                model.interfaces[index].subnet = old + "-new"
            }
        case .renameRouteTable:
            let old = dice.pick(model.routeTables).metadata.name
            for index in model.routeTables.indices where model.routeTables[index].metadata.name == old {
                model.routeTables[index].metadata.name = old + "-new"
            }
            for index in model.subnets.indices where model.subnets[index].routeTable == old {
                model.subnets[index].routeTable = old + "-new"
            }
        case .removeInterface:
            let name = someInterface
            model.interfaces.removeAll { $0.metadata.name == name }
        case .addInterface: drawInterface(dice.pick(places))
        case .changeMTU:
            guard let index = model.interfaces.indices.randomElement(using: &dice) else { return }
            model.interfaces[index].mtu = dice.pick([1300, 1400, 1500])
        case .moveToTap, .moveFromTap:
            let place = dice.pick(places)
            let isToTap = place.attachment == .device(Machines.tap)
            guard isToTap == (change == .moveToTap),
                let index = model.interfaces.indices.randomElement(using: &dice),
                (model.interfaces[index].attachment == .device(Machines.tap)) != isToTap
            else { return }
            model.interfaces[index].host = model.hosts[place.machine].metadata.name
            model.interfaces[index].attachment = place.attachment
        case .toggleAggregation:
            model.hosts[Int.random(in: model.hosts.indices, using: &dice)].aggregatesRoutes.toggle()
        case .redraw: draw()
        }
    }

    private var someInterface: String? {
        mutating get { model.interfaces.randomElement(using: &dice)?.metadata.name }
    }

    private mutating func rename(_ names: [String: String]) {
        for index in model.interfaces.indices {
            let old = model.interfaces[index].metadata.name
            model.interfaces[index].metadata.name = names[old] ?? old
        }
        for table in model.routeTables.indices {
            for route in model.routeTables[table].routes.indices {
                guard case .nextHops(var hops) = model.routeTables[table].routes[route].target else { continue }
                for hop in hops.indices {
                    hops[hop].target = .interface(names[hops[hop].target.name] ?? hops[hop].target.name)
                }
                model.routeTables[table].routes[route].target = .nextHops(hops)
            }
        }
    }

    private mutating func renameHosts(_ names: [String: String]) {
        for index in model.hosts.indices {
            let old = model.hosts[index].metadata.name
            let new = names[old] ?? old
            model.hosts[index].metadata.name = new
            model.hosts[index].dataPlane.namespace = machines.machines[index].ownNamespace(of: new)
        }
        for index in model.interfaces.indices {
            model.interfaces[index].host = names[model.interfaces[index].host] ?? model.interfaces[index].host
        }
    }

    private mutating func renameVPC(_ old: String, to new: String) {
        for index in model.vpcs.indices where model.vpcs[index].metadata.name == old {
            model.vpcs[index].metadata.name = new
        }
        for index in model.subnets.indices where model.subnets[index].vpc == old { model.subnets[index].vpc = new }
        for index in model.routeTables.indices where model.routeTables[index].vpc == old {
            model.routeTables[index].vpc = new
        }
        for index in model.acls.indices where model.acls[index].vpc == old { model.acls[index].vpc = new }
        for index in model.securityGroups.indices where model.securityGroups[index].vpc == old {
            model.securityGroups[index].vpc = new
        }
    }

    /// Passes a property around interfaces of one subnet.
    private mutating func rotate<Value: Equatable>(
        _ count: Int, _ property: WritableKeyPath<NetworkInterface, Value>
    ) {
        guard let subnet = model.subnets.randomElement(using: &dice)?.metadata.name else { return }
        let members = model.interfaces.indices.filter { model.interfaces[$0].subnet == subnet }
            .shuffled(using: &dice).prefix(count)
        guard members.count == count, let last = members.last else { return }
        var carried = model.interfaces[last][keyPath: property]
        for index in members { swap(&carried, &model.interfaces[index][keyPath: property]) }
    }

    private mutating func exchangeDevices() {
        guard let guest = machines.machines.randomElement(using: &dice)?.guests[0] else { return }
        for index in model.interfaces.indices {
            guard case .namespace(guest, let device) = model.interfaces[index].attachment else { continue }
            model.interfaces[index].attachment = .namespace(guest, device: device == "eth0" ? "eth1" : "eth0")
        }
    }

    /// Passes the places around some interfaces, also from one machine to another.
    private mutating func rotateAttachments(_ count: Int) {
        let members = model.interfaces.indices.shuffled(using: &dice).prefix(count)
        guard members.count == count, let last = members.last else { return }
        var carried = (model.interfaces[last].host, model.interfaces[last].attachment)
        for index in members {
            let own = (model.interfaces[index].host, model.interfaces[index].attachment)
            (model.interfaces[index].host, model.interfaces[index].attachment) = carried
            carried = own
        }
    }

    private mutating func renumberSubnet() {
        let index = Int.random(in: model.subnets.indices, using: &dice)
        let old = model.subnets[index]
        let part = dice.pick([old.cidr.address.v4 >> 8 & 0xFF, 1, 2, 9, 17])
        guard let base = IPAddress("10.0.\(part).0") else { return }
        model.subnets[index].cidr = IPPrefix(containing: base, length: dice.pick([24, 25, 26]))
        model.subnets[index].gateway = old.gateway.map { IPAddress(v4: base.v4 + ($0.v4 - old.cidr.address.v4)) }
        for place in model.interfaces.indices where model.interfaces[place].subnet == old.metadata.name {
            model.interfaces[place].address = model.interfaces[place].address.map {
                IPAddress(v4: base.v4 + ($0.v4 - old.cidr.address.v4))
            }
        }
    }
}
