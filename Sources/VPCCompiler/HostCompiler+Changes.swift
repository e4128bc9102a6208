import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// What has to be made again: what each kind of change concerns.
struct Concerned {
    /// Of this host, now or before.
    var interfaces: Set<Int> = []
    /// By VPC: what is or was routed to interfaces, of all hosts.
    var places: [Int: [IPPrefix]] = [:]
    /// Whose routes of the route table may be others.
    var contexts: Set<Context.Key> = []
    /// Whose routes may all be others.
    var tables: Set<Context.Key> = []
    var peers: Set<Int> = []
    /// Whether it may be others that are peers, or other ways to them.
    var isHost = false
    var lists: Set<[Int]> = []
    var groups: Set<Int> = []
    var members: Set<Int> = []
    var acls: Set<Int> = []
    var subnets: Set<Int> = []
    var relays: Set<Int> = []
    var reports: Set<Int> = []
    var networks: Set<Int> = []
    /// Networks whose uplink here may be another one, and nothing else of them.
    var uplinks: Set<Int> = []
    var natGateways: Set<Int> = []
    var elasticIPs: Set<Int> = []
    var balancers: Set<Int> = []
    /// VPCs whose ports or contexts here may be others.
    var flows: Set<Int> = []
}

extension HostCompiler {
    /// Follows a change of the topology, and of the machine.
    /// - Returns: false, with nothing left to go on with, where all has to be compiled.
    mutating func take(
        _ change: TopologyChange, in topology: Topology, _ facts: HostFacts, from snapshot: NamespaceSnapshot
    ) -> Bool {
        guard change.hosts.changed[host] == nil, change.hosts.removed[host] == nil,
            snapshot.foreignNexthops.allSatisfy({ nexthopUses[$0.rawValue] == nil }),
            facts.offloadObstacle == self.facts.offloadObstacle
        else { return false }
        let former = self.facts
        self.topology = topology
        self.facts = facts
        changed = SuspectObjects()
        var concerned = Concerned()
        if facts != former { note(former, in: &concerned) }
        note(change.hosts, in: &concerned)
        note(change.vpcs, in: &concerned)
        note(change.subnets, in: &concerned)
        note(change.routeTables, in: &concerned)
        note(change.interfaces, in: &concerned)
        noteEdge(change, in: &concerned)
        noteBalancers(change, in: &concerned)
        concerned.groups.formUnion(change.securityGroups.changed.keys)
        for (number, group) in change.securityGroups.changed where group.vpc != topology.securityGroups[number].vpc {
            concerned.members.insert(number)
        }
        concerned.acls.formUnion(change.acls.changed.keys)
        bring(concerned, change.interfaces)
        return true
    }

    // MARK: - What is concerned

    private mutating func note(_ former: HostFacts, in concerned: inout Concerned) {
        let now = facts
        concerned.isHost = true
        if former.missingUplinks != now.missingUplinks {
            for number in uplinks.keys { noteNetwork(number, in: &concerned) }
        }
        let turned = former.liveness.deadNextHops.symmetricDifference(now.liveness.deadNextHops)
        if !turned.isEmpty {
            concerned.contexts.formUnion(contexts.keys.filter { topology.routes(of: $0, leadTo: turned) })
        }
        noteTargets(former.liveness.healthyTargets, now.liveness.healthyTargets, in: &concerned)
        if former.paths != now.paths { concerned.peers.formUnion(topology.hosts.indices.filter { $0 != host }) }
        for number in topology.interfacesOfHost[host] {
            let attachment = topology.interfaces[number].attachment
            if former.whyMissing(attachment) != now.whyMissing(attachment) { concerned.interfaces.insert(number) }
        }
    }

    private func note(_ hosts: TopologyChange.Part<Host>, in concerned: inout Concerned) {
        if hosts.isEmpty { return }
        concerned.isHost = true
        concerned.peers.formUnion(hosts.added)
        concerned.peers.formUnion(hosts.removed.keys)
        concerned.peers.formUnion(hosts.changed.keys)
        // All that is sent there bears its address.
        let hasMoved = hosts.changed.contains { $0.value.underlayAddress != topology.hosts[$0.key].underlayAddress }
        if hasMoved || aggregatesRoutes { concerned.tables.formUnion(contexts.keys) }
    }

