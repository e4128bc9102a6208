import CLinux
import KernelModel
import KernelNames
import Netlink

extension Committer {
    /// Waits until devices are operational, by the kernel's word for it and not by the clock.
    mutating func awaitOperational(_ names: [InterfaceName], _ step: ChangePlan.Step, _ session: Session) {
        var waiting = Set<InterfaceName>()
        do throws(NetlinkError) {
            // First listen, then look: what happens in between is heard.
            var monitor = try NetlinkMonitor(groups: [.link], in: session.namespace)
            let clock = ContinuousClock()
            let deadline = clock.now + operationalTimeout
            let present = try session.devices(named: Set(names))
            for name in names where present[name] == nil {
                noteWait(name, .dependency("link \(name)"), in: step.place)
            }
            waiting = try look(for: Set(names.filter { present[$0] != nil }), session)
            while !waiting.isEmpty {
                let left = clock.now.duration(to: deadline)
                if left <= .zero { break }
                var operational: [InterfaceName] = []
                let outcome = try monitor.receive(timeout: left) { message throws(CodecError) in
                    guard try LinkReading.isTold(by: message) else { return }
                    let reading = try LinkReading(message)
                    if reading.isOperational { operational.append(reading.name) }
                }
                switch outcome {
                case .messages: waiting.subtract(operational)
                case .overrun: waiting = try look(for: waiting, session)
                case .timedOut: break
                }
            }
            for name in names where waiting.contains(name) { noteWait(name, .timedOut, in: step.place) }
        } catch {
            for name in names { noteWait(name, error.reason, in: step.place) }
        }
    }

    /// Those of `names` that are not operational. A device that is not there is not waited for.
    private func look(
        for names: Set<InterfaceName>, _ session: Session
    ) throws(NetlinkError) -> Set<InterfaceName> {
        var waiting: Set<InterfaceName> = []
        for reading in try session.links(named: names) where names.contains(reading.name) && !reading.isOperational {
            waiting.insert(reading.name)
        }
        return waiting
    }
}
