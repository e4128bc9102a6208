import Glibc
import Logging
import VPCManifest

/// The newest revision where it cannot be taken up. Nothing older takes its place: what was forbidden since would be
/// allowed again.
struct UnusableRevision {
    var number: Int
    /// One sentence.
    var reason: String
    /// What is known of it; nil where that is damaged, too.
    var revision: Revision?
    /// What the source held when that was found.
    var sourceDigest: UInt64?

    /// Whether what the source holds is wanted now: it has changed since, or is that revision itself.
    mutating func givesWay(to digest: UInt64) -> Bool {
        guard let revision else {
            let first = sourceDigest ?? digest
            sourceDigest = first
            return digest != first
        }
        return digest != revision.directoryDigest || digest == revision.digest
    }
}

extension ReconcileLoop {
    /// Takes up what was in force, or what the source has if that has changed since.
    func start() {
        for name in ((try? agent.revisions.strangers()) ?? []).prefix(10) {
            publication.log.warning("\(agent.revisions.path)/\(name) is no revision of ours and is left alone")
        }
        takeUpNewest()
        if let (files, digest) = readSource() {
            // There is nothing to repair meanwhile.
            do throws(AgentError) {
                let kept = KeptFiles(agent.revisions, desired?.revision)
                let set = ManifestSet(files, and: try kept.madeByAPI())
                try takeSource(agent.prepare(set, PreparationBase(addresses: keptAddresses)), digest)
            } catch {
                rejectSource(error)
            }
        }
        if desired == nil, unusable == nil {
            publication.log.warning("no valid desired state is known yet: nothing is touched")
        }
        requestPass()
    }

    /// Takes up the newest revision. Where that cannot be, the kernel is left as it is until somebody decides.
    func takeUpNewest() {
        do {
            guard let newest = try agent.revisions.latest() else { return unusable = nil }
            let set = ManifestSet(try agent.revisions.sources(of: newest))
            hasReadWholeSet = true
            take(try agent.resolved(set, newest, keeping: .ofRevision(newest.number)))
            unusable = nil
            if let seconds = newest.confirmBy { resumeConfirmation(of: newest, by: seconds) }
        } catch {
            refuse(error)
        }
    }

    private func refuse(_ error: AgentError) {
        let number = ((try? agent.revisions.newest()) ?? nil) ?? 0
        let back = agent.revisions.intact(before: number).map { ", or go back with 'vpcctl rollback \($0)'" } ?? ""
        let reason =
            "revision \(number) cannot be taken up, and nothing is touched: \(error); apply the manifests again\(back)"
        let isNews = unusable?.reason != reason
        unusable = UnusableRevision(
            number: number, reason: reason, revision: try? agent.revisions.revision(number),
            sourceDigest: unusable?.sourceDigest)
        guard isNews else { return }
        publication.unusable(number, reason)
    }

    /// The clock may have been set while nobody looked: no more time is left than there was in the beginning.
    private func resumeConfirmation(of revision: Revision, by seconds: Int) {
        guard let previous = (try? agent.revisions.numbers())?.last(where: { $0 < revision.number }) else { return }
        let left = min(max(seconds - time(nil), 0), max(seconds - revision.time, 0))
        confirmation = Confirmation(
            revision: revision, previous: previous, deadline: agent.clock.now + .seconds(left))
        publishConfirmation(seconds)
    }
}
