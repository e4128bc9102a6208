import KernelModel
import Netlink
import Testing

@testable import KernelDriver

@Suite struct FirewallTests {
    @Test func aWholeTableIsWrittenAndReadBack() throws {
        try withFirewall { scratch, driver in
            let changes = try driver.apply(FirewallTables.router)
            #expect(!changes.isEmpty)
            let written = driver.writes
            #expect(try driver.apply(FirewallTables.router).operations == [])
            #expect(driver.writes == written)
        }
    }
}
