/// Measures the product's stages in the current network namespace; Benchmarks/run.py calls it. It prints lines of
/// `NAME VALUE`: seconds, bytes, counts.
///
/// The kernel need not have GRE or VRF devices: where a command says so, the compiled objects go in with v0, a veth, in
/// the place of the GRE device.
@main
struct VPCBench {
    static func main() throws {
        var arguments = Arguments(words: CommandLine.arguments.dropFirst())
        switch arguments.word("COMMAND") {
        // routes INTERFACES HOSTS VPCS: their routes and nexthops, with v0
        case "routes": try measureRoutes(arguments.network())
        // firewall INTERFACES MEMBERS GROUPS LISTS: the tables of nf_tables
        case "firewall": try measureFirewall(arguments.groupedNetwork())
        // nexthops COUNT single|groups: objects, and as many groups of four of them
        case "nexthops": try measureNexthops(arguments.number("COUNT"), grouped: arguments.word("KIND") == "groups")
        // interfaces COUNT: guests in namespaces n0, n1, …
        case "interfaces": try measureInterfaces(arguments.number("COUNT"))
        // change INTERFACES HOSTS VPCS: one interface moves to another host, all compiled and compared anew
        case "change": try measureChange(arguments.network())
        // edit INTERFACES HOSTS VPCS: one document among many is another one, again and again
        case "edit": try measureEdit(arguments.network())
        // generate yaml|json INTERFACES HOSTS VPCS: a manifest
        case "generate":
            let format = arguments.format()
            generate(arguments.network(), format)
        // manifest FILE: from its text to a plan
        case "manifest": measureManifest(arguments.word("FILE"))
        // stages STAGE INTERFACES HOSTS VPCS: a pass without a kernel that ends with that stage
        case "stages":
            let last = arguments.stage()
            runStages(arguments.network(), until: last)
        case let other: fail("there is no command \(other)")
        }
    }
}

struct Arguments {
    var words: ArraySlice<String>

    mutating func word(_ what: String) -> String {
        guard let word = words.popFirst() else { fail("\(what) is missing") }
        return word
    }

    mutating func number(_ what: String) -> Int {
        let text = word(what)
        guard let number = Int(text), number > 0 else { fail("\(what) is a number, not \(text)") }
        return number
    }

    mutating func format() -> Network.Format {
        let text = word("FORMAT")
        guard let format = Network.Format(rawValue: text) else { fail("the format is yaml or json, not \(text)") }
        return format
    }

    mutating func stage() -> LastStage {
        let text = word("STAGE")
        guard let stage = LastStage(rawValue: text) else { fail("there is no stage \(text)") }
        return stage
    }

    mutating func network() -> Network {
        Network(interfaces: number("INTERFACES"), hosts: number("HOSTS"), vpcs: number("VPCS"))
    }

    mutating func groupedNetwork() -> GroupedNetwork {
        GroupedNetwork(
            interfaces: number("INTERFACES"), members: number("MEMBERS"), groups: number("GROUPS"),
            lists: number("LISTS"))
    }
}
