public import KernelNames

/// One operation of a plan, for people and for JSON.
public struct Operation: Sendable, Hashable {
    public enum Action: String, Sendable, Hashable {
        case create
        case change
        case delete
        case wait
    }

    public var place: Place
    public var action: Action
    public var kind: ObjectKind
    /// The object as ip(8) would be told.
    public var object: String
    /// What was there before a change.
    public var previous: String?
    public var origin: Origin

    public init(
        in place: Place, action: Action, kind: ObjectKind, object: String, previous: String? = nil,
        origin: Origin
    ) {
        self.place = place
        self.action = action
        self.kind = kind
        self.object = object
        self.previous = previous
        self.origin = origin
    }
}

extension ChangePlan {
    /// Calls `body` with every operation in the order of execution, without making a list of them.
    public func forEachOperation(_ body: (Operation) -> Void) {
        for step in steps {
            switch step.work {
            case .namespaces(let changes): changes.forEachOperation(in: step.place, body)
            case .sysctls(let changes): changes.forEachOperation(in: step.place, body)
            case .rules(let changes): changes.forEachOperation(in: step.place, body)
            case .links(let changes): changes.forEachOperation(in: step.place, body)
            case .addresses(let changes): changes.forEachOperation(in: step.place, body)
            case .neighbors(let changes): changes.forEachOperation(in: step.place, body)
            case .nexthops(let changes): changes.forEachOperation(in: step.place, body)
            case .routes(let changes): changes.forEachOperation(in: step.place, body)
            case .firewall(let tables, _):
                for table in tables {
                    table.forEachItem { item in
                        body(
                            Operation(
                                in: step.place, action: item.action, kind: .firewall, object: item.object,
                                origin: item.origin))
                    }
                }
            case .connections(let connections, _):
                for connection in connections {
                    body(
                        Operation(
                            in: step.place, action: .delete, kind: .connection,
                            object: connection.description, origin: .none))
                }
            case .judgeAnew:
                body(
                    Operation(
                        in: step.place, action: .wait, kind: .connection, object: Self.judgeAnew, origin: .none))
            case .awaitOperational(let names):
                for name in names {
                    body(
                        Operation(
                            in: step.place, action: .wait, kind: .link, object: "link \(name) operational",
                            previous: nil, origin: .none))
                }
            }
        }
    }

    package static let judgeAnew = "connections past the rules judged anew"

    public var operations: [Operation] {
        var list: [Operation] = []
        forEachOperation { list.append($0) }
        return list
    }
}

extension ChangeSet where Object: KernelObject {
    func forEachOperation(in place: Place, _ body: (Operation) -> Void) {
        func operation(_ action: Operation.Action, _ object: String, was previous: String? = nil, _ origin: Origin) {
            body(
                Operation(
                    in: place, action: action, kind: Object.kind, object: object, previous: previous,
                    origin: origin))
        }
        for object in deletions { operation(.delete, object.description, .none) }
        for creation in creations { operation(.create, creation.object.description, creation.origin) }
        for replacement in replacements {
            operation(
                .change, replacement.summary, was: replacement.old.description, replacement.origin)
        }
    }
}

extension Replacement where Object: KernelObject {
    /// The new object; for a link also the settings that change.
    public var summary: String {
        guard let new = new as? Link, let old = old as? Link else { return new.description }
        let different = new.settingsDiffering(from: old)
        let names = LinkSettings.names.filter { different.contains($0.0) }.flatMap { setting, name in
            setting == .ipv4 ? new.ipv4Differences(from: old, name) : [name]
        }
        return "\(new.description) set \(names.joined(separator: ","))"
    }
}

extension Link {
    /// `ipv4.conf.forwarding=1`, by setting.
    fileprivate func ipv4Differences(from old: Link, _ name: String) -> [String] {
        guard let ipv4, let former = old.ipv4 else { return [name] }
        return ipv4.settings(differingFrom: former).map { "\(name).\($0.rawValue)=\(ipv4[$0])" }
    }
}
