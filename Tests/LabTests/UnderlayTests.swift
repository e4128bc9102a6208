import Testing

@testable import VPCLab

extension LabTests {
    /// An underlay with room for the tunnel's 28 bytes.
    @Suite(.needsOverlay) struct UnderlayTests {
        @Test func guestsKeepTheirMTUOnALargerUnderlay() throws {
            var scenario = Scenario.pair
            scenario.host("h2", "172.31.0.2")
            scenario.interface("web3", "web", on: "h2", "10.0.1.13")
            let lab = try TestLab(scenario, underlayMTU: 1528)
            defer { lab.tearDown() }
            let whole = PingOptions(size: 1472, fragmentation: .forbidden)
            #expect(try lab.station("web1").ping("10.0.1.13", whole).isReply)
        }
    }
}
