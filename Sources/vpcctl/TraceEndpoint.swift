import ArgumentParser
import IPAddressing
import VPCManifest
import VPCModel
import VPCTopology

/// One end of a traced packet, as it is named on the command line: `web1`, `10.0.2.20`, `203.0.113.50:443`,
/// `external:198.51.100.7`.
struct TraceEndpoint: ExpressibleByArgument, Hashable {
    var place: Place
    var port: UInt16?

    enum Place: Hashable {
        /// The name of a network interface.
        case interface(String)
        case address(IPAddress)
        /// Somebody in an external network.
        case external(IPAddress)
    }

    static let externalPrefix = "external:"

    init?(argument: String) {
        var text = argument[...]
        let isExternal = text.hasPrefix(Self.externalPrefix)
        if isExternal { text = text.dropFirst(Self.externalPrefix.count) }
        if IPAddress(String(text)) == nil, let colon = text.lastIndex(of: ":") {
            guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
            self.port = port
            text = text[..<colon]
        }
        if let address = IPAddress(String(text)) {
            guard address.family == .ipv4 else { return nil }
            place = isExternal ? .external(address) : .address(address)
        } else if isExternal || text.isEmpty {
            return nil
        } else {
            place = .interface(String(text))
        }
    }
}

extension Topology {
    func interface(named name: String) throws -> Int {
        if let index = interfaces.firstIndex(where: { $0.name == name }) { return index }
        throw ValidationError("No NetworkInterface is named '\(name)' in the manifests (see 'vpcctl get enis').")
    }

    /// The public address by which an interface is reached from outside.
    func publicAddress(ofInterface name: String) throws -> IPAddress {
        let index = try interface(named: name)
        if let elastic = elasticIPs.first(where: { $0.interface == index }) { return elastic.address }
        throw ValidationError(
            "\(name) has no elastic IP: from outside nobody reaches it but by a public address (see 'vpcctl get eips')."
        )
    }

    /// The external network that packets for a public address come from.
    func requireNetwork(ofPublic address: IPAddress) throws -> Int {
        if let known = network(ofPublic: address) { return known }
        throw ValidationError(
            "\(address) is in no pool of an ExternalNetwork: nobody outside sends what is for it here"
                + " (see 'vpcctl get externalnetworks').")
    }
}
