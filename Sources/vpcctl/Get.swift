import AgentClient
import ArgumentParser
import CommandOptions
import Console
import Presentation
import Reconciler
import VPCManifest
import VPCModel
import VPCTopology

struct Get: KernelCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the resources of manifests, or the kernel objects of a host.",
        discussion: """
            'vpcctl get subnets -f manifests' lists resources; 'vpcctl get subnets' lists those that the agent keeps, with \
            their status; 'vpcctl get --host h1' lists every kernel object of this machine that is ours, \
            with the resource it belongs to.
            """)

    @Argument(help: "\(KindArgument.help)", completion: .list(KindArgument.allValueStrings))
    var kind: KindArgument?
    @Argument(
        help: "The name of one resource.",
        completion: .resourceNames { words in words.compactMap { KindArgument(argument: $0) }.first?.kinds ?? [] })
    var name: String?
    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if kind == nil, host.name == nil { throw ValidationError("Name a KIND (with -f) or a host (--host).") }
        if let kind, host.name != nil, !kind.hasRules {
            throw ValidationError("--host goes with security groups and network ACLs (their counters), or alone.")
        }
    }

    func run() throws {
        guard let kind else { return try listObjects() }
        if manifests.paths.isEmpty, let agent = try agent.find(global, host: host.name, toModify: false) {
            try agent.list(kind, name: name, output.format, global)
        } else {
            try listResources(kind)
        }
    }

    private func listResources(_ kind: KindArgument) throws {
        let manifests = try Manifests(manifests, global)
        let resources = kind.kinds.flatMap { manifests.set.model.resources(of: $0) }
            .filter { name == nil || $0.metadata.name == name }
            .sorted { $0.reference < $1.reference }
        if let name, resources.isEmpty {
            global.error("there is no \(kind.title) named '\(name)' in the manifests")
            throw ExitStatus.failed.code
        }
        switch output.format {
        case .json:
            Streams.output(
                (name != nil && resources.count == 1 ? StructuredValue(resources[0]) : .init(list: resources)).json)
        case .yaml: Streams.output(ManifestText.yaml(resources))
        case .name: for resource in resources { Streams.outputLine(resource.reference.description) }
        case .wide where kind.hasRules: try listRules(kind, resources)
        case .table, .wide:
            for (position, kind) in kind.kinds.enumerated() {
                let ofKind = resources.filter { $0.kind == kind }
                if ofKind.isEmpty { continue }
                if position > 0 { Streams.outputLine("") }
                let table = kind.listed.table(of: ofKind, manifests.topology, output.format)
                for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
            }
            if resources.isEmpty { global.note("no resources found") }
        }
    }

    /// Rules and lines one by one; with `--host` what they have counted in the current namespace.
    private func listRules(_ kind: KindArgument, _ resources: [Resource]) throws {
        var rules = RuleTable(counts: nil)
        if host.name != nil {
            let kernel = try Kernel.open(global, toModify: true)
            rules = RuleTable(counts: try Kernel.reporting(global) { try HostReconciler(kernel: kernel).ruleCounts() })
        }
        guard let table = kind.kinds.first?.listed.rules(of: resources, in: rules) else { return }
        for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
    }

    private func listObjects() throws {
        let objects = try ownedObjects()
        switch output.format {
        case .json, .yaml:
            let value = objects.structured(host: host.name)
            Streams.output(output.format == .json ? value.json : value.yaml)
        case .name: for object in objects { Streams.outputLine(object.object) }
        case .table, .wide:
            if objects.isEmpty { return global.note("no kernel objects of ours in this namespace") }
            var table = TextTable(["KIND", "RESOURCE", "OBJECT"])
            table.rows = objects.map { object in
                let detail = object.detail.map { ", \($0)" } ?? ""
                return [object.kind.rawValue, object.resource ?? "-", object.object + detail]
            }
            for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        }
    }
}

extension Get {
    private func ownedObjects() throws -> [OwnedObject] {
        if let agent = try agent.find(global, host: host.name, toModify: false) {
            return try askingAgent(global) { () throws(AgentClientError) in
                guard let objects = [OwnedObject](try agent.quickClient.get("/v1/objects")) else {
                    throw LocalAgent.unknownAnswer
                }
                return objects
            }
        }
        let kernel = try Kernel.open(global, toModify: false)
        return try Kernel.reporting(global) { try HostReconciler(kernel: kernel).ownedObjects() }
    }
}

/// A kind as users type it: any case, singular or plural, or its short name.
struct KindArgument: ExpressibleByArgument {
    let kinds: [ResourceKind]
    let title: String

    /// Whether its resources are lists of rules.
    var hasRules: Bool { kinds.count == 1 && kinds[0].listed.hasRules }

    init?(argument: String) {
        let word = argument.lowercased()
        if word == "all" {
            kinds = ResourceKind.allCases
            title = "resource"
            return
        }
        guard let kind = ResourceKind(word: word, takesShort: true) else { return nil }
        kinds = [kind]
        title = kind.rawValue
    }

    static var allValueStrings: [String] { ResourceKind.allCases.map(\.names.plural) + ["all"] }

    /// `hosts, vpcs, …, networkinterfaces or enis, …`: with one short name at most.
    static var help: String {
        let words = ResourceKind.allCases.map(\.names).map { names in
            names.plural + (names.short.last.map { " or \($0)" } ?? "")
        }
        return "A kind (\(words.joined(separator: ", "))) or 'all'."
    }
}
