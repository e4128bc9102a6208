import IPAddressing
import KernelModel
import VPCCompiler

/// One VPC with `interfaces` interfaces on `hosts` hosts, as YAML. Only the first is on the first host.
func manifestText(interfaces: Int, hosts: Int) -> String {
    var text = ""
    for host in 0..<hosts {
        text += "---\napiVersion: vpcctl.dev/v1\nkind: Host\nmetadata: {name: h\(host)}\n"
        text += "spec: {underlay: {address: 172.31.\(host >> 8).\(host & 255)}}\n"
    }
    text += "---\napiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: v}\nspec: {id: 5, cidrs: [10.0.0.0/8]}\n"
    text += "---\napiVersion: vpcctl.dev/v1\nkind: Subnet\nmetadata: {name: s}\nspec: {vpc: v, cidr: 10.0.0.0/8}\n"
    for index in 0..<interfaces {
        let host = index == 0 ? 0 : 1 + index % (hosts - 1)
        text += "---\napiVersion: vpcctl.dev/v1\nkind: NetworkInterface\nmetadata: {name: i\(index)}\n"
        text += "spec: {subnet: s, host: h\(host), address: \(IPAddress(v4: 0x0A00_0100 + UInt32(index))), "
        text += "attachment: {netns: n\(index), device: eth0}}\n"
    }
    return text
}

/// The routes and nexthop objects of an intent, with `device` in the place of the GRE device.
func runnable(_ intent: KernelIntent, _ device: InterfaceName) -> KernelIntent {
    var result = KernelIntent()
    result.host.nexthops = intent.host.nexthops.map { nexthop in
        guard case .encapsulate(let tunnel, _) = nexthop.object.body else { return nexthop }
        let body = Nexthop.Body.gateway(tunnel.destination, device: device)
        return Attributed(Nexthop(id: nexthop.object.id, body: body), from: nexthop.origin)
    }
    result.host.routes = intent.host.routes.filter { $0.object.device.isNone }
    return result
}
