import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension Committer {
    /// Rules are replaced by others beside them: where those could not be made, nothing is deleted. A host without its
    /// rule for local addresses is deaf.
    mutating func perform(_ changes: ChangeSet<Rule>, _ step: ChangePlan.Step, _ session: Session) {
        if !changes.deletions.isEmpty, placesWithoutRule.contains(step.place) {
            if let guest = step.place.guest { guestsWithRules.insert(guest) }
            return failAll(step, .dependency("the rule in its place"))
        }
        var possible = changes
        if let guest = step.place.guest, !(unusable[step.place] ?? []).isEmpty {
            do throws(NetlinkError) {
                try drop(&possible.creations, withoutAddressIn: session, guest)
            } catch {
                return failAll(step, error.reason)
            }
        }
        let failures = report.failures.count
        batch(possible, step, session) { _, _ in
            nil
        } encode: { change, rule, _, writer in
            switch change {
            case .create: rule.encode(MessageType(RTM_NEWRULE), [.create, .exclusive], into: &writer)
            case .replace: break  // A rule is its own key.
            case .delete: rule.encode(MessageType(RTM_DELRULE), [], into: &writer)
            }
        }
        if report.failures.count == failures { return }
        if !changes.creations.isEmpty { placesWithoutRule.insert(step.place) }
        if !changes.deletions.isEmpty, let guest = step.place.guest { guestsWithRules.insert(guest) }
    }

    /// In a guest that could not be connected: a rule for an address that it has not got would stay behind, because a
    /// guest is found again by its devices.
    private mutating func drop(
        _ creations: inout [Attributed<Rule>], withoutAddressIn session: Session, _ guest: NamespaceName
    ) throws(NetlinkError) {
        let addresses = Set(try session.socket.addresses(DeviceNames()).map(\.address.address))
        let idle = creations.filter { rule in rule.object.source.map { !addresses.contains($0.address) } ?? false }
        if idle.isEmpty { return }
        creations.removeAll { idle.contains($0) }
        failAll(
            .init(in: .guest(guest), .rules(ChangeSet(creations: idle))), .dependency("the device with that address"))
    }
}
