import ArgumentParser
import CommandOptions
import Console
import KernelModel
import Presentation
import VPCManifest
import VPCModel
import VPCTopology

/// The manifests of a command: valid, resolved, and able to say where a resource stands.
struct Manifests {
    let resolved: ResolvedManifests

    var set: ManifestSet { resolved.set }
    var topology: Topology { resolved.topology }

    init(_ resolved: ResolvedManifests) { self.resolved = resolved }

    /// Who chooses addresses for interfaces that leave theirs out.
    enum AddressChoice {
        /// The agent that is there has chosen them, or has not; without one they have to be stated.
        case agent
        /// Whoever is given the manifests: those that are seen here are not used.
        case recipient
    }

    /// Loads and checks everything and prints all that is wrong with it.
    /// - Throws: `ExitCode` 64 without any path, 65 for invalid manifests.
    init(_ options: ManifestOptions, _ global: GlobalOptions, addresses: AddressChoice = .agent) throws {
        let (set, resolution, isValid) = try Self.check(options, global, addresses: addresses)
        guard isValid, let topology = resolution.topology else { throw ExitStatus.invalidManifest.code }
        self.init(ResolvedManifests(set, topology))
    }

    /// Loads resources without asking whether they hold together, also as an agent has told of them, and prints all that is
    /// wrong with them.
    /// - Throws: `ExitCode` 64 without any path, 65 for invalid manifests.
    static func parts(_ options: ManifestOptions, _ global: GlobalOptions) throws -> ManifestSet {
        let (set, errors) = try options.load(global, limits: .ofAnswers)
        guard errors == 0 else { throw ExitStatus.invalidManifest.code }
        return set
    }

    static func check(
        _ options: ManifestOptions, _ global: GlobalOptions, addresses: AddressChoice
    ) throws -> (ManifestSet, Resolution, isValid: Bool) {
        let (set, resolution, errors) = try options.check(global) {
            switch addresses {
            case .agent: SocketOptions.chosenAddresses
            case .recipient: KeptAddresses()
            }
        }
        if errors > 0 { global.note("\(errors) \(errors == 1 ? "error" : "errors") found") }
        return (set, resolution, errors == 0)
    }

    /// Nobody chooses addresses but an agent.
    /// - Throws: `ExitCode` 65 where an interface leaves its address out.
    func requireAddresses(_ options: ManifestOptions, _ global: GlobalOptions) throws {
        guard set.model.leavesAddressesOut else { return }
        let errors = options.show(set.located(Topology.resolve(set.model).diagnostics), global)
        global.note("\(errors) \(errors == 1 ? "error" : "errors") found")
        throw ExitStatus.invalidManifest.code
    }

    /// The host of that name; without a name the one whose underlay address is on this machine.
    func host(_ option: HostOption, _ kernel: some KernelAccess) throws -> Int {
        if let name = option.name {
            if let index = topology.hosts.firstIndex(where: { $0.metadata.name == name }) { return index }
            let known = topology.hosts.map(\.metadata.name).prefix(20).joined(separator: ", ")
            throw ValidationError("No Host is named '\(name)' in the manifests; there are: \(known).")
        }
        let local = try kernel.localAddresses()
        let here = topology.hosts.indices.filter { local.contains(topology.hosts[$0].underlayAddress) }
        guard here.count <= 1 else {
            let names = here.map { topology.hosts[$0].metadata.name }.joined(separator: ", ")
            throw ValidationError(
                "Several Hosts have their underlay address on this machine (\(names)): pick one with --host.")
        }
        guard let host = here.first else {
            throw ValidationError("No Host has its underlay address on this machine: name one with --host.")
        }
        return host
    }
}
