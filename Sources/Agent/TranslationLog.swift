import Glibc
import Netlink
import Traffic
import VPCTopology

/// Writes down who had which public address and port, on a thread of its own: where the disk does not keep up, the kernel
/// throws news away, and that is written down as well; no packet waits for any of it.
final class TranslationLog: Sendable {
    private let publication: Publication
    private let path: String
    private let thread: PlanThread<TranslationLogPlan>

    /// The file in a daemon's state directory.
    static func path(in stateDirectory: String) -> String { stateDirectory + "/translations/translations.jsonl" }

    init(stateDirectory: String, _ publication: Publication) throws(AgentError) {
        self.publication = publication
        path = Self.path(in: stateDirectory)
        thread = try PlanThread(TranslationLogPlan())
    }

    /// From now on these are the gateways. The thread begins with the first of them.
    func follow(_ plan: TranslationLogPlan) {
        thread.follow(plan, isNeeded: !plan.isEmpty) { [path, publication] in
            var recorder = TranslationRecorder(RecordFile(path), publication)
            return { recorder.turn($0, wokenBy: $1) }
        }
    }

    func stop() { thread.stop() }
}

/// Whose translations are recorded, and where.
struct TranslationLogPlan: Equatable, Sendable {
    /// The name of the VPCs' network namespace, and which one that is: another one may get its name.
    var namespace = ""
    var identity: UInt64 = 0
    var host = ""
    /// Names of the NAT gateways whose connections are recorded, by zone.
    var gateways: [UInt16: String] = [:]
    /// Of those whose ports are given out in fixed blocks.
    var blocks: [String: [PortBlockRun]] = [:]

    var isEmpty: Bool { gateways.isEmpty && blocks.isEmpty }
}

/// The sockets of a namespace, and what is done with what comes there.
private struct TranslationRecorder {
    private let publication: Publication
    private var file: RecordFile
    private var sockets: Sockets?
    /// What was written down of them.
    private var started: [UInt16: String] = [:]
    private var blocks: [String: [PortBlockRun]] = [:]
    private var complaint: String?
    /// Of lines that are not written yet.
    private var text = ""
    private var count = 0

    /// Of one thread.
    private final class Sockets {
        let identity: UInt64
        var monitor: ConntrackLifeMonitor
        var connections: ConntrackCopySocket

        init(in namespace: NetworkNamespace, _ identity: UInt64) throws(NetlinkError) {
            self.identity = identity
            // First, so that nothing is missed that happens while everything is read.
            monitor = try ConntrackLifeMonitor(in: namespace)
            connections = try ConntrackCopySocket(in: namespace)
        }
    }

    init(_ file: RecordFile, _ publication: Publication) { (self.file, self.publication) = (file, publication) }

    /// When sockets that could not be had are asked for again.
    private static let patience = Duration.seconds(5)
    /// Datagrams that are taken before what they tell is written, and bytes that wait to be.
    private static let (batch, chunk) = (4096, 1 << 20)

    /// Waits for news, or the bell, and writes them down.
    mutating func turn(_ plan: TranslationLogPlan, wokenBy bell: Int32) {
        bring(plan)
        var poll = PollSet()
        poll.add(bell, POLLIN)
        if let descriptor = sockets?.monitor.fileDescriptor { poll.add(descriptor, POLLIN) }
        let isFailing = sockets == nil && !plan.gateways.isEmpty
        poll.wait(until: isFailing ? .now + Self.patience : nil)
        read(plan)
        write()
    }

    private mutating func bring(_ plan: TranslationLogPlan) {
        let record = TranslationRecord(host: plan.host)
        for (gateway, runs) in plan.blocks.sorted(by: { $0.key < $1.key }) where blocks[gateway] != runs {
            for run in runs { add(record.line(run, of: gateway)) }
        }
        blocks = plan.blocks
        if plan.gateways.isEmpty {
            (sockets, started) = (nil, [:])
        } else if sockets?.identity != plan.identity {
            (sockets, started) = (nil, [:])
            do {
                sockets = try Sockets(in: .named(plan.namespace), plan.identity)
            } catch {
                complain("connections cannot be heard of: \(error)")
            }
        }
        if sockets != nil, started != plan.gateways {
            let news = plan.gateways.filter { started[$0.key] != $0.value }
            started = plan.gateways
            begin(.start, news, plan)
        }
        write()
    }

    /// Says that recording begins, or begins anew, and what there is.
    private mutating func begin(
        _ event: TranslationRecord.Event, _ gateways: [UInt16: String], _ plan: TranslationLogPlan
    ) {
        let record = TranslationRecord(host: plan.host)
        for gateway in gateways.values.sorted() { add(record.line(event, of: gateway)) }
        do {
            try sockets?.connections.forEach { copy in
                if let gateway = gateways[copy.zone] { add(record.lines(.exists, copy, of: gateway)) }
            }
        } catch {
            complain("connections cannot be read: \(error)")
        }
    }

    private mutating func read(_ plan: TranslationLogPlan) {
        do {
            var isEmpty = false
            while !isEmpty, let sockets {
                let record = TranslationRecord(host: plan.host)
                let outcome = try sockets.monitor.receive(limit: Self.batch) { event in
                    let (word, copy): (TranslationRecord.Event, ConntrackCopy) =
                        switch event {
                        case .began(let copy): (.create, copy)
                        case .ended(let copy): (.delete, copy)
                        }
                    if let gateway = plan.gateways[copy.zone] { add(record.lines(word, copy, of: gateway)) }
                }
                isEmpty = outcome.isEmpty
                if outcome.isOverrun {
                    publication.translationsLost()
                    begin(.lost, plan.gateways, plan)
                }
            }
        } catch {
            sockets = nil
            complain("connections cannot be heard of: \(error)")
        }
    }

    private mutating func add(_ lines: String) {
        if lines.isEmpty { return }
        text += lines
        count += 1
        if text.utf8.count >= Self.chunk { write() }
    }

    private mutating func write() {
        if text.isEmpty { return }
        defer { (text, count) = ("", 0) }
        do {
            try file.append(Array(text.utf8))
            publication.translationsRecorded(count)
            complain(nil)
        } catch {
            publication.translationsRecorded(0, lost: count)
            complain("\(error)")
        }
    }

    private mutating func complain(_ reason: String?) {
        if reason != complaint { publication.translationsUnrecorded(reason) }
        complaint = reason
    }
}
