import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

extension Walk {
    /// A guest speaks for its own address only, unless it forwards others' packets.
    func checkSource(of interface: ResolvedInterface, _ way: inout Way) -> Bool {
        let source = way.packet.source
        if !interface.sourceDestCheck {
            way.add(
                .sourceCheck, .allow, "sourceDestCheck is off: \(interface.name) may send for any address",
                reference(interface), ["spec", "sourceDestCheck"])
            return true
        }
        if source == interface.address {
            way.add(.sourceCheck, .allow, "\(source) is the address of \(interface.name)", reference(interface))
            return true
        }
        if let further = interface.further.first(where: { $0.prefix.contains(source) }) {
            let text =
                further.isDelegated
                ? "\(source) is in \(further.prefix), which is delegated to \(interface.name)"
                : "\(source) is a further address of \(interface.name)"
            way.add(
                .sourceCheck, .allow, text, reference(interface),
                ["spec", further.isDelegated ? "prefixes" : "addresses"])
            return true
        }
        let own =
            ["\(interface.address)"] + interface.furtherAddresses.map(\.description)
            + interface.prefixes.map(\.description)
        way.add(
            .sourceCheck, .deny,
            "\(source) is not "
                + (own.count == 1 ? "the address of \(interface.name)" : "an address of \(interface.name)")
                + " (\(own.joined(separator: ", "))), and its sourceDestCheck is on",
            reference(interface), ["spec", "sourceDestCheck"], counter: RuleCounter.spoofed)
        return false
    }
}
