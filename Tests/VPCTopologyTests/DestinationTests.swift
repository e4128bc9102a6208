import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCTopology

/// What is routed to interfaces, as it is found and listed, against looking at all of them.
@Suite(.timeLimit(minutes: 5)) struct DestinationTests {
    @Test(arguments: Seeds.fresh()) func eachIsFoundAndListedOnce(seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var prefixes = 0
        for _ in 0..<40 {
            let topology = try drawn(&dice)
            let all = topology.interfaces.numbered.flatMap { number, interface in
                [Destination(IPPrefix(interface.address), of: number)]
                    + interface.further.map { Destination($0.prefix, isDelegated: $0.isDelegated, of: number) }
            }.sorted { $0.prefix < $1.prefix }
            prefixes += all.count(where: \.isDelegated)
            #expect(Array(topology.destinations(ofVPC: 0)) == all)
            for number in UInt32(0x0A00_0100)...0x0A00_01FF {
                let address = IPAddress(v4: number)
                let owner = all.first { $0.prefix.contains(address) }
                #expect(topology.interface(at: address, inVPC: 0) == owner?.interface)
                #expect(topology.interfaces.numbered.first { $0.element.has(address) }?.number == owner?.interface)
                #expect(
                    Array(topology.destinations(ofVPC: 0, from: address)) == all.filter { $0.prefix.address >= address }
                )
                let single = topology.destination(IPPrefix(address), inVPC: 0)
                #expect(single == all.first { $0.prefix == IPPrefix(address) })
            }
            for destination in all { #expect(topology.destination(destination.prefix, inVPC: 0) == destination) }
        }
        #expect(prefixes > 40)
    }

    /// Up to eight interfaces with parts of a subnet that nobody else has.
    private func drawn(_ dice: inout Dice) throws -> Topology {
        var text = ManifestHead.subnet("10.0.1.0/24", of: "10.0.0.0/16")
        var blocks = (1..<63).map { IPPrefix(containing: IPAddress(v4: 0x0A00_0100 + UInt32($0) * 4), length: 30) }
        blocks.shuffle(using: &dice)
        for number in 0..<Int.random(in: 0..<9, using: &dice) {
            let own = blocks.removeLast()
            let further = (0..<Int.random(in: 0..<4, using: &dice)).map { _ in "\(blocks.removeLast().last)" }
            let delegated = (0..<Int.random(in: 0..<4, using: &dice)).map { _ in "\(blocks.removeLast())" }
            text += """
                ---
                kind: NetworkInterface
                metadata: {name: i\(number)}
                spec:
                  subnet: s
                  host: h1
                  address: \(own.address)
                  addresses: [\(further.joined(separator: ", "))]
                  prefixes: [\(delegated.joined(separator: ", "))]
                  attachment: {netns: n\(number), device: eth0}

                """
        }
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics)")
        return try #require(Topology.resolve(set.model).topology)
    }
}
