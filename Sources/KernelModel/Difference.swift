public import KernelNames

/// Merges two arrays sorted by key into what has to be created, replaced and deleted. Linear; no allocation per object.
func difference<Object: KernelObject>(
    desired: [Attributed<Object>], observed: [Object]
) -> ChangeSet<Object> {
    var changes = ChangeSet<Object>()
    if observed.isEmpty {
        changes.creations = desired
        return changes
    }
    var left = 0
    var right = 0
    while left < desired.count, right < observed.count {
        // Of what is as it shall be, nearly everything, the key need not be looked at.
        if desired[left].object == observed[right] {
            left += 1
            right += 1
            continue
        }
        let (wanted, seen) = (desired[left], observed[right])
        let (wantedKey, seenKey) = (wanted.object.key, seen.key)
        if wantedKey == seenKey {
            changes.replacements.append(Replacement(old: seen, new: wanted.object, origin: wanted.origin))
            left += 1
            right += 1
        } else if wantedKey < seenKey {
            changes.creations.append(wanted)
            left += 1
        } else {
            changes.deletions.append(seen)
            right += 1
        }
    }
    changes.creations.append(contentsOf: desired[left...])
    changes.deletions.append(contentsOf: observed[right...])
    return changes
}

/// The same where all that differs is at some of the keys.
func difference<Object: KernelObject>(
    desired: [Attributed<Object>], observed: [Object], at keys: ChangedKeys<Object.Key>
) -> ChangeSet<Object> {
    guard case .some(let keys) = keys else { return difference(desired: desired, observed: observed) }
    var changes = ChangeSet<Object>()
    var (left, right) = (0, 0)
    for key in keys.sorted() {
        left = desired.partitionPoint(from: left) { $0.object.key < key }
        right = observed.partitionPoint(from: right) { $0.key < key }
        // To the kernel several objects can have one key.
        let wanted = desired[left...].prefix { $0.object.key == key }
        let seen = observed[right...].prefix { $0.key == key }
        let part = difference(desired: Array(wanted), observed: Array(seen))
        changes.deletions += part.deletions
        changes.creations += part.creations
        changes.replacements += part.replacements
    }
    return changes
}

/// Which flowtables, by name, have to be empty once these changes take effect: what they forbid may pass by those.
public typealias FlowRenewal = @Sendable (_ changes: [NFChangeSet]) -> ChangedKeys<String>

extension KernelIntent {
    /// The work that turns `snapshot` into this intent.
    ///
    /// Order: parameters and rules; links, masters before ports; addresses and neighbours; the guests; then, once the
    /// ports are operational, nexthops, groups and routes; deletions last, in the opposite order. An object that the
    /// kernel drops by itself because its device is made anew or changes its master is planned as missing.
    ///
    /// - Parameters:
    ///   - elementLimit: Elements of nf_tables per transaction, see ``NFChangeSet/transactions(limit:)``.
    ///   - suspects: Where anything may differ.
    ///   - renewed: Which flowtables' connections have to be judged anew.
    public func changes(
        from snapshot: KernelSnapshot, owner: Ownership, elementLimit: Int = NFChangeSet.elementLimit,
        suspects: SuspectObjects = .everything, renewed: @escaping FlowRenewal = { _ in .none }
    ) -> ChangePlan {
        var planner = ChangePlanner(
            intent: self, snapshot: snapshot, owner: owner, elementLimit: elementLimit, suspects: suspects,
            renewed: renewed)
        return planner.planned()
    }
}
