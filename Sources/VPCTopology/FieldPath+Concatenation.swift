internal import VPCModel

extension FieldPath {
    static func + (left: FieldPath, right: FieldPath) -> FieldPath { FieldPath(left.components + right.components) }
}
