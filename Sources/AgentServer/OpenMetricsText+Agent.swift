import Agent
import GatewayControl
import KernelModel
import Reconciler

extension OpenMetricsText {
    mutating func append(_ agent: Agent, version: String) {
        let (metrics, status) = (agent.metrics, agent.status)
        info("vpcctl_build", "The version of the daemon.", [("version", version)])
        append(status)
        histogram(
            "vpcctl_reconcile_duration_seconds", "Time of a pass, from the first look to the last write.",
            metrics.passes)
        histogram(
            "vpcctl_repair_latency_seconds", "Time from the kernel's notification of a foreign change to its repair.",
            metrics.repairs)
        counter(
            "vpcctl_operations", "Operations that were asked of the kernel.",
            metrics.operations.map { operation, count in
                Sample(
                    labels: [
                        ("kind", operation.kind.rawValue), ("action", operation.action),
                        ("result", operation.isDone ? "done" : "failed"),
                    ], value: .integer(count))
            }.sorted(by: Self.byLabels))
        counter(
            "vpcctl_drift_repaired", "Objects that somebody else had changed, and that were put right.",
            byKind(metrics.repaired))
        counter(
            "vpcctl_netlink_errors", "System calls and netlink requests that failed.",
            metrics.netlinkErrors.map { Sample(labels: [("errno", $0)], value: .integer($1)) }.sorted(
                by: Self.byLabels))
        counter(
            "vpcctl_notifications", "Notifications of the kernel.", [Sample(value: .integer(metrics.notifications))])
        counter(
            "vpcctl_overruns", "How often the kernel threw notifications away and everything was read again.",
            [Sample(value: .integer(metrics.overruns))])
        counter(
            "vpcctl_revisions", "Sets of manifests that were accepted or rejected.",
            [
                Sample(labels: [("result", "accepted")], value: .integer(metrics.revisionsAccepted)),
                Sample(labels: [("result", "rejected")], value: .integer(metrics.revisionsRejected)),
            ])
        counter(
            "vpcctl_reverts", "Revisions that were not confirmed or whose probes failed.",
            [Sample(value: .integer(metrics.reverts))])
        let translations: [(result: String, count: Int)] = [
            ("recorded", metrics.translations.recorded), ("unwritten", metrics.translations.unwritten),
        ]
        counter(
            "vpcctl_translation_records", "Translations that were written down, and those that could not be.",
            translations.map { Sample(labels: [("result", $0.result)], value: .integer($0.count)) })
        counter(
            "vpcctl_translation_overruns", "How often the kernel threw away news of translations.",
            [Sample(value: .integer(metrics.translations.overruns))])
        gauge("vpcctl_desired_objects", "Kernel objects that shall be there.", byKind(metrics.desiredObjects))
        gauge("vpcctl_actual_objects", "Kernel objects of ours that are there.", byKind(metrics.actualObjects))
    }

