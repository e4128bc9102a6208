import KernelNames
import NFTables

/// Leads packets by their port to a chain that many ports have in common, in two steps: a map from ports to names of chains,
/// and one from these to the chains.
///
/// A verdict map from ports would do with one. But whenever a rule or an element that leads to a chain is new the kernel
/// looks through all that every element of every verdict map leads to (`nft_table_validate`): ten thousand instructions for
/// each of a thousand ports, from each place where the map is asked.
struct ChainDispatch: Sendable {
    private let ports: NFSet
    private let chains: NFSet

    init(ports: String, chains: String) {
        self.ports = NFSet(ports, of: .interfaceName, to: .values(.interfaceName), grows: true)
        self.chains = NFSet(chains, of: .interfaceName, to: .verdict, grows: true)
    }

    /// As they are declared, empty.
    var sets: [NFSet] { [ports, chains] }

    /// To the chain of the port whose name a field is; on to the next rule where it has none.
    func statement(_ port: NFField) -> NFStatement { .vmap(port, through: ports.name, map: chains.name) }

    /// A port whose packets go to a chain.
    func add(_ port: InterfaceName, to chain: FirewallName, _ part: inout Part, _ origin: Origin) {
        part.rows(of: ports) { $0.add(port, data: Self.key(of: chain), origin: origin) }
    }

    /// A chain that ports lead to.
    func add(_ chain: FirewallName, _ part: inout Part, _ origin: Origin) {
        part.rows(of: chains) {
            $0.add(Self.key(of: chain), verdict: .jump(chain.description), origin: origin)
        }
    }

    /// A short name itself, of a long one what it is abbreviated to: nobody's name has no `_`.
    private static func key(of chain: FirewallName) -> InterfaceName {
        let name = chain.description
        return InterfaceName(name) ?? InterfaceName(bytes: Digest(name).hex.utf8)
    }
}
