// One run of the whole pipeline in the current network namespace, with the time of every stage:
//
//   vpcbench INTERFACES HOSTS
//
// The kernel need not have GRE or VRF devices: the compiled routes and nexthop objects go in as they are, but for the
// nexthops' device, which is v0, a veth made by run.py.
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import VPCCompiler
import VPCManifest
import VPCTopology

let interfaces = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 100_000 : 100_000
let hosts = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? 100 : 100

let text = manifestText(interfaces: interfaces, hosts: hosts)
print("manifest-bytes", text.utf8.count)
let set = timed("parse") { ManifestSet(text: text, name: "bench.yaml") }
let resolution = timed("resolve") { Topology.resolve(set.model) }
guard set.isValid, let topology = resolution.topology else {
    print("the manifest is invalid:", set.located(resolution.diagnostics).prefix(3))
    exit(1)
}
let manifestMemory = peakMemory()
guard let device = InterfaceName("v0") else { exit(1) }
let facts = HostFacts(underlayDevice: device, underlayMTU: 1500)
let compilation = timed("compile") { topology.compiled(for: 0, facts: facts) }

let kernel = KernelDriver()
let intent = runnable(compilation.intent, device)
let empty = try timed("observe-empty") { try kernel.observe(ObservationRequest(owner: Conventions.ownership)) }
let plan = timed("plan") { intent.changes(from: empty, owner: Conventions.ownership) }
let report = timed("commit") { kernel.commit(plan, owner: Conventions.ownership) }
guard report.failures.isEmpty else {
    print("failures:", report.failures.count, report.failures[0])
    exit(1)
}
print("routes", intent.host.routes.count)
print("writes", report.writes)
let full = try timed("observe") { try kernel.observe(ObservationRequest(owner: Conventions.ownership)) }
let again = timed("plan-nothing") { intent.changes(from: full, owner: Conventions.ownership) }
guard again.isEmpty else {
    print("a second plan has \(again.counts.total) changes")
    exit(1)
}
print("peak-memory", peakMemory() - manifestMemory)
