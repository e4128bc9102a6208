import IPAddressing
public import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let established = FirewallFamily(
        "originator", "responder", "both_ends", "past_rules", "homes", "tunnels", "vpcs", tightens: [])
    /// A VPC's flowtable.
    static let flow = FirewallFamily("flow", of: .one(.vpc), tightens: [])
    /// What leads into it.
    static let flowEntry = FirewallFamily("enter", of: .one(.vpc), tightens: [])
}

/// Established TCP and UDP connections pass by a flowtable, past every hook: each VPC has one, with its ports and the device
/// of its tunnels.
///
/// A table of its own, so that neither its rules nor their changes cost the kernel a check of all that the policies lead to.
/// Its chain comes before theirs: a connection is put into the flowtable by the packet after the one with which both
/// directions were judged, for most of what is asked and answered once would not be worth it.
///
/// Who is in it has passed for good, so whatever takes a permission away has all of them judged anew
/// (``Compilation/renewedFlows(after:)``, ``ChangePlan/Work/judgeAnew``).
/// docs/security.md says what is judged when.
struct EstablishedConnections: HostFeature {
    let names: [FirewallFamily] = [.established, .flow, .flowEntry]

    /// What a listing of a flowtable can hold at least, whatever the names of its devices (NFTA_DEVICE_NAME: 20 bytes, in
    /// 32 KiB). Ports of one VPC on one host beyond go by the rules.
    static let portLimit = 1024

