/// Every kind of resource, in the order in which they are listed and numbered.
///
/// The only list of kinds. A stage that has something to do for each of them takes a list of this shape whose kinds
/// conform to a protocol of the stage's, so that a kind that lacks a stage does not compile. New ones come last: numbers
/// are nowhere kept beyond a process, but what is printed kind by kind keeps its order.
public typealias DeclaredKinds = KindList<
    Host, VPC, Subnet, RouteTable, NetworkInterface, SecurityGroup, NetworkACL, Probe, ExternalNetwork, NATGateway,
    ElasticIP, VPCPeering, PeeringAcceptance, TargetGroup, LoadBalancer
>
