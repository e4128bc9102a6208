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
        way.add(
            .sourceCheck, .deny,
            "\(source) is not the address of \(interface.name) (\(interface.address)), and its sourceDestCheck is on",
            reference(interface), ["spec", "sourceDestCheck"], counter: RuleCounter.spoofed)
        return false
    }
}
