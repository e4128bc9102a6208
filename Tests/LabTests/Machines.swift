import Agent
import Foundation
import IPAddressing
import KernelDriver
import Netlink
import Reconciler
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology
import VPCTrace

@testable import VPCLab

/// Machines with guests, on both of which there are objects of somebody else. Unlike in a ``TestLab`` the hosts' names are
/// the manifests' business: the machines stay when a host is renamed.
struct Machines {
    struct Machine {
        /// Of the machine itself.
        var namespace: String
        var address: IPAddress
        /// Namespaces of guests that are connected by a pair.
        var guests: [String]
        /// The namespace behind the device ``tap``, where the guest configures itself.
        var virtualMachine: String

        /// What the namespace of the VPCs is called where the machine is that host: unlike machines of their own, these
        /// share the names.
        func ownNamespace(of host: String) -> String { "\(namespace)-\(host)" }

        /// Those that there are.
        var ownNamespaces: [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: NetworkNamespace.directory)) ?? []
            return names.filter { $0.hasPrefix("\(namespace)-") }
        }
    }

    static let tap = "tap0"
    let prefix: String
    let machines: [Machine]
    private let foreignObjects: [String]

    init(count: Int = 2, guestsEach: Int = 3) throws {
        let prefix = TestLab.uniquePrefix()
        self.prefix = prefix
        let machines = (1...count).map { number in
            Machine(
                namespace: "\(prefix)m\(number)", address: IPAddress(v4: 0xAC1F_0000 + UInt32(number)),
                guests: (1...guestsEach).map { "\(prefix)g\(number)\($0)" }, virtualMachine: "\(prefix)v\(number)")
        }
        self.machines = machines
        var script = "set -e; ip netns add \(prefix)ul; ip -n \(prefix)ul link add br0 type bridge\n"
        script += "ip -n \(prefix)ul link set br0 up\n"
        for (number, machine) in machines.enumerated() { script += Self.setUp(machine, number + 1, "\(prefix)ul") }
        do {
            try Self.run(script)
            foreignObjects = try Self.places(machines).map(Self.foreignObjects)
        } catch {
            Self.remove(machines, prefix)
            throw error
        }
    }

    func tearDown() { Self.remove(machines, prefix) }

    private static func remove(_ machines: [Machine], _ prefix: String) {
        for name in machines.flatMap(\.ownNamespaces) + places(machines) + machines.map(\.virtualMachine)
            + ["\(prefix)ul"]
        {
            _ = Command.run("ip netns del \(name)")
        }
    }

    private static func places(_ machines: [Machine]) -> [String] { machines.flatMap { [$0.namespace] + $0.guests } }

    // MARK: Setting up

    private static func setUp(_ machine: Machine, _ number: Int, _ underlay: String) -> String {
        let (name, vm) = (machine.namespace, machine.virtualMachine)
        var script = ""
        for place in [name, vm] + machine.guests {
            script += """
                ip netns add \(place); ip -n \(place) link set lo up
                ip netns exec \(place) sh -c 'cd /proc/sys/net; for d in all default; do
                    echo 1 >ipv6/conf/$d/disable_ipv6; echo 0 >ipv4/conf/$d/rp_filter; done'

                """
        }
        script += """
            ip -n \(name) link add u0 type veth peer name p\(number) netns \(underlay)
            ip -n \(underlay) link set p\(number) master br0 up
            ip -n \(name) addr add \(machine.address)/24 dev u0; ip -n \(name) link set u0 up
            ip -n \(name) link add \(tap) type veth peer name eth0 netns \(vm)
            ip -n \(name) link set \(tap) up; ip -n \(vm) link set eth0 up

            """
        for (index, place) in places([machine]).enumerated() {
            // A gateway sends under its own address below: it is not to ask by ARP under that one.
            let isGuest = index > 0
            script += """
                ip netns exec \(place) sh -e -c '
                \(isGuest ? "sysctl -qw net.ipv4.conf.all.arp_announce=2" : ":")
                ip link add theirs0 type dummy; ip link set theirs0 up
                ip addr add 198.18.\(number).1/24 dev theirs0
                ip addr add \(loopback(number, index))/32 dev lo
                ip neigh add 198.18.\(number).9 lladdr 02:00:00:00:00:09 dev theirs0 nud permanent
                ip route add 203.0.120.0/24 via 198.18.\(number).2 proto 200
                ip route add 203.0.121.0/24 via 198.18.\(number).2 table 1000003 proto 200
                ip rule add pref 900 from 198.18.0.0/16 lookup 77 proto 200
                ip rule add pref 10001 from 198.18.0.0/16 lookup 1000003 proto 200
                ip nexthop add id 7 via 198.18.\(number).2 dev theirs0 proto 200
                ip nexthop add id 1000002 via 198.18.\(number).3 dev theirs0 proto 200
                echo "table inet theirs { chain c { type filter hook input priority 5; counter accept; }; }" | nft -f -'

                """
        }
        return script
    }

    /// An address that the guest has for itself, beside those of its interfaces.
    static func loopback(_ machine: Int, _ guest: Int) -> String { "203.0.113.\(machine * 16 + guest)" }

    func loopback(of namespace: String) -> IPAddress? {
        for (number, machine) in machines.enumerated() {
            guard let index = machine.guests.firstIndex(of: namespace) else { continue }
            return IPAddress(Self.loopback(number + 1, index + 1))
        }
        return nil
    }

    @discardableResult
    private static func run(_ line: String) throws -> String {
        let command = Command.run(line)
        try #require(command.status == 0, "\(line): \(command.output)")
        return command.output
    }

    // MARK: What is somebody else's

    private static func foreignObjects(in namespace: String) throws -> String {
        try run(
            """
            ip netns exec \(namespace) sh -e -c 'ip rule show | grep "proto 200"
            ip -batch - <<END | grep -v "altname vpcctl.was."
            link show theirs0
            addr show theirs0
            addr show lo
            route show table all proto 200
            nexthop show protocol 200
            neigh show dev theirs0 nud permanent
            END
            nft list table inet theirs | sed "s/packets [0-9]* bytes [0-9]*//"'
            """)
    }

    func checkForeignObjects(_ step: String) throws {
        for (place, before) in zip(Self.places(machines), foreignObjects) {
            let now = try Self.foreignObjects(in: place)
            #expect(now == before, "\(step): \(place)")
        }
    }

    /// Nothing of ours, anywhere.
    func checkThatNothingIsLeft() throws {
        for place in Self.places(machines) {
            let rest = try Self.run(
                """
                ip netns exec \(place) sh -c 'ip -br link | grep -E "^(vpc-|e-|eth)"; ip rule | grep -w 118
                ip route show table all proto 118; ip nexthop show protocol 118; nft list tables | grep vpcctl
                ip link | grep vpcctl; true'
                """)
            #expect(rest == "", "\(place)")
        }
        #expect(machines.flatMap(\.ownNamespaces) == [])
    }

    // MARK: Applying

    /// The host that a machine is, an index into `topology.hosts`.
    func host(of machine: Int, in topology: Topology) throws -> Int {
        try #require(topology.hosts.firstIndex { $0.underlayAddress == machines[machine].address })
    }

    func kernel(_ machine: Int) -> KernelDriver { KernelDriver(namespace: .named(machines[machine].namespace)) }

    /// As a user of a virtual machine would do it.
    func configureVirtualMachines(_ topology: Topology) throws {
        for interface in topology.interfaces {
            guard case .device = interface.attachment else { continue }
            let subnet = topology.subnets[interface.subnet]
            let vm = namespace(interface, topology)
            try Self.run(
                """
                ip netns exec \(vm) sh -e -c 'ip addr flush dev eth0; ip link set eth0 address \(interface.mac)
                ip addr add \(interface.address)/\(subnet.cidr.length) dev eth0
                ip route replace default via \(subnet.gateway)'
                """)
        }
    }

    /// Applied to every machine: done at the first try, with nothing left to do.
    func expectDone(_ outcome: HostOutcome, _ plan: HostPlan, _ step: String) {
        let failures = outcome.report.failures.map { failure in
            let place = failure.operation.place.guest.map { "[\($0)] " } ?? ""
            return "\(failure.operation.action.rawValue) \(place)\(failure.operation.object): \(failure.reason)"
        }
        #expect(failures == [], "\(step)")
        #expect(outcome.remaining.operations.map(\.object) == [], "\(step)")
        #expect(plan.unattached == [] && plan.changes.conflicts == [], "\(step)")
    }

    func expectNothingToDo(_ topology: Topology, _ step: String) throws {
        for machine in machines.indices {
            let names = machines[machine].ownNamespaces
            #expect(names.count == 1, "\(step), machine \(machine + 1): \(names)")
            let host = try host(of: machine, in: topology)
            let reconciler = HostReconciler(kernel: kernel(machine), for: host, in: topology)
            let plan = try reconciler.plan(topology, host: host).changes
            #expect(plan.isEmpty, "\(step), machine \(machine + 1): \(plan.operations.map(\.object))")
        }
    }

    // MARK: Traffic

    /// Pings between guests of one VPC, and to what is behind gateways, compared with what the trace says.
    /// - Returns: how many were answered, and how many stayed without an answer as they should.
    func probe(_ topology: Topology, _ step: String, _ dice: inout Dice) throws -> (answered: Int, denied: Int) {
        var counts = (answered: 0, denied: 0)
        for from in topology.interfaces.indices.shuffled(using: &dice).prefix(8) {
            let sender = topology.interfaces[from]
            let place = namespace(sender, topology)
            var targets = topology.interfacesOfVPC[sender.vpc].map { topology.interfaces[$0] }
                .filter { namespace($0, topology) != place }.map(\.address)
            let behind = target(behind: topology, from)
            if let behind { targets.append(behind) }
            guard let to = targets.randomElement(using: &dice) else { continue }
            let trace = topology.traced(from: from, to: to, Packet.echoRequest)
            guard let isAnswered = Self.isAnswered(trace, byGateway: to == behind) else { continue }
            let station = Station(.named(place), source: sender.address)
            let options = PingOptions(
                timeout: isAnswered ? .seconds(2) : .milliseconds(100), attempts: isAnswered ? 5 : 1)
            let outcome = try station.ping(to, options)
            #expect(outcome.isReply == isAnswered, "\(step): \(sender.name) \(sender.address) to \(to): \(outcome)")
            if isAnswered { counts.answered += 1 } else { counts.denied += 1 }
        }
        return counts
    }

    private func namespace(_ interface: ResolvedInterface, _ topology: Topology) -> String {
        if case .namespace(let name, _) = interface.attachment { return name }
        let address = topology.hosts[interface.host].underlayAddress
        return machines.first { $0.address == address }?.virtualMachine ?? ""
    }

    /// An address of a gateway itself that only its route leads to.
    private func target(behind topology: Topology, _ from: Int) -> IPAddress? {
        let trace = topology.traced(from: from, to: "203.0.113.1", Packet.echoRequest)
        guard case .deliveredToGateways(let gateways) = trace.forward.verdict, gateways.count == 1 else { return nil }
        let gateway = topology.interfaces[gateways[0]]
        guard case .namespace(let name, _) = gateway.attachment else { return nil }
        // With several interfaces it may answer by another one.
        let all = topology.interfaces.filter { namespace($0, topology) == name }
        return all.count == 1 && name != namespace(topology.interfaces[from], topology) ? loopback(of: name) : nil
    }

    /// Nil where that is up to a guest: none of them forwards.
    /// - Parameter byGateway: Whether the address is one of the gateway itself.
    private static func isAnswered(_ trace: Trace, byGateway: Bool) -> Bool? {
        switch trace.forward.verdict {
        case .dropped, .unreachable, .blackhole: return false
        case .delivered: break
        case .deliveredToGateways: if !byGateway { return nil }
        case .answeredByHost, .dependsOnGateway, .sentOut, .staysInGuest: return nil
        }
        for journey in trace.returns {
            switch journey.verdict {
            case .delivered: break
            case .dropped, .unreachable, .blackhole: return false
            case .deliveredToGateways, .answeredByHost, .dependsOnGateway, .sentOut, .staysInGuest: return nil
            }
        }
        return true
    }
}
