import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import Agent

@Suite(.timeLimit(minutes: 10)) struct ResourceFileTests {
    private func subnets(_ names: [String], _ metadata: String = "") throws -> [Resource] {
        let text = names.map {
            """
            ---
            apiVersion: vpcctl.dev/v1
            kind: Subnet
            metadata: {name: \($0)\(metadata)}
            spec: {vpc: v, cidr: 10.0.0.0/24}

            """
        }.joined()
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics)")
        return set.model.resources
    }

    private func file(_ resources: [Resource]) -> ResourceFile {
        var file = ResourceFile()
        for resource in resources { file[resource.reference] = ResourceText(resource) }
        return file
    }

    /// What is written is a manifest, comes back, and is the same in whichever order it was put in.
    @Test func whatIsPutInComesBack() throws {
        let resources = try subnets(["b", "a", "ab", "b-1"])
        let bytes = try #require(file(resources).bytes)
        #expect(file(resources.reversed()).bytes == bytes)
        let read = try #require(ResourceFile(bytes))
        #expect(read.bytes == bytes)
        for resource in resources { #expect(read[resource.reference]?.resource == resource) }
        #expect(read[ResourceReference(.subnet, "c")] == nil && read[ResourceReference(.vpc, "a")] == nil)
        let set = ManifestSet([ManifestSource(name: "x.json", bytes: bytes)])
        #expect(set.isValid && set.model.names(of: .subnet) == ["a", "ab", "b", "b-1"])
    }

    @Test func whatIsTakenOutIsGone() throws {
        let resources = try subnets(["a", "b", "c"])
        let bytes = try #require(file(resources).bytes)
        var file = try #require(ResourceFile(bytes))
        file[resources[1].reference] = nil
        #expect(file.bytes == self.file([resources[0], resources[2]]).bytes)
        file[resources[1].reference] = nil
        file[resources[0].reference] = nil
        file[resources[2].reference] = nil
        #expect(file.bytes == nil)
    }

    /// Whatever stands in labels and annotations, a resource is found by its own name alone.
    @Test(arguments: [
        #"labels: {name: other, spec: x}"#, #"annotations: {spec: "\"name\":\"other\"},\"spec\":{"}, labels: {name: other}"#,
        #"annotations: {a: "\n]}\n", b: "\"},\"spec\":{}}\n"}"#,
    ])
    func namesAreFoundWhereTheyStand(_ metadata: String) throws {
        let resources = try subnets(["real"], ", " + metadata)
        let bytes = try #require(file(resources).bytes)
        let file = try #require(ResourceFile(bytes))
        #expect(file[ResourceReference(.subnet, "real")]?.resource == resources[0])
        #expect(file[ResourceReference(.subnet, "other")] == nil)
    }

    @Test func whatIsCutIsNotRead() throws {
        let resources = try subnets(["a", "b"])
        let bytes = try #require(file(resources).bytes)
        for count in 0..<bytes.count { #expect(ResourceFile(Array(bytes[..<count])) == nil, "\(count)") }
        #expect(ResourceFile(bytes + [10]) == nil)
    }

    /// The same text has the same version, every other one another.
    @Test func versionsTellTexts() throws {
        let (first, again) = (try subnets(["a"])[0], try subnets(["a"])[0])
        #expect(ResourceText(first).version == ResourceText(again).version)
        #expect(ResourceText(first).version.utf8.count == 32)
        let others = try subnets(["b"]) + subnets(["a"], ", labels: {x: y}")
        for other in others { #expect(ResourceText(other).version != ResourceText(first).version) }
    }
}
