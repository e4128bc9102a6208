public import GatewayControl
public import KernelModel
public import Reconciler
public import VPCManifest
public import VPCModel

/// How the agent and its host are, at one moment.
public struct AgentStatus: Sendable {
    /// The name of the Host; nil until it is known.
    public var host: String?
    public var phase = Phase.loading
    /// Why it is not ready.
    public var reason: String?
    /// The revision that the kernel shall be equal to.
    public var desiredRevision: Int?
    /// The revision that it was equal to when it was looked at last.
    public var observedRevision: Int?
    /// Where manifests come from.
    public var source: String?
    /// What is wrong with what the source holds now; the last good revision stays in force.
    public var rejected: [LocatedDiagnostic] = []
    public var confirmation: Confirmation?
    /// What somebody else changes back again and again.
    public var alarms: [Alarm] = []
    /// The host's table of tracked connections, when it was looked at last; nil until then.
    public var trackingTable: TrackingTable?
    /// Who has how many of them, by the VPC's name, as of the last count.
    public var connections: [ConnectionUse] = []
    /// The NAT gateways of this host, by name, as of the last count.
    public var natGateways: [NATGatewayUse] { connections.compactMap(NATGatewayUse.init) }
    /// Connections that found no public port, or none that nobody else had taken at the same moment, since the VPCs'
    /// namespace was made.
    public var unplaced = 0
    /// Where this host alone is connected to an external network, by the network's name.
    public var uplinks: [Uplink] = []
    /// What of the machine's own filters keeps tunnels from other hosts, or may do so.
    public var obstacles: [TunnelObstacle] = []
    /// The revision that the last pass was made for, however it ended.
    public var examinedRevision: Int?
    /// Resources of that revision that are not ready.
    public var problems: [ResourceReference: ResourceProblem] = [:]
    /// Next hops that say `liveness`, of routes of this host's VPCs.
    public var gateways: [Gateway] = []
    /// External networks that this host is one of two gateways of.
    public var gatewayPairs: [GatewayPair] = []
    /// Targets with a health check, of target groups of this host's VPCs.
    public var targets: [Target] = []
    /// What is to be said of resources that are all right.
    public var notes: [ResourceReference: String] = [:]
    /// Why next hops are not watched, or hosts not told or heard of them.
    public var livenessComplaint: String?
    /// How many resources there are.
    public var resourceCount = 0
    /// Seconds since 1970 when the agent began.
    public var started = 0

    public enum Phase: String, Sendable {
        /// No valid desired state is known yet: nothing is touched.
        case loading = "Loading"
        /// The kernel is as the desired revision says.
        case ready = "Ready"
        /// Something cannot be there yet: a guest's namespace or device is missing, or a change is under way.
        case pending = "Pending"
        /// The kernel refused something, or cannot be read.
        case failed = "Failed"
    }

    /// A revision that goes back to the one before unless somebody confirms it.
    public struct Confirmation: Sendable, Hashable {
        public var revision: Int
        /// The one to go back to.
        public var previous: Int
        /// Seconds since 1970.
        public var deadline: Int
    }

    /// A next hop that has to answer.
    public struct Gateway: Sendable, Hashable {
        /// The name of its interface.
        public var interface: String
        public var liveness: NextHop.Liveness
        /// The name of the Host that its guest is on.
        public var host: String
        /// Whether routes lead to it.
        public var isUp: Bool
        /// One phrase.
        public var reason: String
        /// Of a guest that is here: after so much silence it is held for dead; nil: not agreed upon.
        public var detectionTime: Duration?
        /// Of a guest that is here: how often it went down since the agent began.
        public var failures: Int?
    }

    /// What `vpcgw` says of a pair of gateways.
    public struct GatewayPair: Sendable, Hashable {
        /// The name of the external network.
        public var network: String
        /// Why nothing is known of it.
        public var complaint: String?
        public var pair: PairStatus?

        init(network: String, complaint: String?, _ pair: PairStatus?) {
            (self.network, self.complaint, self.pair) = (network, complaint, pair)
        }

        /// What somebody should look at.
        public var problems: [String] { complaint.map { [$0] } ?? pair?.problems ?? [] }
    }

    /// A target that is asked whether it is healthy.
    public struct Target: Sendable, Hashable {
        /// The name of its TargetGroup.
        public var group: String
        /// The name of its interface.
        public var interface: String
        /// The name of the Host that it is on.
        public var host: String
        /// Whether balancers lead to it.
        public var isHealthy: Bool
        /// One phrase.
        public var reason: String
        /// Of a target that is here: how often it fell ill since the agent began.
        public var failures: Int?
    }

    /// The way to an external network.
    public struct Uplink: Sendable, Hashable {
        /// The name of the ExternalNetwork.
        public var network: String
        /// In the VPCs' namespace.
        public var device: String
        public var isUp: Bool
        /// Why it is not.
        public var reason: String?
    }

    public struct Alarm: Sendable, Hashable {
        /// The object as ip(8) would be told.
        public var object: String
        public var kind: ObjectKind
        public var resource: String?
        /// How often it was repaired since the alarm was raised or before.
        public var repairs: Int
        /// Seconds until it is repaired next.
        public var pauseSeconds: Int
    }

    public init() {}
}

/// Why a resource is not ready.
public struct ResourceProblem: Sendable, Hashable {
    public var phase: AgentStatus.Phase
    public var reason: String

    public init(phase: AgentStatus.Phase, reason: String) {
        self.phase = phase
        self.reason = reason
    }
}

/// Something that happened.
public struct AgentEvent: Sendable, Hashable {
    /// Counts from 1 in every run of the agent.
    public var sequence: Int
    /// Seconds since 1970, and the thousandths of the second.
    public var time: Int
    public var milliseconds: Int
    public var type: Kind
    /// One sentence.
    public var message: String
    /// What it is about, where it is about one object.
    public var object: String?
    public var resource: String?
    public var revision: Int?

    public enum Kind: String, Sendable, CaseIterable {
        /// A set of manifests became a revision.
        case revisionAccepted = "RevisionAccepted"
        /// A set of manifests is not valid.
        case revisionRejected = "RevisionRejected"
        /// The kernel is as a revision says.
        case revisionApplied = "RevisionApplied"
        /// It could not be made so.
        case applyFailed = "ApplyFailed"
        /// Somebody else's change was undone.
        case driftRepaired = "DriftRepaired"
        case alarmRaised = "AlarmRaised"
        case alarmCleared = "AlarmCleared"
        /// A revision was confirmed in time.
        case confirmed = "Confirmed"
        /// A revision was not confirmed, or a probe of it failed.
        case reverted = "Reverted"
        case probeFinished = "ProbeFinished"
        /// A next hop with `liveness` does not answer any more, and routes leave it out.
        case gatewayDown = "GatewayDown"
        case gatewayUp = "GatewayUp"
        /// This host has become the active one of a pair of gateways, or is it no longer.
        case gatewayActive = "GatewayActive"
        case gatewayInactive = "GatewayInactive"
        /// A target is not healthy any more, and balancers leave it out.
        case targetUnhealthy = "TargetUnhealthy"
        case targetHealthy = "TargetHealthy"
        /// Notifications were lost, and everything was read again.
        case resynchronized = "Resynchronized"
    }
}
