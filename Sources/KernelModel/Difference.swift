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

extension KernelIntent {
    /// The work that turns `snapshot` into this intent.
    ///
    /// Order: parameters and rules; links, masters before ports; addresses and neighbours; the guests; then, once the
    /// ports are operational, nexthops, groups and routes; deletions last, in the opposite order. An object that the
    /// kernel drops by itself because its device is made anew or changes its master is planned as missing.
    ///
    /// - Parameter elementLimit: Elements of nf_tables per transaction, see ``NFChangeSet/transactions(limit:)``.
    public func changes(
        from snapshot: KernelSnapshot, owner: Ownership, elementLimit: Int = NFChangeSet.elementLimit
    ) -> ChangePlan {
        var planner = ChangePlanner(intent: self, snapshot: snapshot, owner: owner, elementLimit: elementLimit)
        return planner.planned()
    }
}