    private func note(_ vpcs: TopologyChange.Part<ResolvedVPC>, in concerned: inout Concerned) {
        for (number, former) in vpcs.changed {
            let own = contexts.keys.filter { $0.vpc == number }
            concerned.contexts.formUnion(own)
            if former.cidrs != topology.vpcs[number].cidrs {
                concerned.natGateways.formUnion(own.compactMap(\.natGateway))
            }
            noteRelays(of: number, in: &concerned)
            if former.denialLog == topology.vpcs[number].denialLog { continue }
            concerned.reports.insert(number)
            concerned.interfaces.formUnion(topology.interfaces(of: number, on: host))
            // What goes in the same change is asked for as yet.
            let (groups, acls) = (topology.securityGroups, topology.acls)
            concerned.lists.formUnion(
                demand.lists.keys.filter { groups.contains(number: $0[0]) && groups[$0[0]].vpc == number })
            concerned.acls.formUnion(
                demand.acls.keys.map(\.acl).filter { acls.contains(number: $0) && acls[$0].vpc == number })
        }
    }

    private func note(_ subnets: TopologyChange.Part<ResolvedSubnet>, in concerned: inout Concerned) {
        for number in Array(subnets.changed.keys) + subnets.added + Array(subnets.removed.keys) {
            concerned.subnets.insert(number)
            noteGateway(number, subnets, in: &concerned)
            let isThere = topology.subnets.contains(number: number)
            let now = isThere ? topology.subnets[number].vpc : nil
            for vpc in Set([subnets.changed[number]?.vpc, subnets.removed[number]?.vpc, now].compactMap(\.self)) {
                noteRelays(of: vpc, in: &concerned)
            }
            if let now { notePorts(of: now, in: &concerned) { $0 == number } }
        }
    }

    /// The ways to a host are others where a gateway gets its address, or loses it.
    private func noteGateway(
        _ number: Int, _ subnets: TopologyChange.Part<ResolvedSubnet>, in concerned: inout Concerned
    ) {
        let now = topology.subnets.contains(number: number) ? topology.subnets[number] : nil
        let former = subnets.changed[number] ?? subnets.removed[number]
        for subnet in [former, now].compactMap(\.self) where former?.gateway != now?.gateway || former?.vpc != now?.vpc
        {
            if topology.hosts.contains(where: { $0.underlayAddress == subnet.gateway }) {
                concerned.tables.formUnion(contexts.keys.filter { $0.vpc == subnet.vpc })
            }
        }
    }

    private func note(_ tables: TopologyChange.Part<ResolvedRouteTable>, in concerned: inout Concerned) {
        for (number, former) in tables.changed {
            let now = topology.routeTables[number]
            concerned.contexts.formUnion(contexts.keys.filter { $0.routeTable == number })
            for vpc in Set([former.vpc, now.vpc]) { noteRelays(of: vpc, in: &concerned) }
            guard former.routes.isEmpty != now.routes.isEmpty else { continue }
            let subnets = topology.subnets
            notePorts(of: now.vpc, in: &concerned) { subnets[$0].routeTable == number }
        }
    }

    private func note(_ interfaces: TopologyChange.Part<ResolvedInterface>, in concerned: inout Concerned) {
        func note(_ number: Int, _ interface: ResolvedInterface) {
            if interface.host == host { concerned.interfaces.insert(number) }
            concerned.places[interface.vpc, default: []] += interface.blocks
            concerned.contexts.formUnion(contexts(leadingTo: interface.vpc))
            if interface.gatewayKey == nil { return }
            concerned.contexts.formUnion(
                contexts.keys.filter { $0.vpc == interface.vpc && $0.routeTable != nil })
            noteRelays(of: interface.vpc, in: &concerned)
        }
        for number in interfaces.added { note(number, topology.interfaces[number]) }
        for (number, former) in interfaces.removed { note(number, former) }
        for (number, former) in interfaces.changed {
            note(number, former)
            note(number, topology.interfaces[number])
        }
    }

    private func noteRelays(of vpc: Int, in concerned: inout Concerned) {
        concerned.relays.formUnion(
            demand.relays.keys.filter { topology.subnets.contains(number: $0) && topology.subnets[$0].vpc == vpc })
    }

