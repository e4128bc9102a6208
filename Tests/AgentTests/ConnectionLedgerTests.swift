import KernelModel
import Testing
import VPCModel

@testable import Agent

/// Who is over a bound, and when it is time to count.
@Suite(.timeLimit(minutes: 10)) struct ConnectionLedgerTests {
    private static let now = ContinuousClock.now
    private static let shares = [
        ConnectionShare(ResourceReference(.vpc, "a"), zone: 1, maximum: nil),
        ConnectionShare(ResourceReference(.vpc, "b"), zone: 2, maximum: 100),
        ConnectionShare(ResourceReference(.vpc, "c"), zone: 3, maximum: 1_000_000),
    ]

    private func ledger(
        _ counts: [UInt16: Int], of shares: [ConnectionShare] = shares, room: Int = 8000,
        after former: ConnectionLedger = ConnectionLedger(),
        isSample: Bool = false, total: Int? = nil, cost: Duration = .zero
    ) -> ConnectionLedger {
        var ledger = former
        let table = TrackingTable(count: total ?? counts.values.reduce(0, +), room: room)
        ledger.take(counts, of: table, shares, isSample: isSample, cost: cost, at: Self.now)
        return ledger
    }

    private func refused(_ ledger: ConnectionLedger) -> [String] { ledger.uses.filter(\.isRefused).map(\.owner.name) }
    private func alarming(_ ledger: ConnectionLedger) -> [String] { ledger.uses.filter(\.isAlarming).map(\.owner.name) }

    @Test func limitsAreThoseOfTheManifestOrAShare() {
        // Three quarters of the table are all there is to have, whatever a manifest says.
        #expect(ledger([:]).uses.map(\.limit) == [2000, 100, 6000])
        #expect(refused(ledger([1: 1999, 2: 99, 3: 3000])) == [])
        #expect(refused(ledger([1: 2000, 2: 100, 3: 3000])) == ["a", "b"])
    }

    @Test func whoIsRefusedHasToGoWellBelow() {
        let full = ledger([2: 100])
        #expect(refused(ledger([2: 90], after: full)) == ["b"])
        #expect(refused(ledger([2: 89], after: full)) == [])
        // Not refused before.
        #expect(refused(ledger([2: 95])) == [])
    }

    @Test func fourFifthsAlarm() {
        let near = ledger([1: 1600, 2: 79])
        #expect(alarming(near) == ["a"])
        #expect(alarming(ledger([1: 1400], after: near)) == ["a"])
        #expect(alarming(ledger([1: 1399], after: near)) == [])
    }

    @Test func natGatewaysAlarmByTheirPorts() {
        let shares = [ConnectionShare(ResourceReference(.natGateway, "nat"), zone: 9, maximum: nil, ports: 1000)]
        func alarming(_ sessions: Int, after former: ConnectionLedger) -> (ConnectionLedger, Bool) {
            var ledger = former
            let table = TrackingTable(count: sessions, room: 8000)
            ledger.take([9: sessions], of: table, shares, cost: .zero, at: Self.now)
            let gateways = ledger.uses.compactMap(NATGatewayUse.init)
            #expect(gateways.map(\.sessions) == [sessions])
            return (ledger, gateways.first?.isAlarming == true)
        }
        let quiet = alarming(799, after: ConnectionLedger())
        #expect(!quiet.1)
        let near = alarming(800, after: quiet.0)
        #expect(near.1)
        #expect(alarming(700, after: near.0).1)
        #expect(!alarming(699, after: near.0).1)
    }

    /// A gateway's host without guests has nobody to hurry for.
    @Test func whoHasNoVPCsCountsSeldom() {
        let ledger = ledger([9: 50], of: [])
        #expect(!ledger.mustCount(TrackingTable(count: 60, room: 8000), [], at: Self.now + .seconds(5)))
        #expect(ledger.mustCount(TrackingTable(count: 60, room: 8000), [], at: Self.now + .seconds(21)))
    }

    /// Nobody is over his own limit, but all together fill the table: those that have more than an even share are refused.
    @Test func allTogetherKeepToTheTable() {
        #expect(ConnectionLedger.evenShare(of: 6000, among: [2000, 2000, 2000]) == nil)
        #expect(ConnectionLedger.evenShare(of: 6000, among: [50, 5000, 5000]) == 2975)
        #expect(ConnectionLedger.evenShare(of: 6000, among: [7000, 1, 1]) == 5998)
        let crowded = ledger([1: 1900, 2: 90, 3: 4100])
        #expect(refused(crowded) == ["c"])
        #expect(crowded.uses.map(\.limit) == [2000, 100, 4010])
    }

    @Test func aSampleStandsForAll() {
        let sampled = ledger([1: 600, 3: 400], isSample: true, total: 4000)
        #expect(sampled.uses.map(\.tracked) == [2400, 0, 1600])
        let shares = [ConnectionShare(ResourceReference(.vpc, "a"), zone: 1, maximum: nil)]
        let many = TrackingTable(count: 200_000, room: 262_144)
        #expect(ConnectionLedger().sample(of: many, shares) == 8192)
        // A hundred of two hundred thousand would be four of the sample.
        #expect(ConnectionLedger().sample(of: many, shares + [Self.shares[1]]) == nil)
        #expect(ConnectionLedger().sample(of: TrackingTable(count: 16_000, room: 262_144), shares) == nil)
    }

    @Test func countsComeWhenALimitMayBePassed() {
        let shares = [Self.shares[0]]
        func isDue(_ ledger: ConnectionLedger, _ count: Int, room: Int = 262_144, after time: Duration) -> Bool {
            ledger.mustCount(TrackingTable(count: count, room: room), shares, at: Self.now + time)
        }
        #expect(isDue(ConnectionLedger(), 0, after: .zero))
        let near = ledger([1: 45_536], of: shares, room: 262_144)
        // The others' are nobody's that is counted here.
        let many = ledger([1: 45_536], of: shares, room: 262_144, total: 65_600)
        // 20,000 more are a second's.
        #expect(!isDue(many, 65_600, after: .milliseconds(990)))
        #expect(isDue(many, 65_600, after: .milliseconds(1000)))
        // Where there are fewer in all than anybody may have, nobody is over.
        #expect(!isDue(near, 65_000, after: .seconds(5)))
        #expect(isDue(near, 65_000, after: .seconds(20)))
        // So many more than there were that somebody may be over, or all of them together.
        #expect(!isDue(near, 66_000, after: .milliseconds(249)))
        #expect(isDue(near, 66_000, after: .milliseconds(250)))
        // Counting takes a tenth of a processor at most, and half of one while the table fills.
        let dear = ledger([1: 65_000], of: shares, room: 262_144, cost: .milliseconds(160))
        #expect(!isDue(dear, 74_000, after: .milliseconds(319)))
        #expect(isDue(dear, 74_000, after: .milliseconds(320)))
        #expect(!isDue(dear, 65_600, after: .milliseconds(1599)))
        let wide = ledger([1: 45_000], of: shares, room: 262_144, total: 70_000, cost: .milliseconds(160))
        #expect(!isDue(wide, 80_000, after: .milliseconds(1599)))
        #expect(isDue(wide, 80_000, after: .milliseconds(1600)))
    }
}
