import NFTables
public import VPCModel

/// Which way a packet goes, seen from the guest.
public enum TrafficDirection: String, Sendable, CaseIterable {
    case ingress = "in"
    case egress = "out"

    /// What manifests call it: `ingress`, `egress`.
    public var field: String { self == .ingress ? "ingress" : "egress" }

    /// The far end's address field.
    var farAddress: NFField { self == .ingress ? .ipSource : .ipDestination }
}

/// Chains, sets and counters whose names have one form, declared by the feature that makes them:
///
///     WORD[_RESOURCE][_DIRECTION][_ROLE]
///
/// A resource's name is a DNS label: no `_` and no `.` in it, so what stands between them tells the names apart, and 63
/// bytes at most, so two of them fit into a name of the kernel's (255 bytes, `NFT_NAME_MAXLEN`).
///
/// A class, because every name holds its family.
final class FirewallFamily: Sendable {
    /// Whom the objects are made for.
    enum Subject: Sendable {
        case host
        case one(ResourceKind)
        /// A list, joined by dots. Where that is too long the family that is named by a digest takes its place.
        case several(ResourceKind)
        case digest
    }

    /// Which changes may forbid what was allowed: connections that security groups have let begin are looked through
    /// then. ACLs need none of it, because a changed ACL is another epoch (``ConnectionMark``); nor does what every packet
    /// meets.
    struct Tightening: OptionSet, Sendable {
        let rawValue: Int
        /// Something is taken out of it: an element, a rule, all.
        static let losing = Tightening(rawValue: 1)
        /// An element is put into it.
        static let gaining = Tightening(rawValue: 2)
    }

    /// May be of several words, or empty.
    let word: String
    let subject: Subject
    let isDirected: Bool
    /// What may come last: words with `#` for a number and `@` for a resource's name; empty for nothing.
    let roles: [[Substring]]
    let tightens: Tightening
    fileprivate let words: [Substring]

    init(
        _ word: String, of subject: Subject, isDirected: Bool = false, roles: [String] = [""], tightens: Tightening
    ) {
        self.word = word
        self.subject = subject
        self.isDirected = isDirected
        self.roles = roles.map { $0.split(separator: "_") }
        self.tightens = tightens
        words = word.split(separator: "_")
    }

    /// The kind of resource that its objects are made for; nil where that is the host, or a digest.
    var kind: ResourceKind? {
        switch subject {
        case .host, .digest: nil
        case .one(let kind), .several(let kind): kind
        }
    }

    /// Objects of the host's, each with a name of its own.
    convenience init(_ names: String..., tightens: Tightening) {
        self.init("", of: .host, roles: names, tightens: tightens)
    }
}

/// The name of a chain, set or counter of ours: what it is for. Names are made and read here and nowhere else.
///
/// The kernel has the text, ``description``. Of a set that was made anew beside another the kernel's name ends with a dot
/// and a number (`sg_web_in_map.1`); it is the same set.
public struct FirewallName: Sendable, CustomStringConvertible {
    let family: FirewallFamily
    /// The names of resources, or their digest.
    let subject: [String]
    let direction: TrafficDirection?
    let role: String

    init(
        _ family: FirewallFamily, _ subject: String..., direction: TrafficDirection? = nil, role: String = ""
    ) {
        self.init(family, subject, direction, role)
    }

    private init(_ family: FirewallFamily, _ subject: [String], _ direction: TrafficDirection?, _ role: String) {
        self.family = family
        self.subject = subject
        self.direction = direction
        self.role = role
    }

    /// What is made for a list of security groups. Five names may be too long; then their digest stands for them.
    static func list(
        _ groups: [String], _ direction: TrafficDirection, role: String = "", isDenial: Bool = false
    ) -> FirewallName {
        let text = groups.joined(separator: ".")
        if text.utf8.count <= 200 { return FirewallName(isDenial ? .listDenial : .list, groups, direction, role) }
        let digest = [Digest(text).hex]
        return FirewallName(isDenial ? .longListDenial : .longList, digest, direction, role)
    }

    /// Another object of the same resource, direction and family.
    func with(role: String) -> FirewallName { FirewallName(family, subject, direction, role) }

    public var description: String {
        var text = family.word
        var separator = "_"
        for name in subject {
            text += separator
            text += name
            separator = "."
        }
        if let direction { text += direction == .ingress ? "_in" : "_out" }
        if !text.isEmpty, !role.isEmpty { text += "_" }
        text += role
        return text
    }

