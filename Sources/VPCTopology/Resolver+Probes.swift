internal import IPAddressing
internal import VPCModel

extension Resolver {
    // MARK: Probes

    mutating func resolveProbes() {
        for probe in model.probes.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let reference = probe.reference
            let from = number(of: NetworkInterface.self, probe.from, for: reference, ["spec", "from"])
            var target: Int?
            let address: IPAddress
            switch probe.to {
            case .address(let literal):
                address = literal
            case .interface(let name):
                target = number(of: NetworkInterface.self, name, for: reference, ["spec", "to"])
                guard let target else { continue }
                address = topology.interfaces[target].address
            }
            guard let from else { continue }
            if let target { check(probe, from: from, to: target) }
            let resolved = ResolvedProbe(
                name: probe.metadata.name, from: from, toInterface: target, toAddress: address,
                transport: probe.transport, expect: probe.expect)
            Probe.enter(place(probe, resolved), &self)
        }
    }

    private mutating func check(_ probe: Probe, from: Int, to: Int) {
        guard from != to else {
            report(
                "probe-to-itself", "it sends from \(probe.from) to \(probe.from)",
                hint: "name two different interfaces",
                at: probe.reference, ["spec", "to"])
            return
        }
        let (sender, receiver) = (topology.interfaces[from], topology.interfaces[to])
        guard sender.vpc != receiver.vpc else { return }
        if probe.expect == .allow {
            report(
                "probe-other-vpc",
                "\(receiver.name) is in VPC \(topology.vpcs[receiver.vpc].name), \(sender.name) in"
                    + " \(topology.vpcs[sender.vpc].name): VPCs do not reach each other",
                hint: "write expect: deny, or probe an interface of the same VPC", at: probe.reference,
                ["spec", "expect"])
        } else if let namesake = interface(at: receiver.address, inVPC: sender.vpc) {
            warn(
                "probe-ambiguous",
                "\(receiver.address) of \(receiver.name) is, in the sender's VPC, the address of \(namesake.name)",
                hint: "that interface will answer; choose a target whose address the sender's VPC does not have",
                at: probe.reference, ["spec", "to"])
        }
    }

    private func interface(at address: IPAddress, inVPC vpc: Int) -> ResolvedInterface? {
        topology.interface(at: address, inVPC: vpc).map { topology.interfaces[$0] }
    }
}
