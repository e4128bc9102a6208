import Foundation
import TestSupport

extension Run {
    static func vpcctl(_ arguments: String..., input: String = "", before: [String] = []) throws -> Run {
        try Run(before + [program("vpcctl")] + arguments, input: Data(input.utf8))
    }
}

func example(_ name: String) -> String { examples.appending(path: name).path() }
