import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing

extension LabTests {
    /// What is left when the kernel refuses one thing about the devices that not every kernel has: nothing, or what is
    /// known as ours. Of everything else the driver's own tests tell.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct HalfWayTests {
        /// A VRF with a tunnel that sends, one of the kind that takes its key from the route, a guest's port, and a device
        /// of somebody else, beside a VRF and a tunnel that are somebody else's.
        private func withDevices(_ body: (HalfWay) throws -> Void) throws {
            try withHost { host, guests in
                for command in [
                    "addr add 172.31.0.1/32 dev lo", "link set lo up",
                    "link add tap0 type veth peer name tap1", "link set tap0 group 77 alias theirs up",
                    "link set tap1 up", "link add vrf7 type vrf table 77",
                    "link add gre7 type gre local 172.31.0.1 key 7", "link set gre7 master vrf7",
                ] {
                    try run("sh", "-c", "ip -n \(host.name) \(command)")
                }
                let underlay = try "lo".device
                let context = try "v1".device
                host.add(Link(name: context, kind: .vrf(table: TableID(1_000_001)), alias: "test:v1", group: 30))
                let tunnel = GRETunnel(
                    local: try "172.31.0.1".address, key: 0x8000_0065, ttl: 64, underlay: underlay)
                for (name, kind, master) in [
                    ("g101", Link.Kind.gre(tunnel), context), ("gx", .greExternal(underlay: underlay), nil),
                ] {
                    host.add(
                        Link(
                            name: try name.device, kind: kind, alias: "test:\(name)", master: master, group: 20,
                            mtu: 1472,
                            ipv4: IPv4DeviceConfiguration(acceptLocal: true), ipv6Disabled: true))
                }
                try host.addPort("p1", guest: guests[0], master: context)
                host.add(
                    Link(
                        name: try "tap0".device, kind: .adopted, master: context, group: 10,
                        ipv4: IPv4DeviceConfiguration(proxyARP: true), proxyDelay: 0, ipv6Disabled: true))
                host.intent.normalize()
                try body(HalfWay(host, guests))
            }
        }

        @Test func everyStepOfAnApplyFailsOnce() throws {
            try withDevices { world in
                let steps = try world.failAtEveryStepOfAnApply()
                #expect(steps > 20)
            }
        }

        @Test func everyStepOfARemovalFailsOnce() throws {
            try withDevices { world in
                let steps = try world.failAtEveryStepOfARemoval()
                #expect(steps > 4)
            }
        }
    }
}
