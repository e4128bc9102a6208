import IPAddressing
import KernelDriver
import KernelModel
import TestSupport
import Testing

extension LabTests {
    /// What the mirror has to know of kernels with GRE and VRF devices.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 20)) struct MirrorTests {
        @Test(arguments: Seeds.fresh(with: 5, 6)) func mirrorShowsWhatThereIs(seed: UInt64) throws {
            try MirrorWorld.play(seed: seed, rounds: 25)
        }

        /// The kernel flushes, without telling of it, the routes of a device that a VRF takes or gives back, and with the
        /// sending device all nexthops and all routes by them.
        @Test func whatGoesWithADeviceIsRead() throws {
            try withHost { host, _ in
                try MirrorWorld.quiet(host.name)
                let lines = """
                    link add u0 type veth peer name wire
                    link set u0 up
                    link set wire up
                    addr add 172.31.0.1/24 dev u0
                    link add v1 type vrf table 1000001
                    link set v1 up
                    link add gx type gre external
                    link set gx up
                    link add p1 type veth peer name p1x
                    link set p1 up
                    link set p1x up
                    nexthop add id 101 encap ip id 7 dst 172.31.0.2 dev gx proto 118
                    nexthop add id 201 group 101 proto 118
                    route add 10.0.0.1 dev p1 table 1000001 proto 118
                    route add 10.0.0.2 nhid 101 table 1000001 proto 118
                    route add 10.0.0.3 nhid 201 table 1000001 proto 118
                    route add unreachable 10.0.0.0/16 table 1000001 proto 118
                    """
                try run("sh", "-c", "ip -n \(host.name) -batch - <<'E'\n\(lines)\nE")
                let request = ObservationRequest(owner: owner)
                var mirror = try KernelMirror(host.driver, request)
                func expect(routes: Int, nexthops: Int, after command: String) throws {
                    try run("sh", "-c", "ip -n \(host.name) \(command)")
                    let update = try mirror.update()
                    let (snapshot, truth) = (mirror.snapshot, try host.driver.observe(request))
                    #expect(snapshot == truth, "\(command): \(truth.differences(from: snapshot))")
                    #expect(snapshot.host.routes.count == routes, "\(command)")
                    #expect(snapshot.host.nexthops.count == nexthops, "\(command)")
                    #expect(update.objectsRead < 60, "\(command)")
                }
                try expect(routes: 3, nexthops: 2, after: "link set p1 master v1")
                try expect(routes: 4, nexthops: 2, after: "route add 10.0.0.1 dev p1 table 1000001 proto 118")
                try expect(routes: 3, nexthops: 2, after: "link set p1 nomaster")
                try expect(routes: 1, nexthops: 0, after: "link set gx down")
                try expect(routes: 1, nexthops: 0, after: "link del v1")
            }
        }
    }
}
