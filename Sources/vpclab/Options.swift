import ArgumentParser
import CommandOptions
import Console
import Glibc
import Reconciler
import VPCLab
import VPCManifest
import VPCTopology

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case json
}

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table or json.")
    var format = OutputFormat.table
}

/// Which lab.
struct LabOptions: ParsableArguments {
    @Option(help: "The lab's name; by default that of the first manifest file.")
    var name: String?

    @Option(name: .customLong("state-dir"), help: "Where labs are recorded.")
    var stateDirectory = LabStore.defaultPath

    var store: LabStore { LabStore(path: stateDirectory) }

    func validate() throws {
        if let name, !LabStore.isName(name) {
            throw ValidationError("'\(name)' is no name for a lab: up to 64 letters, digits, - and _.")
        }
    }

    /// The lab that is meant: named, that of the manifests, or the only one.
    func name(forManifests paths: [String]) throws -> String {
        if let name { return name }
        if !paths.isEmpty { return LabStore.name(forManifests: paths) }
        let labs = store.labs()
        guard labs.count <= 1 else {
            throw ValidationError("Several labs are up (\(labs.joined(separator: ", "))): pick one with --name or -f.")
        }
        guard let lab = labs.first else { throw LabError(.notUp, "no lab is up") }
        return lab
    }
}

/// How a lab is made.
struct MakingOptions: ParsableArguments {
    @Option(help: "What the names of all namespaces start with; by default nothing.")
    var prefix: String?

    @Option(name: .customLong("underlay-mtu"), help: "MTU of the underlay in bytes; by default 1500.")
    var underlayMTU: UInt32?

    func validate() throws {
        if let underlayMTU, !(576...65535).contains(underlayMTU) {
            throw ValidationError("--underlay-mtu must be within 576…65535.")
        }
        if let prefix, !prefix.isEmpty, !LabStore.isName(prefix) {
            throw ValidationError("--prefix may hold letters, digits, - and _.")
        }
    }

    /// As asked for, else as the lab was made.
    func options(of lab: String, in store: LabStore) throws -> LabPlan.Options {
        let known = store.options(of: lab)
        if let prefix, let known, known.prefix != prefix {
            throw LabError(
                .nameTaken, "lab \(lab) is up with the prefix '\(known.prefix)'",
                hint: "take it down first, or name another")
        }
        let usual = known ?? LabPlan.Options()
        return LabPlan.Options(prefix: prefix ?? usual.prefix, underlayMTU: underlayMTU ?? usual.underlayMTU)
    }
}

/// Loads and checks manifests.
enum Manifests {
    /// - Throws: `ExitCode` 65 after having printed all that is wrong.
    static func topology(_ options: ManifestOptions, _ global: GlobalOptions) throws -> Topology {
        // One program knows all hosts: what it chooses depends on the manifests alone.
        let (set, resolution, _) = try options.check(global) { KeptAddresses() }
        guard set.isValid, let topology = resolution.topology else { throw ExitStatus.invalidManifest.code }
        return topology
    }
}

/// Runs `body` and turns what it throws into a message and an exit code.
func reporting(_ global: GlobalOptions, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch let error as ExitCode {
        throw error
    } catch let error as ValidationError {
        throw error
    } catch let error as LabError {
        global.error(error.description)
        throw error.code == .interrupted ? ExitCode(128 + SIGINT) : ExitStatus.failed.code
    } catch {
        global.error("\(error)")
        throw ExitStatus.failed.code
    }
}

/// - Throws: `ExitCode` 77 where the process may not do what the lab takes.
func requirePrivileges(_ global: GlobalOptions) throws {
    let missing = Capability.missing()
    guard missing.isEmpty else {
        let names = missing.map(\.description).joined(separator: " and ")
        global.error("not permitted: the lab needs \(names); run it as root (sudo)")
        throw ExitStatus.notPermitted.code
    }
}