    private mutating func append(_ status: AgentStatus) {
        gauge(
            "vpcctl_ready", "Whether the kernel is as the desired revision says.",
            [Sample(value: .integer(status.phase == .ready ? 1 : 0))])
        gauge(
            "vpcctl_desired_revision", "The number of the revision that shall be in force.",
            status.desiredRevision.map { [Sample(value: .integer($0))] } ?? [])
        gauge(
            "vpcctl_observed_revision", "The number of the revision that the kernel was equal to when last looked at.",
            status.observedRevision.map { [Sample(value: .integer($0))] } ?? [])
        let counts = status.resourceCounts
        gauge(
            "vpcctl_resources", "Resources of the manifests.",
            [("Ready", counts.ready), ("Pending", counts.pending), ("Failed", counts.failed)].map {
                Sample(labels: [("phase", $0)], value: .integer($1))
            })
        gauge(
            "vpcctl_alarms", "Objects that somebody else changes again and again.",
            [Sample(value: .integer(status.alarms.count))])
        gauge(
            "vpcctl_gateway_up", "Whether routes lead to a next hop that says liveness.",
            status.gateways.map { gateway in
                Sample(
                    labels: [("interface", gateway.interface), ("liveness", gateway.liveness.rawValue)],
                    value: .integer(gateway.isUp ? 1 : 0))
            })
        counter(
            "vpcctl_gateway_failures", "How often a next hop whose guest is here went down.",
            status.gateways.compactMap { gateway in
                gateway.failures.map {
                    Sample(
                        labels: [("interface", gateway.interface), ("liveness", gateway.liveness.rawValue)],
                        value: .integer($0))
                }
            })
        append(status.gatewayPairs)
        gauge(
            "vpcctl_target_healthy", "Whether balancers lead to a target that has a health check.",
            status.targets.map { target in
                Sample(
                    labels: [("group", target.group), ("interface", target.interface)],
                    value: .integer(target.isHealthy ? 1 : 0))
            })
        counter(
            "vpcctl_target_failures", "How often a target on this host fell ill.",
            status.targets.compactMap { target in
                target.failures.map {
                    Sample(labels: [("group", target.group), ("interface", target.interface)], value: .integer($0))
                }
            })
        gauge(
            "vpcctl_connections", "Tracked connections of the host's namespace.",
            status.trackingTable.map { [Sample(value: .integer($0.count))] } ?? [])
        gauge(
            "vpcctl_connections_room", "The most tracked connections there can be in a namespace of this machine.",
            status.trackingTable.map { [Sample(value: .integer($0.room))] } ?? [])
        let ofVPCs: [(name: String, help: String, number: (ConnectionUse) -> Int)] = [
            ("vpcctl_vpc_connections", "Tracked connections of the VPC on this host.", { $0.tracked }),
            ("vpcctl_vpc_connections_limit", "The most that the VPC may have for now.", { $0.limit }),
            ("vpcctl_vpc_connections_full", "Whether the VPC begins no connections for now.", { $0.isRefused ? 1 : 0 }),
        ]
        for gauge in ofVPCs {
            self.gauge(
                gauge.name, gauge.help,
                status.connections.filter { $0.owner.kind == .vpc }.map {
                    Sample(labels: [("vpc", $0.owner.name)], value: .integer(gauge.number($0)))
                })
        }
        gauge(
            "vpcctl_nat_gateway_sessions", "Sessions that the NAT gateway translates on this host.",
            status.natGateways.map { Sample(labels: [("natgateway", $0.name)], value: .integer($0.sessions)) })
        gauge(
            "vpcctl_nat_gateway_ports", "The most sessions that it can have to one port of one destination.",
            status.natGateways.map { Sample(labels: [("natgateway", $0.name)], value: .integer($0.ports)) })
        counter(
            "vpcctl_unplaced_connections",
            "Connections that got no public port, or none that nobody else had taken at the same moment.",
            [Sample(value: .integer(status.unplaced))])
        gauge(
            "vpcctl_uplink_up", "Whether the uplink has a carrier and the provider's router answers.",
            status.uplinks.map { Sample(labels: [("network", $0.network)], value: .integer($0.isUp ? 1 : 0)) })
        gauge(
            "vpcctl_manifests_rejected", "Whether what the manifest directory holds now is not valid.",
            [Sample(value: .integer(status.rejected.isEmpty ? 0 : 1))])
    }

    private mutating func append(_ pairs: [AgentStatus.GatewayPair]) {
        gauge(
            "vpcctl_gateway_pair_problems", "How much is wrong with a pair of gateways that this host is in.",
            pairs.map { Sample(labels: [("network", $0.network)], value: .integer($0.problems.count)) })
        let known = pairs.compactMap(\.pair)
        let gauges: [(name: String, help: String, number: (PairStatus) -> Int)] = [
            ("vpcctl_gateway_pair_active", "Whether this host is the active one.", { $0.role == "active" ? 1 : 0 }),
            (
                "vpcctl_gateway_pair_synchronized", "Whether who stands by has all connections.",
                { $0.isSynchronized ? 1 : 0 }
            ),
            (
                "vpcctl_gateway_pair_connections",
                "Connections that the two have in common, as far as this host knows.",
                { $0.connections }
            ),
        ]
        for gauge in gauges { self.gauge(gauge.name, gauge.help, samples(known, gauge.number)) }
        let counters: [(name: String, help: String, number: (PairStatus) -> Int)] = [
            ("vpcctl_gateway_pair_takeovers", "How often this host has become the active one.", { $0.takeovers }),
            ("vpcctl_gateway_pair_conflicts", "How often both were active.", { $0.conflicts }),
            (
                "vpcctl_gateway_pair_resyncs",
                "How often the kernel threw news of connections away, and all were compared.", { $0.resyncs }
            ),
        ]
        for counter in counters { self.counter(counter.name, counter.help, samples(known, counter.number)) }
    }

    private func samples(_ pairs: [PairStatus], _ number: (PairStatus) -> Int) -> [Sample] {
        pairs.map { Sample(labels: [("network", $0.network)], value: .integer(number($0))) }
    }

    private mutating func histogram(_ name: String, _ help: String, _ histogram: AgentMetrics.Histogram) {
        self.histogram(
            name, unit: "seconds", help, bounds: AgentMetrics.Histogram.bounds, counts: histogram.counts,
            count: histogram.count, sum: histogram.sum)
    }