    /// The resource that it is made for; nil where that is the host, or several.
    public var resource: ResourceReference? {
        switch family.subject {
        case .host, .digest: nil
        case .one(let kind), .several(let kind): subject.count == 1 ? ResourceReference(kind, subject[0]) : nil
        }
    }

    /// Whether it is made for the host as a whole.
    var isOfHost: Bool { if case .host = family.subject { true } else { false } }

    /// Whether connections that groups have let begin may be forbidden when something is taken out of it.
    public var tightensByLosing: Bool { family.tightens.contains(.losing) }
    /// The same when an element is put into it.
    public var tightensByGaining: Bool { family.tightens.contains(.gaining) }
}

/// A text stands for one name.
extension FirewallName: Hashable {
    public static func == (left: FirewallName, right: FirewallName) -> Bool { left.description == right.description }
    public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

// MARK: - Reading

extension FirewallName {
    /// Reads what the kernel calls a chain, set or counter of a table of ours.
    /// - Returns: nil where no feature makes such a thing.
    public init?(_ text: String) {
        let words = NFSet.wantedName(ofSetNamed: text).split(separator: "_", omittingEmptySubsequences: false)
        let names = FirewallFamily.all.lazy.compactMap { FirewallName(words[...], in: $0) }
        guard let name = names.first else { return nil }
        self = name
    }

    /// Reads the words of a name of that family.
    init?(_ words: ArraySlice<Substring>, in family: FirewallFamily) {
        var words = words
        guard words.starts(with: family.words) else { return nil }
        words = words.dropFirst(family.words.count)
        var subject: [String] = []
        switch family.subject {
        case .host: break
        case .one, .digest:
            guard let word = words.popFirst(), !word.isEmpty, !word.contains(".") else { return nil }
            subject = [String(word)]
        case .several:
            guard let word = words.popFirst(), !word.isEmpty else { return nil }
            subject = word.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        }
        var direction: TrafficDirection?
        if family.isDirected {
            direction = words.popFirst().flatMap { TrafficDirection(rawValue: String($0)) }
            if direction == nil { return nil }
        }
        guard family.roles.contains(where: { Self.fits(words, $0) }) else { return nil }
        self.init(family, subject, direction, words.joined(separator: "_"))
    }

    private static func fits(_ words: ArraySlice<Substring>, _ role: [Substring]) -> Bool {
        words.count == role.count
            && zip(words, role).allSatisfy { word, part in
                switch part {
                case "#": !word.isEmpty && word.allSatisfy { $0.isASCII && $0.isNumber }
                case "@": !word.isEmpty && !word.contains(".")
                default: word == part
                }
            }
    }
}

// MARK: - Counters

/// The counters of rules and lines, in the table `inet vpcctl`.
public enum RuleCounter {
    /// Of everything that an ACL denies.
    public static let deniedByACL = FirewallName(.aclDenials, role: "denied_by_acl")
    /// Of everything that security groups deny.
    public static let deniedByGroup = FirewallName(.groupDenials, role: "denied_by_group")
    /// Of what came with another's MAC or source address.
    public static let spoofed = FirewallName(.places, role: "spoofed")
    /// Of what was for the host itself, and was denied.
    public static let toHost = FirewallName(.toHost, role: "to_host")

    /// Of what was for a NAT gateway's own address, and was denied.
    public static let toNATGateway = FirewallName(.natGateways, role: "to_nat_gateway_denied")

    /// Of what came from an external network with an address of the VPC that it was for.
    public static let insideSource = FirewallName(.uplinks, role: "inside_source")
    /// Of what would have left for an external network with a private address.
    public static let untranslated = FirewallName(.natGateways, role: "untranslated")
    /// Of what belongs to no connection of a NAT gateway's, and begins none.
    public static let externalInvalid = FirewallName(.natGateways, role: "external_invalid")
    /// Of what came from outside for a NAT gateway's public address, and was no answer.
    public static let unsolicited = FirewallName(.natGateways, role: "unsolicited")

    /// Of what was for a load balancer that has no target for it.
    public static let notBalanced = FirewallName(.loadBalancers, role: "not_balanced")

    /// Of the rule at that position of a security group's direction.
    public static func ofGroup(_ name: String, _ direction: TrafficDirection, rule: Int) -> FirewallName {
        FirewallName(.group, name, direction: direction, role: "\(rule)")
    }

    /// Of the line with that priority of an ACL's direction.
    public static func ofACL(_ name: String, _ direction: TrafficDirection, priority: Int) -> FirewallName {
        FirewallName(.acl, name, direction: direction, role: "\(priority)")
    }
}