    private func notePorts(of vpc: Int, in concerned: inout Concerned, where isWanted: (Int) -> Bool) {
        for number in topology.interfaces(of: vpc, on: host) where isWanted(topology.interfaces[number].subnet) {
            concerned.interfaces.insert(number)
        }
    }

    // MARK: - Making it again

    /// Makes what is concerned again, and what follows from that. Numbers are given in the order of the whole: contexts,
    /// gateways, then nexthops as routes need them; they are taken back when all is done.
    mutating func bring(
        _ concerned: Concerned, _ change: TopologyChange.Part<ResolvedInterface> = TopologyChange().interfaces
    ) {
        var concerned = concerned
        let formerNames = bringGuests(&concerned)
        bringNATGateways(&concerned)
        var gone = bringContexts(&concerned)
        bringGateways(concerned.interfaces, &gone)
        findBalancers(&concerned)
        noteElasticIPs(concerned.elasticIPs)
        countMiddleboxes(change)
        bringPeers(&concerned, change)
        bringRelays(&concerned)
        bringTraits(concerned)
        bringPorts(Array(concerned.interfaces), former: formerNames)
        bringRoutes(concerned)
        if !concerned.natGateways.isEmpty || !concerned.networks.isEmpty || !concerned.elasticIPs.isEmpty {
            bringAnnouncements()
        }
        bringElasticIPs(concerned.elasticIPs)
        bringBalancers(concerned.balancers)
        bringFlows(concerned.flows.union(concerned.contexts.union(concerned.tables).map(\.vpc)))
        bringPolicies(concerned, change)
        for context in gone.contexts { dropTable(context.table) }
        for gateway in gone.gateways { dropTable(gateway.table) }
        dropIdleNexthops()
        for alias in gone.contexts.map(\.alias) + gone.gateways.map(\.alias) {
            numbering.release(tableOfAlias: alias)
        }
    }

    // MARK: Guests

    /// Finds out which interfaces have a guest here, and what they ask for.
    /// - Returns: the names that the ports had.
    private mutating func bringGuests(_ concerned: inout Concerned) -> [Int: InterfaceName] {
        var names: [Int: InterfaceName] = [:]
        var guests: Set<NamespaceName> = []
        var arrived: [(Int, Port)] = []
        for number in concerned.interfaces {
            let (former, now) = (ports[number], port(of: number))
            if let former {
                names[number] = former.name
                policyInterfaces.remove(number)
                presentInterfaces.remove(number)
                if let guest = former.guest {
                    guests.insert(guest)
                    self.guests[guest]?.remove(number)
                }
            }
            if let now { arrived.append((number, now)) }
            if now != former {
                if let now { demand.add(now) }
                if let former { demand.drop(former) }
            }
            ports[number] = now
            if now != former { concerned.flows.formUnion([now, former].compactMap { $0?.context.vpc }) }
            for port in [former, now].compactMap(\.self) {
                concerned.places[port.context.vpc, default: []] += port.blocks
                if port.gatewayKey == nil { continue }
                concerned.contexts.formUnion(
                    contexts.keys.filter { $0.vpc == port.context.vpc && $0.routeTable != nil })
            }
        }
        numberChains(of: arrived.map { $0.1 })
        for (number, port) in arrived {
            if !port.list.isEmpty { policyInterfaces.insert(number) }
            presentInterfaces.insert(number)
            if let guest = port.guest {
                guests.insert(guest)
                self.guests[guest, default: []].insert(number)
            }
        }
        for guest in guests.sorted() {
            // Which ways are a guest's own depends on all of its ports.
            concerned.interfaces.formUnion(self.guests[guest] ?? [])
            if self.guests[guest]?.isEmpty == true { self.guests[guest] = nil }
            bringGuest(guest)
        }
        return names
    }

    /// Before the ports are made, which are led to them.
    private mutating func numberChains(of ports: [Port]) {
        var chains: [FirewallName] = []
        for direction in TrafficDirection.allCases {
            chains += Set(ports.map(\.list)).filter { !$0.isEmpty }.map { listName($0, direction) }
            chains += Set(ports.compactMap(\.subnet)).map { subnetName($0, direction) }
        }
        // In an order that depends on nothing else.
        for chain in chains.map(\.description).sorted() { numbering.number(chain: chain) }
    }

