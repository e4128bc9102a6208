import KernelModel
import Netlink

extension Committer {
    /// Has all connections in flowtables of the namespace judged by the rules with their next packet.
    ///
    /// Each holds its routes, and leaves when one of them is not what a lookup would give now (nf_flow_dst_check). The kernel
    /// keeps one number for that in a namespace, which every changed route raises, and this parameter by itself: so it costs
    /// nothing for each device and connection. To delete the flowtable and make it anew costs 5,500 instructions a device
    /// where there are a thousand, and Linux 6.12 a grace period each, 12 s in all, in which those that come by the last
    /// devices go on passing.
    ///
    /// Whoever was on its way into the flowtable at the first time leaves it the second time.
    mutating func judgeAnew(_ step: ChangePlan.Step, _ session: Session) {
        do throws(NetlinkError) {
            try session.namespace.enter { () throws(NetlinkError) in
                try session.write(Self.routeFlush, "1")
                PacketsUnderWay.wait()
                try session.write(Self.routeFlush, "1")
            }
            countWrites(2)
        } catch {
            // Nothing is led into flowtables again.
            giveUpFirewall()
            noteJudging(error.reason, in: step.place)
        }
    }

    private static var routeFlush: String { "net/ipv4/route/flush" }
}
