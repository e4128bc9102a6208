import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import VPCCompiler

/// Programs `count` nexthop objects and as many groups of four of them, or none.
func measureNexthops(_ count: Int, grouped: Bool) throws {
    var intent = KernelIntent()
    let first = UInt32(1_000_001)
    for index in 0..<UInt32(count) {
        let body = Nexthop.Body.gateway(IPAddress(v4: 0xAC1F_0001 + index), device: Stages.device)
        intent.host.nexthops.append(Attributed(Nexthop(id: NexthopID(first + index), body: body), from: .none))
    }
    let singles = UInt32(count)
    for index in 0..<(grouped ? singles : 0) {
        let members = Set((0..<4).map { (index + $0) % singles }).sorted().map {
            NexthopGroup.Member(id: NexthopID(first + $0), weight: 1)
        }
        let body = Nexthop.Body.group(NexthopGroup(members: members, algorithm: .hashThreshold))
        intent.host.nexthops.append(
            Attributed(Nexthop(id: NexthopID(first + singles + index), body: body), from: .none))
    }
    let kernel = KernelDriver()
    let empty = try Stages.observe("observe-empty", kernel)
    Stages.commit("commit", Stages.plan("plan", intent, from: empty), kernel)
    let full = try Stages.observe("observe", kernel)
    Stages.expectNothing(Stages.plan("plan-nothing", intent, from: full))
    Stages.commit("remove", Stages.plan("plan-removal", KernelIntent(), from: full), kernel)
}
