import KernelDriver
import KernelModel
import VPCCompiler

/// Attaches `count` guests, each with a veth pair into a namespace of its own (n0, n1, …), and takes all away again.
func measureInterfaces(_ count: Int) throws {
    var text = ""
    Network(interfaces: 0, hosts: 1).write(.yaml) { text += $0 }
    for index in 0..<count {
        let (high, low) = index.quotientAndRemainder(dividingBy: 250)
        text +=
            "---\napiVersion: vpcctl.dev/v1\nkind: NetworkInterface\nmetadata: {name: i\(index)}\nspec: {subnet: s0, "
        text += "host: h0, address: 10.0.\(1 + high).\(low + 1), attachment: {netns: n\(index), device: eth0}}\n"
    }
    let topology = Stages.topology(text)
    let intent = Stages.intent(topology).attachment
    let kernel = KernelDriver()
    let guests = intent.guests.map(\.namespace)
    func observe(_ name: String) throws -> KernelSnapshot {
        try timed(name) {
            try kernel.observe(ObservationRequest(owner: Conventions.ownership, guests: guests))
        }
    }
    Stages.commit("commit", Stages.plan("plan", intent, from: try observe("observe-empty")), kernel)
    let full = try observe("observe")
    Stages.expectNothing(Stages.plan("plan-nothing", intent, from: full))
    Stages.commit("remove", Stages.plan("plan-removal", KernelIntent(), from: full), kernel)
}

extension KernelIntent {
    /// The guests' ports and all that is on them, without the VRFs and tunnels that not every kernel has.
    fileprivate var attachment: KernelIntent {
        var result = KernelIntent()
        result.guests = guests
        result.host.links = host.links.compactMap { link in
            guard case .veth = link.object.kind else { return nil }
            var port = link
            port.object.master = nil
            return port
        }
        let ports = Set(result.host.links.map(\.object.name))
        result.host.addresses = host.addresses.filter { ports.contains($0.object.device) }
        result.host.neighbors = host.neighbors
        result.host.routes = host.routes.filter { ports.contains($0.object.device) }
        return result
    }
}