    /// What an interface asks for here; nil where it has no guest here.
    private mutating func port(of number: Int) -> Port? {
        unattached[number] = nil
        guard topology.interfaces.contains(number: number), topology.interfaces[number].host == host else { return nil }
        let interface = topology.interfaces[number]
        if let reason = facts.whyMissing(interface.attachment) {
            unattached[number] = reason
            return nil
        }
        let acl = topology.subnets[interface.subnet].acl
        var port = Port(
            name: Self.portName(interface),
            blocks: interface.blocks, hasPrefixes: interface.hasPrefixes,
            context: Context.Key(vpc: interface.vpc, routeTable: routeTable(of: interface)),
            list: interface.securityGroups, subnet: acl == nil ? nil : interface.subnet, acl: acl,
            relay: interface.sourceDestCheck ? nil : interface.subnet, mtu: interface.mtu,
            report: topology.vpcs[interface.vpc].denialLog == nil ? nil : interface.vpc, guest: nil,
            isForwarder: !interface.sourceDestCheck, speaksBFD: interface.speaksBFD,
            servesDHCP: topology.subnets[interface.subnet].servesDHCP, gatewayKey: interface.gatewayKey)
        if case .namespace(let name, _) = interface.attachment { port.guest = NamespaceName(name) }
        return port
    }

    // MARK: Contexts and gateways

    /// What is here no longer.
    struct Gone {
        var contexts: [Context] = []
        var gateways: [Gateway] = []
    }

    private mutating func bringContexts(_ concerned: inout Concerned) -> Gone {
        var gone = Gone()
        let (added, removed) = demand.contexts.take()
        for key in removed {
            if let context = contexts.removeValue(forKey: key) { gone.contexts.append(context) }
            concerned.flows.insert(key.vpc)
            routing[key] = nil
            drop(.context(key))
        }
        for vpc in topology.inOrder(Set(added.map(\.vpc)), of: \.vpcs) {
            let own = added.filter { $0.vpc == vpc }
            let tables = topology.inOrder(own.compactMap(\.routeTable), of: \.routeTables)
            let main = own.filter(\.isMain)
            let edges = topology.inOrder(own.compactMap(\.natGateway), of: \.natGateways)
            for key in main + tables.map({ Context.Key(vpc: vpc, routeTable: $0) })
                + edges.map({ Context.Key(vpc: vpc, natGateway: $0) })
            { add(key) }
        }
        concerned.tables.formUnion(added)
        // Of a resource that is another VPC's now the table stays, with other routes.
        gone.contexts.removeAll { former in added.contains { contexts[$0]?.table == former.table } }
        concerned.flows.formUnion(added.map(\.vpc))
        return gone
    }

    private mutating func add(_ key: Context.Key) {
        let alias = alias(of: key)
        let table = numbering.table(forAlias: alias)
        contexts[key] = Context(
            vpc: key.vpc, routeTable: key.routeTable, natGateway: key.natGateway, table: table,
            device: Conventions.vrf(table), alias: alias, origin: key.origin)
        if key.isMain {
            countedAnew.insert(key.vpc)
            middleboxes[key.vpc] = topology.interfacesOfVPC[key.vpc].count { !topology.interfaces[$0].sourceDestCheck }
        }
    }

    private mutating func bringGateways(_ interfaces: Set<Int>, _ gone: inout Gone) {
        var kept: [Int] = []
        for number in interfaces {
            let key = ports[number]?.gatewayKey
            if let held = gateways[number], held.key != key {
                gateways[number] = nil
                gone.gateways.append(held)
                drop(.gateway(number))
            }
            if key != nil { kept.append(number) }
        }
        for number in topology.inOrder(kept, of: \.interfaces) {
            guard let key = ports[number]?.gatewayKey, gateways[number] == nil else { continue }
            let alias = gatewayAlias(number)
            gateways[number] = Gateway(key: key, table: numbering.table(forAlias: alias), alias: alias)
        }
    }

    private mutating func bringFlows(_ vpcs: Set<Int>) {
        guard offloads else { return }
        for vpc in vpcs {
            if contexts[Context.Key(vpc: vpc, routeTable: nil)] == nil { drop(.flow(vpc)) } else { bring(.flow(vpc)) }
        }
    }