    /// Kinds without any are left out.
    private func byKind(_ counts: [ObjectKind: Int]) -> [Sample] {
        ObjectKind.allCases.compactMap { kind in
            counts[kind].map { Sample(labels: [("kind", kind.rawValue)], value: .integer($0)) }
        }
    }

    private static func byLabels(_ left: Sample, _ right: Sample) -> Bool {
        left.labels.map(\.value).lexicographicallyPrecedes(right.labels.map(\.value))
    }

    /// What the API counts of itself.
    mutating func append(followers: Int) {
        gauge("vpcctl_event_followers", "Clients that follow the events.", [Sample(value: .integer(followers))])
    }

    // MARK: The process

    mutating func append(_ process: ProcessFigures) {
        gauge(
            "process_start_time_seconds", unit: "seconds", "Start of the process since 1970.",
            [Sample(value: .integer(process.started))])
        counter(
            "process_cpu_seconds", unit: "seconds", "Processor time of the process.",
            [Sample(value: .real(process.processorSeconds))])
        gauge(
            "process_resident_memory_bytes", unit: "bytes", "Memory that the process occupies.",
            process.residentBytes.map { [Sample(value: .integer($0))] } ?? [])
        gauge(
            "process_open_fds", "Open file descriptors.",
            process.openDescriptors.map { [Sample(value: .integer($0))] } ?? [])
        gauge(
            "process_max_fds", "File descriptors that may be open.",
            [Sample(value: .integer(process.maximumDescriptors))])
    }

    // MARK: Traffic

    /// - Parameter reading: nil where the kernel could not be asked.
    mutating func append(_ reading: TrafficLedger.Reading?) {
        gauge(
            "vpcctl_traffic_readable", "Whether the kernel told its counters for this answer.",
            [Sample(value: .integer(reading == nil ? 0 : 1))])
        guard let reading else { return }
        append(
            "interface", "a network interface",
            reading.interfaces.map {
                ([("interface", $0.name), ("vpc", $0.vpc), ("subnet", $0.subnet)], $0.traffic)
            })
        append(
            "vpc", "the VPC's network interfaces on this host", reading.vpcs.map { ([("vpc", $0.name)], $0.traffic) })
        counter(
            "vpcctl_vpc_refused_connections",
            "First packets that the bound or the rate of the VPC's connections refused.",
            reading.vpcs.map { vpc in
                Sample(labels: [("vpc", vpc.name)], value: .integer(reading.refusals.vpcs[vpc.name] ?? 0))
            })
        append(reading.refusals)
    }

    private mutating func append(_ refusals: Refusals) {
        func capped(_ label: String, _ counts: [String: Refusals.OfEdge]) -> [Sample] {
            counts.sorted { $0.key < $1.key }.flatMap { name, refused in
                [("egress", refused.egress), ("ingress", refused.ingress)].compactMap { direction, count in
                    count.map { Sample(labels: [(label, name), ("direction", direction)], value: .integer($0)) }
                }
            }
        }
        counter(
            "vpcctl_nat_gateway_capped_packets", "Packets that were more than the NAT gateway's bandwidth.",
            capped("natgateway", refusals.natGateways))
        counter(
            "vpcctl_elastic_ip_capped_packets", "Packets that were more than the elastic IP's bandwidth.",
            capped("elasticip", refusals.elasticIPs))
        counter(
            "vpcctl_nat_gateway_refused_connections",
            "First packets that the bound or the rate of the NAT gateway's connections refused.",
            refusals.natGateways.sorted { $0.key < $1.key }.map { name, refused in
                Sample(labels: [("natgateway", name)], value: .integer(refused.connections))
            })
    }

    private mutating func append(_ subject: String, _ words: String, _ rows: [([Label], LinkTraffic)]) {
        let columns: [(name: String, unit: String?, help: String, number: KeyPath<LinkTraffic, UInt64>)] = [
            ("receive_bytes", "bytes", "Bytes that \(words) received", \.receivedBytes),
            ("receive_packets", nil, "Packets that \(words) received", \.receivedPackets),
            ("receive_drop", nil, "Packets to \(words) that were dropped at the port", \.receivedDropped),
            ("transmit_bytes", "bytes", "Bytes that \(words) sent", \.transmittedBytes),
            ("transmit_packets", nil, "Packets that \(words) sent", \.transmittedPackets),
            ("transmit_drop", nil, "Packets of \(words) that were dropped at the port", \.transmittedDropped),
        ]
        for column in columns {
            counter(
                "vpcctl_\(subject)_\(column.name)", unit: column.unit, column.help + ".",
                rows.map { labels, traffic in
                    Sample(labels: labels, value: .integer(Int(clamping: traffic[keyPath: column.number])))
                })
        }
    }
}