    /// The routing context and the port of a guest.
    private static let homes = NFSet("homes", of: .interfaceName, .interfaceName, grows: true)
    private static let tunnels = NFSet("tunnels", of: .interfaceName, grows: true)
    private static let vpcs = NFSet("vpcs", of: .interfaceName, to: .verdict, grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .flow(let vpc) = piece, let main = host.contexts[Context.Key(vpc: vpc, routeTable: nil)] else {
            return
        }
        let ports = host.flowPorts(ofVPC: vpc)
        if ports.isEmpty { return }
        let (name, origin) = (host.topology.vpcs[vpc].name, piece.origin)
        let flowtable = FirewallName(.flow, name).description
        let entry = FirewallName(.flowEntry, name).description
        let receiver = Conventions.receiver(host.topology.vpcs[vpc].id)
        var table = NFTableIntent(FirewallTables.flow)
        table.flowtables = [NFFlowtable(flowtable, devices: [receiver] + ports.map(\.name), origin: origin)]
        table.chain(entry, origin: origin) { $0.rule(.offload(to: flowtable)) }
        part.tables.append(table)
        part.rows(of: Self.tunnels, in: FirewallTables.flow) { $0.add(receiver, origin: origin) }
        let homes = ports.map { (context: host.contexts[$0.context]?.device ?? main.device, port: $0.name) }
        part.rows(of: Self.homes, in: FirewallTables.flow) { set in
            for home in homes { set.add(home.context, home.port, origin: origin) }
        }
        part.rows(of: Self.vpcs, in: FirewallTables.flow) { map in
            for device in Set(homes.map(\.context)).union([main.device]) {
                map.add(device, verdict: .goto(entry), origin: origin)
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.flow.sets += [Self.homes, Self.tunnels, Self.vpcs]
        firewall.rules(at: Established.judged) { chain in
            for ends in Ends.allCases {
                chain.rule(ConnectionMark.hasPassed(ends.passed, in: host.traits.epoch.number), .goto(ends.rawValue))
            }
        }
        let isLeaving: [NFStatement] = [
            .match(.oifgroup, LinkGroups.overlayReceive), .match(.iifname, .sdifname, in: "homes"),
        ]
        let isArriving: [NFStatement] = [
            .match(.sdifname, in: "tunnels"), .match(.iifname, .oifname, in: "homes"),
        ]
        let isStaying: [NFStatement] = [
            .match(.iifname, .sdifname, in: "homes"), .match(.iifname, .oifname, in: "homes"),
        ]
        let ways: [Ends: [[NFStatement]]] = [
            .originator: [[.original] + isLeaving, [.reply] + isArriving],
            .responder: [[.original] + isArriving, [.reply] + isLeaving],
            .both: [isStaying],
        ]
        for ends in Ends.allCases {
            firewall.flow.chain(ends.rawValue, origin: firewall.origin) { chain in
                for way in ways[ends] ?? [] { chain.rule(way + [.goto("past_rules")]) }
            }
        }
        firewall.flow.chain("past_rules", origin: firewall.origin) { $0.rule(.vmap(.iifname, map: "vpcs")) }
    }

    /// Which ends of a connection are here that has passed in both directions, and is known of nowhere else: one that also
    /// passed through a middlebox here, or twice, has other bits in its mark and goes by the rules.
    private enum Ends: String, CaseIterable {
        case originator
        case responder
        case both = "both_ends"

        var passed: UInt32 {
            switch self {
            case .originator:
                ConnectionMark.passed(.original, [.leaving]) | ConnectionMark.passed(.reply, [.arriving])
            case .responder: ConnectionMark.passed(.original, [.arriving]) | ConnectionMark.passed(.reply, [.leaving])
            case .both: Ends.originator.passed | Ends.responder.passed
            }
        }
    }
}

extension NFStatement {
    fileprivate static let original = NFStatement.match(.ctDirection, NFDirection.original)
    fileprivate static let reply = NFStatement.match(.ctDirection, NFDirection.reply)
}

extension HostCompiler {
    /// Whether connections may pass by flowtables here.
    var offloads: Bool { topology.hosts[host].dataPlane.offloads && facts.offloadObstacle == nil }

    /// The ports whose connections may, in the order of their names: guests that speak for themselves, and that are found where
    /// they send from. For the way back of a connection is looked up where the packet in hand is routed: a guest whose own
    /// route table leads to him by a middlebox would be reached past it.
    func flowPorts(ofVPC vpc: Int) -> [Port] {
        let ports = topology.interfaces(of: vpc, on: host).compactMap { self.ports[$0] }.filter { port in
            let overriding = routing[port.context]?.overriding ?? []
            return !port.isForwarder && !port.blocks.contains { block in overriding.contains { $0.contains(block) } }
        }
        return Array(ports.sorted { $0.name < $1.name }.prefix(EstablishedConnections.portLimit))
    }
}

extension Compilation {
    /// The flowtables whose connections have to be judged anew when these changes take effect, because they may forbid what
    /// has passed. Those of one that loses a port are, anyway.
    public func renewedFlows(after changes: [NFChangeSet]) -> ChangedKeys<String> {
        var names = ChangedKeys<String>.none
        let operations = changes.filter { $0.table == FirewallTables.filter }.flatMap(\.operations)
        let newcomers = GuestPorts.newcomers(in: operations)
        for operation in operations {
            names.formUnion(compiler.flows(concernedBy: operation, newcomers))
            // There is no more than all: of a first load each operation would be looked at.
            if case .any = names { break }
        }
        return names
    }
}

extension HostCompiler {
    /// - Parameter newcomers: Ports that come, of which there are no connections yet.
    fileprivate func flows(
        concernedBy operation: NFOperation, _ newcomers: Set<InterfaceName>
    ) -> ChangedKeys<String> {
        switch operation {
        case .createTable, .wakeTable, .deleteTable, .changePolicy: return .any
        case .createSet, .createChain, .deleteChain, .createCounter, .createObject, .deleteObject, .renewElements,
            .createFlowtable, .addDevices, .removeDevices, .deleteFlowtable:
            return .none
        // What all packets of a kind pass, another epoch's rules among it.
        case .addRule(let name, _, _) where FirewallName(name)?.isOfHost ?? true: return .any
        case .addRule(let name, _, _), .flushChain(let name), .deleteRule(let name, _, _):
            return operation.mayTightenPolicy ? flows(of: name) : .none
        case .addElements(let set, _, let elements):
            return operation.mayTightenPolicy ? flows(of: set, elements, but: newcomers) : .none
        case .removeElements(let set, _, let elements):
            let isOfPorts = FirewallName(set).map { $0.family === FirewallFamily.ports } ?? true
            return isOfPorts || operation.mayTightenPolicy ? flows(of: set, elements) : .none
        case .flushSet(let name), .deleteSet(let name): return operation.mayTightenPolicy ? flows(of: name) : .none
        }
    }

    /// Of what a group, or a list of them, is made into.
    private func flows(of object: String) -> ChangedKeys<String> {
        guard let name = FirewallName(object), name.family.kind == .securityGroup, let group = name.subject.first,
            let number = groupHere(named: group)
        else { return .any }
        return ChangedKeys([FirewallName(.flow, topology.vpcs[topology.securityGroups[number].vpc].name).description])
    }

    private func groupHere(named name: String) -> Int? {
        let isIt = { topology.securityGroups[$0].name == name }
        return demand.groups.keys.first(where: isIt) ?? demand.members.keys.first(where: isIt)
    }

    /// Of elements of the host's sets by the ports that they are about, of others' by whose they are.
    private func flows(
        of set: String, _ elements: NFElements, but newcomers: Set<InterfaceName> = []
    ) -> ChangedKeys<String> {
        guard FirewallName(set)?.isOfHost ?? false else { return flows(of: set) }
        let devices = Set((0..<elements.count).map(elements.device)).subtracting(newcomers)
        if devices.isEmpty { return .none }
        let table = intent.host.firewall.first { $0.table == FirewallTables.flow }
        return ChangedKeys((table?.flowtables ?? []).filter { !devices.isDisjoint(with: $0.devices) }.map(\.name))
    }
}