    // MARK: Traits

    private mutating func countMiddleboxes(_ change: TopologyChange.Part<ResolvedInterface>) {
        func count(_ interface: ResolvedInterface, _ number: Int) {
            if !interface.sourceDestCheck, middleboxes[interface.vpc] != nil { middleboxes[interface.vpc]? += number }
        }
        let counted = countedAnew
        countedAnew = []
        for number in change.added where !counted.contains(topology.interfaces[number].vpc) {
            count(topology.interfaces[number], 1)
        }
        for former in change.removed.values where !counted.contains(former.vpc) { count(former, -1) }
        for (number, former) in change.changed {
            let now = topology.interfaces[number]
            if !counted.contains(former.vpc) { count(former, -1) }
            if !counted.contains(now.vpc) { count(now, 1) }
        }
        for vpc in middleboxes.keys where contexts[Context.Key(vpc: vpc, routeTable: nil)] == nil {
            middleboxes[vpc] = nil
        }
    }

    private mutating func bringPeers(
        _ concerned: inout Concerned, _ change: TopologyChange.Part<ResolvedInterface>
    ) {
        let (added, removed) = demand.vpcs.take()
        var suspects: Set<Int> = concerned.peers
        if !added.isEmpty || !removed.isEmpty || !concerned.natGateways.isEmpty || !concerned.networks.isEmpty {
            suspects.formUnion(topology.hosts.indices)
            suspects.formUnion(peers)
        }
        for former in Array(change.changed.values) + Array(change.removed.values) { suspects.insert(former.host) }
        for number in change.added + change.changed.keys { suspects.insert(topology.interfaces[number].host) }
        let vpcs = Array(topology.withPeers(demand.vpcs.keys))
        for remote in suspects where remote != host {
            let isPeer =
                topology.hosts.contains(number: remote)
                && (topology.hasInterface(of: vpcs, on: remote) || topology.hasNATGateway(of: vpcs, on: remote))
            if isPeer ? peers.insert(remote).inserted : peers.remove(remote) != nil { concerned.isHost = true }
        }
    }

    private mutating func bringTraits(_ concerned: Concerned) {
        var now = traits
        now.hasForwarders = demand.forwarders > 0
        now.hasBFD = demand.bfd > 0
        now.servesDHCP = demand.dhcp > 0
        now.hasPrefixesOfForwarders = demand.prefixes.forwarders > 0
        now.hasPrefixesOfSpeakers = demand.prefixes.speakers > 0
        now.hasMiddleboxes = middleboxes.values.contains { $0 > 0 }
        now.hasACLs = !demand.subnets.isEmpty
        now.asksACLs = !demand.acls.isEmpty
        now.hasGroups = !demand.lists.isEmpty
        now.isLogging = !demand.reports.isEmpty
        now.hasUplinks = !uplinks.isEmpty
        now.hasNATGateways = !natGateways.isEmpty
        now.hasPeerings = topology.hasPeering(among: demand.vpcs.keys)
        (now.hasPairs, now.portHalves) = (hasPairs, portHalves)
        bringEdgeTraits(concerned, &now)
        if !concerned.balancers.isEmpty { (now.hasBalancers, now.sharings) = (!balancers.isEmpty, sharings) }
        now.ports = ports.count
        now.largestMTU = demand.mtus.keys.max()
        if concerned.isHost { (now.overlayMTU, now.tunnelDevice) = (overlayMTU, tunnelDevice) }
        let former = traits
        traits = now
        let hasOtherLinks = (former.overlayMTU, former.tunnelDevice) != (now.overlayMTU, now.tunnelDevice)
        bringEpoch(concerned, former)
        let isFirst = made[.host] == nil
        if isFirst || traits != former { addHostSettings() }
        var alike = former
        alike.ports = traits.ports
        let tables = intent.host.firewall.position(of: FirewallTables.devices)
        if traits.hasUplinks, tables == nil { intent.host.firewall.append(NFTableIntent(FirewallTables.devices)) }
        if !traits.hasUplinks, let tables { intent.host.firewall.remove(at: tables) }
        if isFirst || alike != traits { bring(.host) }
        let hasOtherUplinks =
            (former.elasticIPs, former.sharesAddresses) != (traits.elasticIPs, traits.sharesAddresses)
        let concernedUplinks = concerned.networks.union(concerned.uplinks)
        bringUplinks(
            hasOtherUplinks ? concernedUplinks.union(uplinks.keys) : concernedUplinks,
            hasComeOrGone: former.sendsToItself != traits.sendsToItself)
        let isAnew = { (key: Context.Key) in
            self.made[.context(key)] == nil || key.natGateway.map(concerned.natGateways.contains) ?? false
        }
        for key in hasOtherLinks ? Set(contexts.keys) : Set(contexts.keys.filter(isAnew)) {
            bring(.context(key))
        }
        for number in gateways.keys where hasOtherLinks || concerned.interfaces.contains(number) {
            bring(.gateway(number))
        }
        let peers = concerned.peers.filter { $0 != host }
        let present = peers.filter { topology.hosts.contains(number: $0) }
        if !peers.isEmpty {
            bringElements(
                of: present.map { .peer($0) }, without: peers.subtracting(present).map { .peer($0) })
        }
    }

