import IPAddressing
import KernelNames
import NFTables

/// Tables for tests to write, change and spoil.
enum FirewallTables {
    static let table = NFTable(.inet, "probe")

    static func address(_ text: String) -> IPAddress { IPAddress(text) ?? .anyIPv4 }
    static func prefix(_ text: String) -> IPPrefix { IPPrefix(text) ?? .defaultIPv4 }
    static func device(_ text: String) -> InterfaceName { InterfaceName(text) ?? .none }
    static func mac(_ text: String) -> MACAddress { MACAddress(text) ?? MACAddress(rawValue: 0) }

    /// Dispatch by maps, policies in interval sets, a mark that remembers: everything a busy router would have.
    static var router: NFTableIntent {
        var router = NFTableIntent(table)
        router.counters = ["c_acl", "c_fast", "c_sg", "c_spoof", "c_under"].map { NFCounter($0) }
        addSets(&router)
        addPolicies(&router)
        addChains(&router)
        return router
    }

    private static func addSets(_ router: inout NFTableIntent) {
        var portZone = NFSet(
            "port_zone", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone), size: 65536)
        portZone.add(device("v1"), mac("02:00:0a:00:01:02"), address("10.0.1.2"), data: NFZone(1))
        portZone.add(device("v2"), mac("02:00:0a:00:01:03"), address("10.0.1.3"), data: NFZone(2))
        var deviceZone = NFSet("dev_zone", of: .interfaceName, to: .values(.zone), size: 16384)
        for (index, name) in ["g1", "g2", "v1", "v2"].enumerated() {
            deviceZone.add(device(name), data: NFZone(UInt16(index % 2 + 1)))
        }
        var portMAC = NFSet("port_mac", of: .interfaceName, .etherAddress, size: 65536)
        portMAC.add(device("v1"), mac("02:00:0a:00:01:02"))
        var vteps = NFSet("vteps", of: .ipv4Address, size: 16384)
        for last in 1...4 { vteps.add(address("172.31.0.\(last)")) }
        var policyOut = NFSet("acl_out", of: .interfaceName, to: .verdict, size: 16384)
        policyOut.add(device("v1"), verdict: .jump("sub1_o"))
        policyOut.add(device("v2"), verdict: .goto("sub2_o"))
        var full = NFSet("ep_full", of: .mark, size: 4)
        full.add(NFMark(3_221_225_479))
        var half = NFSet("ep_half", of: .connectionDirection, .mark, size: 8)
        half.add(NFDirection.original, NFMark(1_073_741_831))
        half.add(NFDirection.reply, NFMark(2_147_483_655))
        var promote = NFSet("ep_promote", of: .connectionDirection, .mark, to: .values(.mark), size: 8)
        promote.add(NFDirection.original, NFMark(2_147_483_655), data: NFMark(3_221_225_479))
        promote.add(NFDirection.reply, NFMark(1_073_741_831), data: NFMark(3_221_225_479))
        var fresh = NFSet("ep_fresh", of: .connectionDirection, to: .values(.mark), size: 8)
        fresh.add(NFDirection.original, data: NFMark(1_073_741_831))
        fresh.add(NFDirection.reply, data: NFMark(2_147_483_655))
        var service = NFSet(
            "lb_vip", of: .ipv4Address, .internetProtocol, .internetService, to: .verdict, size: 4096)
        service.add(address("10.0.9.9"), NFProtocol.tcp, NFPort(80), verdict: .jump("lb1"))
        var hairpin = NFSet("hairpin", of: .ipv4Address, .ipv4Address, size: 4096)
        hairpin.add(address("10.0.2.2"), address("10.0.2.2"))
        var groups = NFSet("groups", of: .interfaceGroup, isConstant: true, size: 2)
        groups.add(NFInterfaceGroup(10))
        groups.add(NFInterfaceGroup(20))
        var slots = NFSet("lb1", of: .mark, to: .values(.ipv4Address, .internetService), size: 16)
        for slot in 0..<16 {
            slots.add(
                NFMark(UInt32(slot)), data: NFKey(address("10.0.2.\(2 + slot % 2)"), NFPort(8080)))
        }
        var rates = NFSet("rates", of: .interfaceName, size: 64, limit: NFLimit(1024, burst: 256))
        rates.add(device("v1"))
        rates.add(device("v2"), comment: "the second")
        var counted = NFSet("counted", of: .ipv4Address, to: .counter)
        counted.add(address("10.0.1.9"), counter: "c_sg")
        router.sets += [
            portZone, deviceZone, portMAC, vteps, policyOut, full, half, promote, fresh, service, hairpin, groups,
            slots, counted, rates,
        ]
    }

    private static func addPolicies(_ router: inout NFTableIntent) {
        var members = NFSet("grp_client", of: .ipv4Address, size: 65536)
        members.add(address("10.0.1.2"), comment: "client 1")
        var rules = NFSet("sg1_in", of: .ipv4Address, .internetProtocol, .internetService, isInterval: true)
        rules.add(prefix("0.0.0.0/0"), NFProtocol.icmp, NFPort.any)
        rules.add(prefix("198.51.100.0/24"), NFProtocol.tcp, NFPort(443))
        rules.add(prefix("10.0.0.0/16"), NFProtocol.udp, NFPort(53))
        rules.add(prefix("10.0.0.0/16"), NFProtocol.tcp, NFPort(9090)...NFPort(9099))
        var groupRules = NFSet("sg1_in_g_client", of: .internetProtocol, .internetService, isInterval: true)
        groupRules.add(NFProtocol.tcp, NFPort(80)...NFPort(8080))
        var policy = NFSet(
            "acl8_out", of: .ipv4Address, .internetProtocol, .internetService, to: .verdict, isInterval: true)
        policy.add(
            address("0.0.0.0")...address("10.0.0.255"), NFProtocol.any, NFPort.any, verdict: .return)
        policy.add(
            address("10.0.2.0")...address("255.255.255.255"), NFProtocol.any, NFPort.any, verdict: .return)
        policy.add(prefix("10.0.1.0/24"), NFProtocol(0)...NFProtocol(5), NFPort.any, verdict: .return)
        policy.add(prefix("10.0.1.0/24"), NFProtocol.tcp, NFPort(0)...NFPort(31999), verdict: .return)
        policy.add(prefix("10.0.1.0/24"), NFProtocol.tcp, NFPort(32000)...NFPort(32099), verdict: .goto("deny_acl"))
        var blocks = NFSet("blocks", of: .ipv4Address, isInterval: true)
        blocks.add(prefix("10.0.0.0/24"))
        blocks.add(prefix("10.0.1.0/24"))
        blocks.add(address("240.0.0.0")...address("255.255.255.255"))
        var ports = NFSet("ports", of: .internetService, to: .verdict, isInterval: true)
        ports.add(NFPort(0)...NFPort(1023), verdict: .drop)
        ports.add(NFPort(1024)...NFPort(2047), verdict: .return)
        ports.add(NFPort(8080), verdict: .goto("deny_acl"))
        router.sets += [members, rules, groupRules, policy, blocks, ports]
    }

    private static func addChains(_ router: inout NFTableIntent) {
        router.chain("raw_pre", NFBaseChain(.filter, .prerouting, priority: -300)) { chain in
            chain.rule(.match(.iifgroup, 30), .accept)
            chain.rule(
                .match(.iifgroup, 10), .set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), .accept)
            chain.rule(.match(.iifgroup, 10), .goto("port_miss"))
            chain.rule(.match(.iifgroup, 20), .set(.ctZone, map: "dev_zone", .iifname), .accept)
            chain.rule(
                .match(.iifgroup, 40), .match(.l4proto, NFProtocol.gre), .match(.ipSource, in: "vteps"), .notrack,
                .accept)
            chain.rule(.match(.iifgroup, 40), .match(.l4proto, NFProtocol.gre), .counter("c_under"), .drop)
        }
        router.chain("port_miss") { chain in
            chain.rule(
                .match(.udpSource, 68), .match(.udpDestination, 67), .match(.iifname, .etherSource, in: "port_mac"),
                .accept)
            chain.rule(.counter("c_spoof"), .log(group: 5, prefix: "spoof", snapLength: 64), .drop)
        }
        router.chain("raw_out", NFBaseChain(.filter, .output, priority: -300)) { chain in
            chain.rule(.match(.l4proto, NFProtocol.gre), .notrack, .accept)
            chain.rule(.set(.ctZone, map: "dev_zone", .oifname))
        }
        router.chain("nat_pre", NFBaseChain(.nat, .prerouting, priority: -100)) { chain in
            chain.rule(
                .match(.iifgroup, in: "groups"), .vmap(.ipDestination, .ipProtocol, .destinationPort, map: "lb_vip"))
        }
        router.chain("nat_post", NFBaseChain(.nat, .postrouting, priority: 100)) { chain in
            chain.rule(
                .match(.oifgroup, 10), .match(.ipSource, .ipDestination, in: "hairpin"),
                .translate(.source, to: address("10.0.9.9")))
        }
        router.chain("local_in", NFBaseChain(.filter, .input, priority: 0)) { chain in
            chain.rule(.match(.iifgroup, 30), .jump("guest_to_host"))
        }
        router.chain("guest_to_host") { chain in
            chain.rule(.match(.icmpType, 8), .limit(NFLimit(100)), .accept)
            chain.rule(.match(.udpDestination, 67), .accept)
            chain.rule(.match(.ipDestination, address("169.254.169.254")), .match(.tcpDestination, 80), .accept)
            chain.rule(.match([.established, .related]), .accept)
            chain.rule(.counter("c_under"), .drop)
        }
        router.chain("fwd_policy", NFBaseChain(.filter, .forward, priority: 0, policy: .drop)) { chain in
            chain.rule(.match(.ctMark, in: "ep_full"), .counter("c_fast"), .accept)
            chain.rule(.match(.ctDirection, .ctMark, in: "ep_half"), .accept)
            chain.rule(.match(.invalid), .drop)
            chain.rule(.vmap(.sdifname, map: "acl_out"))
            chain.rule(.match([.established, .related]), .goto("pass"))
            chain.rule(.counter(map: "counted", .ipSource))
            chain.rule(.counter, .goto("pass"), comment: "what is left")
        }
        router.chain("pass") { chain in
            chain.rule(.set(.ctMark, map: "ep_promote", .ctDirection, .ctMark), .accept)
            chain.rule(.set(.ctMark, map: "ep_fresh", .ctDirection), .accept)
            chain.rule(.accept)
        }
        router.chain("deny_acl") { chain in
            chain.rule(.counter("c_acl"), .log(group: 5, prefix: "acl", snapLength: 64), .drop)
        }
        router.chain("acl8_o") { chain in
            chain.rule(.vmap(.ipDestination, .ipProtocol, .destinationPort, map: "acl8_out"))
            chain.rule(.goto("deny_acl"))
        }
        router.chain("sub1_o") { chain in
            chain.rule(.match(.ipDestination, prefix("10.0.1.0/24")), .return)
            chain.rule(.goto("acl8_o"))
        }
        router.chain("sub2_o") { chain in
            chain.rule(.match(.ipDestination, prefix("10.0.32.0/20")), .return)
            chain.rule(.match(.ipDestination, in: "blocks"), .return)
            chain.rule(.match(.l4proto, NFProtocol.udp), .vmap(.destinationPort, map: "ports"))
            chain.rule(.goto("acl8_o"))
        }
        router.chain("combo_1_in") { chain in
            chain.rule(.match(.ipSource, .ipProtocol, .destinationPort, in: "sg1_in"), .return)
            chain.rule(
                .match(.ipSource, in: "grp_client"), .match(.ipProtocol, .destinationPort, in: "sg1_in_g_client"),
                .return)
            chain.rule(.reject(.unreachable(.prohibited)))
        }
        router.chain("lb1") { chain in
            chain.rule(
                .match(.ctZone, 1), .match(.l4proto, NFProtocol.tcp),
                .translate(
                    .destination, .ip, .addressAndPort, map: "lb1", by: NFHash(modulus: 16, seed: 0x5eed),
                    .ipSource, .tcpSource))
        }
    }
}
