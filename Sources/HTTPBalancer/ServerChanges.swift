/// What a worker has to be told so that it has the servers that it shall have.
struct ServerChanges: Hashable {
    /// In their order; each with what the answer to it contains, where it is done.
    var commands: [Command] = []
    /// Those that get no new requests any more, until they are taken away.
    var leaving: [ServerState] = []

    struct Command: Hashable {
        var text: String
        /// Nil: nothing is answered.
        var answer: String?
    }

    init(from states: [ServerState], to backends: [String: HAProxyConfiguration.Backend]) {
        var known: [String: [String: ServerState]] = [:]
        for state in states { known[state.backend, default: [:]][state.name] = state }
        for (backend, wanted) in backends.sorted(by: { $0.key < $1.key }) {
            var rest = known[backend] ?? [:]
            for server in wanted.servers {
                let path = "\(backend)/\(server.name)"
                if let state = rest.removeValue(forKey: server.name) {
                    change(state, to: server, path)
                } else {
                    add(server, wanted, path)
                }
            }
            for state in rest.values.sorted(by: { $0.name < $1.name }) { leave(state) }
        }
    }

    private mutating func change(_ state: ServerState, to server: HTTPBalancer.Server, _ path: String) {
        if state.address != "\(server.address)" || state.port != server.port {
            // It says what was changed, or that nothing was.
            commands.append(Command(text: "set server \(path) addr \(server.address) port \(server.port)", answer: " "))
        }
        if state.weight != server.weight {
            commands.append(Command(text: "set server \(path) weight \(server.weight)"))
        }
        if !state.isReady { commands.append(Command(text: "set server \(path) state ready")) }
    }

    private mutating func add(
        _ server: HTTPBalancer.Server, _ backend: HAProxyConfiguration.Backend, _ path: String
    ) {
        commands.append(
            Command(text: "add server \(path) \(backend.arguments(of: server))", answer: "New server registered"))
        if backend.isChecked { commands.append(Command(text: "enable health \(path)")) }
        commands.append(Command(text: "enable server \(path)"))
    }

    private mutating func leave(_ state: ServerState) {
        leaving.append(state)
        if state.isReady { commands.append(Command(text: "set server \(state.backend)/\(state.name) state drain")) }
    }
}
