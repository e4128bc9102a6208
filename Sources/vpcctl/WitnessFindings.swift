import KernelDriver
import KernelModel
import KernelWitness
import Reconciler
import VPCCompiler

/// What comes of reading this host twice, by `KernelDriver` and by libnl.
enum WitnessFindings {
    static func all() throws -> [Finding] {
        do {
            let kernel = KernelDriver()
            guard let namespace = try Kernel.presentHost(of: kernel) else { return try [nothing(kernel)] }
            let report = try KernelWitness(namespace: namespace).examine(
                HostReconciler(kernel: kernel).kernel, owner: Conventions.ownership)
            return [summary(report)] + report.disagreements.map(finding)
        } catch WitnessError.missingLibrary(let problem) {
            return [
                Finding(
                    subject: subject, isGood: false, detail: problem,
                    remedy: "install libnl-3-200 and libnl-route-3-200")
            ]
        }
    }

    /// Where this machine is no host the libraries are at least called.
    private static func nothing(_ kernel: KernelDriver) throws -> Finding {
        let report = try KernelWitness().examine(kernel, owner: Conventions.ownership)
        guard report.disagreements.isEmpty else { return finding(report.disagreements[0]) }
        return Finding(
            subject: subject, isGood: true, detail: "it works; this machine is no host yet: nothing of ours is here")
    }

    private static let subject = "libnl as a second reader"

    private static func summary(_ report: WitnessReport) -> Finding {
        let kinds: [(ObjectKind, String)] = [
            (.link, "links"), (.address, "addresses"), (.neighbor, "neighbours"), (.rule, "rules"), (.route, "routes"),
        ]
        let counts = kinds.map { "\(report.objects[$0.0] ?? 0) \($0.1)" }.joined(separator: ", ")
        return Finding(
            subject: subject, isGood: true,
            detail: "it saw \(counts) on the host and in \(report.namespaces - 1) guests")
    }

    private static func finding(_ disagreement: Disagreement) -> Finding {
        let place = disagreement.place.map { " in \($0)" } ?? ""
        return Finding(
            subject: disagreement.object + place, isGood: false, isDisputed: true,
            detail: "vpcctl reads \(disagreement.ours); libnl reads \(disagreement.witness)",
            remedy: "see what ip(8) reads, and report it: one of the two is wrong")
    }
}