    private mutating func bringEpoch(_ concerned: Concerned, _ former: HostTraits) {
        let (added, removed) = demand.subnets.take()
        let isSame =
            digest != nil && added.isEmpty && removed.isEmpty && former.hasMiddleboxes == traits.hasMiddleboxes
            && concerned.acls.isDisjoint(with: demand.acls.keys.map(\.acl))
            && !concerned.subnets.contains(where: demand.subnets.contains)
        subnetsBrought = (added, removed)
        if isSame { return }
        let now = policyDigest
        digest = now
        traits.epoch = numbering.epoch(ofPolicy: now)
        numbering.keep(traits.epoch)
    }

    // MARK: Relays

    private mutating func bringRelays(_ concerned: inout Concerned) {
        let (added, removed) = demand.relays.take()
        for subnet in removed {
            for acl in askedByRelay.removeValue(forKey: subnet) ?? [] {
                demand.acls.drop(.init(acl: acl, direction: .ingress))
            }
            drop(.relay(subnet))
        }
        for subnet in concerned.relays.intersection(demand.relays.keys).union(added) {
            let (former, now) = (askedByRelay[subnet] ?? [], relayedSources(from: subnet).asked)
            for acl in now { demand.acls.add(.init(acl: acl, direction: .ingress)) }
            for acl in former { demand.acls.drop(.init(acl: acl, direction: .ingress)) }
            askedByRelay[subnet] = now
            bring(.relay(subnet))
            if former.isEmpty == now.isEmpty { continue }
            concerned.interfaces.formUnion(ports.filter { $0.value.relay == subnet }.map(\.key))
        }
    }

    // MARK: Routes

    private mutating func bringRoutes(_ concerned: Concerned) {
        for number in topology.inOrder(concerned.interfaces.filter { gateways[$0] != nil }, of: \.interfaces) {
            bringRoute(ofGateway: number)
        }
        for context in contexts.values.sorted(by: { $0.table < $1.table }) {
            let places = concerned.places[context.vpc] ?? []
            let isConcerned = concerned.contexts.contains(context.key)
            let isWhole = aggregatesRoutes && context.natGateway == nil && (isConcerned || !places.isEmpty)
            if concerned.tables.contains(context.key) || isWhole {
                bringTable(of: context.key)
                continue
            }
            var all = places
            if isConcerned {
                for block in bringSpecialRoutes(of: context.key) { all += self.places(in: block, context.vpc) }
            }
            // Who comes twice is the same the second time.
            for place in all.sorted() { bringRow(place, context) }
        }
    }

    private mutating func bringRoute(ofGateway number: Int) {
        guard let gateway = gateways[number], let id = nexthop(toGateway: number) else { return }
        let route = Route.via(id, Route.Key(table: gateway.table, destination: .defaultIPv4))
        put(Attributed(route, from: Origin(.networkInterface, number)), at: route.key)
    }

    /// What is routed to interfaces of a VPC inside of a block.
    private func places(in block: IPPrefix, _ vpc: Int) -> [IPPrefix] {
        topology.destinations(ofVPC: vpc, from: block.address).prefix { $0.prefix.address <= block.last }.map {
            $0.prefix
        }
    }
}
